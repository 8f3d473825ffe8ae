"""The receiving side of email: postfix's ``smtp-sink``, which takes mails, counts them, and throws them away."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COUNTER = re.compile(rb"mesg=(\d+)\b")
SECONDS_TO_LISTEN = 5


class Sink:
    """Knows when the given numbers of mails were reached: ``smtp-sink -c`` tells its counters after every mail."""

    def __init__(self, numbers: set[int], folder: Path | None) -> None:
        self.port = free_port()
        keep = ["-d", f"{folder}/"] if folder else []
        self.process = subprocess.Popen([*command(), *keep, f"127.0.0.1:{self.port}", "1000"], stdout=subprocess.PIPE)
        self.reached: dict[int, float] = {}
        self._numbers = numbers
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        tail = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            now = time.monotonic()
            tail = (tail + chunk)[-200:]
            for count in COUNTER.findall(tail)[-1:]:
                self.reached |= {number: now for number in self._numbers - set(self.reached) if number <= int(count)}
            # A look in a hundred mails is enough, and takes nothing from those that are measured.
            time.sleep(0.005)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        self._reader.join()
        self.process.stdout.close()


def command() -> list[str]:
    program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
    if program is None:
        raise SystemExit("The email benchmark needs smtp-sink, which comes with postfix: apt-get install postfix")
    # It refuses to run as root.
    return [program, "-c", *(["-u", "nobody"] if os.getuid() == 0 else [])]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def smtp_sink(numbers: set[int], folder: Path | None = None) -> Iterator[Sink]:
    """Run one that notes when each of these numbers of mails was accepted, and may keep each in a file."""
    sink = Sink(numbers, folder)
    deadline = time.monotonic() + SECONDS_TO_LISTEN
    try:
        while not sink.answers() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield sink
    finally:
        sink.close()
