"""One process of the cage, as its parent sees it.

The parent trusts nothing that the process says: it may run code that has escaped from the sandbox.
"""

import json
import os
import re
import select
import struct
import subprocess  # noqa: S404 - the cage is a process
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import notifications
from notifications.core import extras
from notifications.exceptions import MissingExtra, RenderingUnavailable
from notifications.staff_templates.cage.budget import (
    CPU_SECONDS,
    GROUP_CPU_SECONDS,
    LIFETIME_CPU_SECONDS,
    MAX_FRAME_BYTES,
    MAX_GROUP_BYTES,
    MAX_HEADER_BYTES,
    WALL_SECONDS,
)
from notifications.staff_templates.cage.faults import Culprit, ProcessLost

LENGTH, LENGTHS = struct.Struct(">I"), struct.Struct(">II")
PROGRAM = "from notifications.staff_templates.cage.child import main; main()"
OPTIONAL_MODULES = ("inscriptis", "lxml")
"""What the program uses if it is installed."""
START_SECONDS = 30.0
CHECK_INTERVAL = 0.1
CHUNK = 1 << 16
MIN_JINJA2 = (3, 1, 6)
VERSION_NUMBERS = re.compile(r"\d+")
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading an answer raises that is not in the form that ``child.py`` describes."""


class CageProcess:
    """A child process that renders for one thread at a time.

    It starts from an executable and not from a copy of this process, with an empty environment and no descriptor but
    its two pipes.

    :param program: the Python code that it runs.
    :param modules: the modules that it imports in addition to this package and Jinja2, if they are installed.
    :raises RenderingUnavailable: if it does not start.
    """

    def __init__(self, program: str = PROGRAM, modules: Sequence[str] = OPTIONAL_MODULES) -> None:
        self.pid_of_parent = os.getpid()
        self.known: set[str] = set()
        """The keys of the templates that it has."""
        self.cpu_seconds = 0.0
        """The CPU time that it had used after its last answer."""
        self.layers: list[str] = []
        self._buffer = bytearray()
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - no shell, and no part of the command is input
                build_command(program, modules),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                close_fds=True,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except OSError as error:
            raise RenderingUnavailable(
                f"The process that renders staff templates cannot be started: {error}"
            ) from error
        self._output: int = self._popen.stdout.fileno()  # type: ignore[union-attr]
        self._input: int = self._popen.stdin.fileno()  # type: ignore[union-attr]
        os.set_blocking(self._input, False)
        try:
            hello, _size = self._read_frame(START_SECONDS, START_SECONDS)
        except ProcessLost as error:
            raise RenderingUnavailable(f"The process that renders staff templates does not start: {error}") from error
        self.layers = hello["layers"]
        self.cpu_seconds = self._read_cpu_seconds() or hello["seconds"]

    def ask(self, request: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
        """Send a request and yield its answers.

        :raises ProcessLost: if the process ends, or is killed because an answer, or all together, take too long.
        """
        # It has also used time to read requests and to write answers.
        self.cpu_seconds = self._read_cpu_seconds() or self.cpu_seconds
        text = json.dumps(request).encode()
        self._write(LENGTH.pack(len(text)) + text)
        seconds, size = 0.0, 0
        for left in range(count, 0, -1):
            answer, answer_size = self._read_frame(CPU_SECONDS, WALL_SECONDS)
            self.cpu_seconds += answer["seconds"]
            seconds, size = seconds + answer["seconds"], size + answer_size
            yield answer
            if left > 1 and (seconds >= GROUP_CPU_SECONDS or size >= MAX_GROUP_BYTES):
                self.kill()
                raise ProcessLost("The messages before it took too long.", Culprit.GROUP)

    def _write(self, data: bytes) -> None:
        deadline = time.monotonic() + WALL_SECONDS
        view = memoryview(data)
        while view:
            if not select.select([], [self._input], [], max(0, deadline - time.monotonic()))[1]:
                self.kill()
                raise ProcessLost("It did not read its request.")
            try:
                view = view[os.write(self._input, view[:CHUNK]) :]
            except BrokenPipeError:
                raise self._find_end() from None

    def _read_frame(self, cpu_seconds: float, wall_seconds: float) -> tuple[dict[str, Any], int]:
        """Return the next answer and its size."""
        began = checked_at = time.monotonic()
        while (frame := self._take_frame()) is None:
            # Also while it writes, or an answer in small pieces would take as long as it likes.
            if time.monotonic() - checked_at >= CHECK_INTERVAL:
                checked_at = time.monotonic()
                self._stop_if_over_budget(cpu_seconds, began + wall_seconds)
            if not select.select([self._output], [], [], CHECK_INTERVAL)[0]:
                continue
            chunk = os.read(self._output, CHUNK)
            if not chunk:
                raise self._find_end()
            self._buffer += chunk
        try:
            return read_answer(*frame), len(frame[0])
        except UNREADABLE:
            self.kill()
            raise ProcessLost("Its answer cannot be read.") from None

    def _take_frame(self) -> tuple[bytes, int] | None:
        """Return the next complete frame that was read, and the length of its JSON text."""
        if len(self._buffer) < LENGTHS.size:
            return None
        size, header_size = LENGTHS.unpack_from(self._buffer)
        end = LENGTHS.size + size
        if end > MAX_FRAME_BYTES or header_size > MAX_HEADER_BYTES:
            self.kill()
            raise ProcessLost("Its answer is too large.", Culprit.MESSAGE)
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[LENGTHS.size : end])
        del self._buffer[:end]
        return frame, header_size

    def _stop_if_over_budget(self, max_cpu_seconds: float, deadline: float) -> None:
        """Kill the process if the message that it renders has used its time."""
        used = self._read_cpu_seconds()
        if used is not None:
            # The process has said how much its earlier messages have used. It cannot be more than everything.
            self.cpu_seconds = min(self.cpu_seconds, used)
        is_late = time.monotonic() >= deadline
        is_over_budget = used is not None and used - self.cpu_seconds >= max_cpu_seconds
        if is_late or is_over_budget:
            # Without a clock of the process, only the time that passes can be measured.
            is_guilty = is_over_budget or used is None or is_sleeping(self._popen.pid)
            self.kill()
            raise ProcessLost("It took too long.", Culprit.MESSAGE if is_guilty else Culprit.MACHINE)

    def _read_cpu_seconds(self) -> float | None:
        """Return the CPU time that the process has used, or None where the system has no such clock."""
        if sys.platform != "linux":
            return None
        try:
            # The clock of a process: CPUCLOCK_SCHED, as the C library's clock_getcpuclockid() makes it.
            return time.clock_gettime((~self._popen.pid << 3) | 2)
        except OSError:
            return None

    def _find_end(self) -> ProcessLost:
        """Return the error for a process that has ended without having been killed by this one."""
        self.kill()
        return ProcessLost(f"It ended with status {self._popen.returncode}.")

    def kill(self) -> None:
        """Kill the process and close the pipes."""
        if self.pid_of_parent == os.getpid():
            self._popen.kill()
            self._popen.wait()
        else:
            # It belongs to the process that this one was forked from.
            self._popen.returncode = 0
        for pipe in (self._popen.stdin, self._popen.stdout):
            pipe.close()  # type: ignore[union-attr]


def is_sleeping(pid: int) -> bool:
    """Return whether a process waits for something, although it owes an answer. A busy machine lets it run or wait."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    return False


