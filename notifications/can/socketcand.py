"""Connect to a socketcand server, which gives away a CAN bus by TCP.

python-can's client tries for ten seconds at full speed if nobody listens, waits forever for a server that does not
answer, fails on a busy bus because it reads frames as a part of the answer, and logs a warning for each frame that
comes in two parts. This module opens its bus without these faults.
"""

import logging
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from notifications.can.bus_options import BusMisconfigured
from notifications.core import extras

ANSWER_SECONDS = 5.0
GREETING = "< hi >"
# A computer that loses its power does not close its connections.
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def open_socketcand(can: ModuleType, channel: Any, options: Mapping[str, Any]) -> Any:
    """Return python-can's bus of a socketcand server.

    :raises BusMisconfigured: if the host or the port is missing.
    :raises OSError: if the server does not answer, or not as a socketcand server does.
    """
    host, port = options.get("host"), options.get("port")
    if not isinstance(host, str) or not isinstance(port, int):
        raise BusMisconfigured("The interface 'socketcand' requires the options host and port.")
    _probe(host, port)
    client: Any = extras.import_optional("can.interfaces.socketcand.socketcand")
    if client.log.level == logging.NOTSET:
        client.log.setLevel(logging.CRITICAL)

    class Bus(client.SocketCanDaemonBus):
        def _expect_msg(self, msg: str) -> None:
            stream = find_stream(self)
            if stream is None:
                super()._expect_msg(msg)
                return
            try:
                _expect(stream, msg)
            except OSError:
                stream.close()
                raise

    bus = Bus(channel, **options)
    if stream := find_stream(bus):
        _keep_alive(stream)
    return bus


def find_stream(bus: Any) -> socket.socket | None:
    """Return the TCP connection of a bus, if it has one."""
    found = (value for value in vars(bus).values() if isinstance(value, socket.socket))
    return next((one for one in found if one.type == socket.SOCK_STREAM), None)


def is_closed(stream: socket.socket) -> bool:
    """Return whether the other side has closed a connection. python-can does not report that.

    :raises OSError: if the connection was lost.
    """
    is_readable, _, _ = select.select([stream], [], [], 0)
    return bool(is_readable) and not stream.recv(1, socket.MSG_PEEK)


def _probe(host: str, port: int) -> None:
    with socket.create_connection((host, port), ANSWER_SECONDS) as stream:
        _expect(stream, GREETING)


def _expect(stream: socket.socket, message: str) -> None:
    """Read a message and nothing of what follows it.

    :raises OSError: if something else comes, or nothing.
    """
    before = stream.gettimeout()
    stream.settimeout(ANSWER_SECONDS)
    answer = b""
    while len(answer) < len(message) and (part := stream.recv(len(message) - len(answer))):
        answer += part
    stream.settimeout(before)
    if answer != message.encode("ascii"):
        raise ConnectionError(f"the server answers {answer!r} instead of {message!r}, so it is no socketcand server")


def _keep_alive(stream: socket.socket) -> None:
    # The connection may be lost already, which the next read reports.
    with suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            # Not all systems have these.
            if option := getattr(socket, name, None):
                stream.setsockopt(socket.IPPROTO_TCP, option, value)
