"""Real processes for tests: an SMTP server with a ledger, and workers on the test database."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiosmtpd.smtp import SMTP
from django.db import connection


class Ledger:
    """A handler for aiosmtpd: one line, on disk, for each accepted mail, before it is accepted.

    Beside the ledger a file with the suffix ``.times`` says when each address had a mail accepted.
    """

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.path = path
        self.file = path.open("a", buffering=1)
        self.times = path.with_suffix(".times").open("a", buffering=1)

    async def handle_DATA(self, server, session, envelope):
        head = envelope.content.split(b"\r\n\r\n", 1)[0].decode()
        [message_id] = [line.split(": ", 1)[1] for line in head.splitlines() if line.lower().startswith("message-id")]
        self.file.write(f"{envelope.rcpt_tos[0]} {message_id}\n")
        self.times.write(f"{envelope.rcpt_tos[0]} {time.time()}\n")
        await asyncio.sleep(self.seconds)
        return "250 Kept"


@contextmanager
def smtp_ledger(path: Path, seconds: float = 0.0) -> Iterator[int]:
    """An SMTP server in a process of its own, which takes so long for each mail; yields its port."""
    command = [sys.executable, "-m", "tests.processes", str(path), str(seconds)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait(timeout=10)
        server.stdout.close()


def environment(port: int = 25, **more: str) -> dict[str, str]:
    """What a child needs to work on the same test database and mail server."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "KLAXON_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "KLAXON_EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "KLAXON_EMAIL_PORT": str(port),
        **more,
    }


def start(*command: str, port: int = 25, stdin: int | None = None, **more: str) -> subprocess.Popen:
    """A management command as a process."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "django", *command],
        env=environment(port, **more),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen, timeout: float = 300) -> str:
    """What it printed, once it has ended well."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output


def raced(code: str, processes: int) -> list[str]:
    """What processes printed that ran the same code, and began it together once all of them were connected.

    The code may look at ``began``, the time at which they were let go.
    """
    command = [sys.executable, "-W", "ignore", "-m", "tests.racing", str(processes), code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def until(condition, seconds: float = 20.0):
    """Wait until a condition holds; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


async def serve(path: Path, seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Ledger(path, seconds)), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
