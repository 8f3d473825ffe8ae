"""The receiving side of email: postfix's ``smtp-sink``, which accepts, counts and discards mails."""

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

from tests.ports import find_free_port

COUNTER = re.compile(rb"mesg=(\d+)\b")
SECONDS_TO_LISTEN = 5


class Sink:
    """Records when given numbers of mails are reached. ``smtp-sink -c`` prints its counters after each mail."""

    def __init__(self, numbers: set[int], folder: Path | None) -> None:
        self.port = find_free_port()
        keep = ["-d", f"{folder}/"] if folder else []
        command = [*find_command(), *keep, f"127.0.0.1:{self.port}", "1000"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
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
            # Reading once in about 100 mails is enough and does not slow down the measured processes.
            time.sleep(0.005)

    def is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        self._reader.join()
        self.process.stdout.close()


def find_command() -> list[str]:
    program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
    if program is None:
        raise SystemExit("The email benchmark needs smtp-sink, which comes with postfix: apt-get install postfix")
    # It does not run as root.
    return [program, "-c", *(["-u", "nobody"] if os.getuid() == 0 else [])]


@contextmanager
def smtp_sink(numbers: set[int], folder: Path | None = None) -> Iterator[Sink]:
    """Run a sink that records when each of these numbers of mails is accepted.

    :param folder: where to keep the mails; by default they are discarded.
    """
    sink = Sink(numbers, folder)
    deadline = time.monotonic() + SECONDS_TO_LISTEN
    try:
        while not sink.is_listening() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield sink
    finally:
        sink.close()