def read_answer(frame: bytes, header_size: int) -> dict[str, Any]:
    """Return an answer with its rendered parts.

    :raises: one of :data:`UNREADABLE`, if it is not in the form that ``child.py`` describes.
    """
    answer: dict[str, Any] = json.loads(frame[:header_size])
    start, parts = header_size, {}
    for name, size in answer["parts"].items():
        parts[str(name)] = frame[start : start + size].decode(errors="surrogatepass")
        start += size
    times = {name: read_seconds(answer.get(name, 0.0)) for name in ("seconds", "compile_seconds")}
    return {**answer, "parts": parts, **times}


def read_seconds(value: Any) -> float:
    """Return a CPU time.

    :raises: one of :data:`UNREADABLE`, if it is none.
    """
    seconds = float(value)
    if not 0 <= seconds <= LIFETIME_CPU_SECONDS:  # also refuses what is no number
        raise ValueError(f"{seconds} s is no CPU time.")
    return seconds


def build_command(program: str, modules: Sequence[str] = ()) -> list[str]:
    """Return the command of the child: Python, isolated from the environment and the user's packages.

    Its search path contains only the folders of this package, of Jinja2 and of ``modules``.

    :raises RenderingUnavailable: if Jinja2 is not installed or too old, or if there is no Python.
    """
    try:
        needed = [str(module.__file__) for module in map(extras.import_optional, ("jinja2", "markupsafe"))]
    except MissingExtra as error:
        raise RenderingUnavailable(f"Staff templates cannot be rendered: {error}") from error
    found = version("jinja2")
    if tuple(map(int, VERSION_NUMBERS.findall(found)[:3])) < MIN_JINJA2:
        raise RenderingUnavailable(
            f"Staff templates cannot be rendered: Jinja2 {found} has known ways out of its sandbox. "
            f"Install {'.'.join(map(str, MIN_JINJA2))} or a later version."
        )
    optional = [spec.origin for spec in map(find_spec, modules) if spec is not None and spec.origin]
    paths = [str(notifications.__file__), *needed, *optional]
    folders = dict.fromkeys(str(Path(path).resolve().parent.parent) for path in paths)
    code = f"import sys; sys.path[:0] = {list(folders)!r}; {program}"
    return [find_python(), "-I", "-S", "-B", "-c", code]


def find_python() -> str:
    """Return the path of Python, also where this process is an embedded one, as in uWSGI.

    :raises RenderingUnavailable: if there is none.
    """
    names = [sys.executable or "", str(Path(sys.prefix, "bin", "python3"))]
    for name in names:
        if Path(name).name.startswith("python") and os.access(name, os.X_OK):
            return name
    raise RenderingUnavailable(
        f"Staff templates cannot be rendered: none of {', '.join(filter(None, names))} is an executable of Python."
    )
