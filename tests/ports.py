"""Ports on loopback for servers that start later, that start again on the same port, or that never start."""

import socket
from contextlib import suppress
from pathlib import Path
from secrets import choice

LOWEST = 20_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def find_free_port() -> int:
    """Return a port that is free for TCP and UDP.

    It is not one of those that the system gives to connections. Otherwise, a connection of another test could take it
    before the server starts, or a client that tries to reach it could be connected to itself.
    """
    below = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
    for _ in range(1000):
        port = choice(range(LOWEST, below))
        with suppress(OSError), socket.create_server(("127.0.0.1", port)), socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
            return port
    raise OSError(f"No port between {LOWEST} and {below} is free.")
