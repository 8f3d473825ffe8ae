"""Load a live bridge: ``python -m tests.can.load socketcand|slcan RATE SECONDS``.

It runs ``bridge_can`` as a separate process on a socketcand server or on a pseudo-terminal, gives it frames at a rate,
and prints what the bridge has read, its CPU time and its memory. The exit status is 1 if frames were lost, faults are
missing, or the memory has grown.

What does not fit into the buffers of the serial line is lost and counted, as with a real adapter.
"""

import argparse
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from example_project.coach.socketcand_server import HOST, SocketcandServer

GROUP_SECONDS = 0.005
FAULT_EVERY = 1000
FAULTS = 10
SERIAL_BUFFER_BYTES = 65_536
MAX_GROWTH_KB = 4096
START_SECONDS = 60.0
BATTERY, TANK, DM_RV = 0x19FFFD44, 0x19FFB745, 0x19FECA46


def make_frames(count: int) -> Iterator[tuple[int, bytes]]:
    """Yield ids and data. One frame in a thousand reports one of ten faults. At 1,000 frames a second, each fault is
    repeated often enough to stand."""
    for number in range(count):
        if number % FAULT_EVERY == 0:
            spn = 1 + number // FAULT_EVERY % FAULTS
            yield DM_RV + spn, bytes([0x15, 0x45, 0, spn >> 3, (spn & 7) << 5 | 1, 1, 0xFF, 0xFF])
        else:
            yield (BATTERY, TANK)[number % 2], number.to_bytes(8, "little")


class SocketcandLine:
    """A socketcand server, and the options of the bridge that listens to it."""

    def __init__(self) -> None:
        self.server = SocketcandServer()
        self.server.start()
        self.options = ["--interface", "socketcand", "--channel", "can0"]
        self.options += ["--option", f"host={HOST}", "--option", f"port={self.server.port}"]
        self.lost = 0

    def wait(self) -> bool:
        return self.server.wait_for_client(START_SECONDS)

    def send(self, frames: list[tuple[int, bytes]]) -> None:
        now = time.time()
        text = "".join(f"< frame {number:08X} {now:.6f} {data.hex()} >" for number, data in frames)
        if not self.server.send_text(text):
            self.lost += len(frames)

    def close(self) -> None:
        self.server.stop()


class SlcanLine:
    """A pseudo-terminal with a serial adapter."""

    def __init__(self) -> None:
        self.end, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(self.end, False)
        self.options = ["--interface", "slcan", "--channel", os.ttyname(slave), "--bitrate", "250000"]
        self.slave = slave
        self.lost = 0
        self._buffer = b""

    def wait(self) -> bool:
        ends_at = time.monotonic() + START_SECONDS
        read = b""
        while b"L\r" not in read and time.monotonic() < ends_at:
            try:
                read += os.read(self.end, 100)
            except BlockingIOError:
                time.sleep(0.01)
        time.sleep(1)  # python-can opens the adapter twice
        return b"L\r" in read

    def send(self, frames: list[tuple[int, bytes]]) -> None:
        for number, data in frames:
            line = f"T{number:08X}{len(data)}{data.hex()}\r".encode()
            if len(self._buffer) + len(line) > SERIAL_BUFFER_BYTES:
                self.lost += 1
            else:
                self._buffer += line
        with suppress(BlockingIOError):
            self._buffer = self._buffer[os.write(self.end, self._buffer) :]

    def close(self) -> None:
        os.close(self.end)
        os.close(self.slave)


LINES = {"socketcand": SocketcandLine, "slcan": SlcanLine}


@contextmanager
def running_bridge(options: list[str], out: Path, err: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-W", "ignore", "-m", "django", "bridge_can", "--dry-run", "--json", *options]
    environment = {"KLAXON_TEST_DB": "sqlite", **os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def read_memory(pid: int) -> int:
    """Return the resident memory of a process in KB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def read_cpu(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def feed(line: SocketcandLine | SlcanLine, rate: int, seconds: float) -> int:
    """Give frames to the bridge at a rate, and return their number."""
    count, sent = int(rate * seconds), 0
    frames = make_frames(count)
    began = time.monotonic()
    while sent < count:
        due = min(count, int((time.monotonic() - began) * rate))
        line.send([next(frames) for _ in range(due - sent)])
        sent = due
        time.sleep(GROUP_SECONDS)
    for _ in range(200):
        line.send([])
        time.sleep(GROUP_SECONDS)
    return count


def load(kind: str, rate: int, seconds: float) -> dict[str, object]:
    line = LINES[kind]()
    with tempfile.TemporaryDirectory(prefix="klaxon-load-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        with running_bridge(line.options, out, err) as process:
            assert line.wait(), "The bridge has not opened the bus."
            before = read_cpu(process.pid)
            memory: list[int] = []
            stopped = threading.Event()

            def sample() -> None:
                while not stopped.wait(1):
                    memory.append(read_memory(process.pid))

            sampling = threading.Thread(target=sample)
            sampling.start()
            sent = feed(line, rate, seconds)
            time.sleep(2)
            stopped.set()
            sampling.join()
            cpu = read_cpu(process.pid) - before
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        line.close()
        summary = err.read_text().splitlines()[-1]
        changes = [json.loads(text) for text in out.read_text().splitlines()]
    settled = memory[len(memory) // 4 :]
    return {
        "sent": sent,
        "read": int(summary.partition(" ")[0]),
        "lost before the bridge": line.lost,
        "raised": sum(change["kind"] == "raised" for change in changes),
        "faults": min(FAULTS, -(-sent // FAULT_EVERY)),
        "memory KB": f"{settled[0]} -> {settled[-1]}, most {max(settled)}",
        "growth KB": settled[-1] - settled[0],
        "CPU": f"{cpu / seconds:.1%}, {cpu / sent * 1e6:.1f} us a frame",
        "exit code": code,
        "summary": summary,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.can.load", description=__doc__)
    parser.add_argument("kind", choices=LINES)
    parser.add_argument("rate", type=int, help="frames a second")
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    result = load(options.kind, options.rate, options.seconds)
    print(json.dumps(result, indent=2))
    is_right = (
        result["read"] == result["sent"]
        and result["raised"] == result["faults"]
        and result["growth KB"] <= MAX_GROWTH_KB
        and result["exit code"] == 0
    )
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
