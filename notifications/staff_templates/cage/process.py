"""One process of the cage, as its parent sees it."""

import json
import os
import re
import select
import struct
import subprocess  # noqa: S404 - the cage is a process
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import notifications
from notifications.core import extras
from notifications.exceptions import MissingExtra, RenderingUnavailable
from notifications.staff_templates.cage.budget import CPU_SECONDS, MAX_FRAME_BYTES, WALL_SECONDS
from notifications.staff_templates.cage.faults import ProcessLost

LENGTH, LENGTHS = struct.Struct(">I"), struct.Struct(">II")
PROGRAM = "from notifications.staff_templates.cage.child import main; main()"
START_SECONDS = 30.0
CHECK_INTERVAL = 0.1
CHUNK = 1 << 16
MIN_JINJA2 = (3, 1, 6)
VERSION_NUMBERS = re.compile(r"\d+")


class CageProcess:
    """A child process that renders for one thread at a time.

    It starts from an executable and not from a copy of this process, with an empty environment and no descriptor but
    its two pipes.

    :param program: the Python code that it runs.
    :param modules: the modules that it imports in addition to this package and Jinja2.
    :raises RenderingUnavailable: if it does not start.
    """

    def __init__(self, program: str = PROGRAM, modules: Sequence[str] = ()) -> None:
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
            hello = self._read_frame(START_SECONDS, START_SECONDS)
        except ProcessLost as error:
            raise RenderingUnavailable(f"The process that renders staff templates does not start: {error}") from error
        self.layers = hello["layers"]
        self.cpu_seconds = self._read_cpu_seconds() or hello["seconds"]

    def ask(self, request: Mapping[str, Any], count: int) -> Iterator[Any]:
        """Send a request and yield its answers.

        :raises ProcessLost: if the process ends, or is killed because an answer takes too long.
        """
        text = json.dumps(request).encode()
        self._write(LENGTH.pack(len(text)) + text)
        for _ in range(count):
            answer = self._read_frame(CPU_SECONDS, WALL_SECONDS)
            self.cpu_seconds += answer.get("seconds", 0.0)
            yield answer

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

    def _read_frame(self, cpu_seconds: float, wall_seconds: float) -> Any:
        began, cpu_began = time.monotonic(), self.cpu_seconds
        while (frame := self._take_frame()) is None:
            if not select.select([self._output], [], [], CHECK_INTERVAL)[0]:
                self._stop_if_over_budget(cpu_began + cpu_seconds, began + wall_seconds)
                continue
            chunk = os.read(self._output, CHUNK)
            if not chunk:
                raise self._find_end()
            self._buffer += chunk
        try:
            return read_answer(*frame)
        except (ValueError, TypeError, KeyError, AttributeError):
            self.kill()
            raise ProcessLost("Its answer cannot be read.") from None

    def _take_frame(self) -> tuple[bytes, int] | None:
        """Return the next complete frame that was read, and the length of its JSON text."""
        if len(self._buffer) < LENGTHS.size:
            return None
        size, header_size = LENGTHS.unpack_from(self._buffer)
        end = LENGTHS.size + size
        if end > MAX_FRAME_BYTES:
            self.kill()
            raise ProcessLost("Its answer is too large.", is_over_budget=True)
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[LENGTHS.size : end])
        del self._buffer[:end]
        return frame, header_size

    def _stop_if_over_budget(self, max_cpu_seconds: float, deadline: float) -> None:
        used = self._read_cpu_seconds()
        is_late = time.monotonic() >= deadline
        # Without a clock of the process, only the time that passes can be measured.
        if is_late or (used is not None and used >= max_cpu_seconds):
            self.kill()
            raise ProcessLost("It took too long.", is_over_budget=used is None or used >= max_cpu_seconds)

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


def read_answer(frame: bytes, header_size: int) -> dict[str, Any]:
    """Return an answer with its rendered parts.

    :raises ValueError, TypeError, KeyError, AttributeError: if it is not in the form that ``child.py`` describes.
    """
    answer: dict[str, Any] = json.loads(frame[:header_size])
    start, parts = header_size, {}
    for name, size in answer["parts"].items():
        parts[str(name)] = frame[start : start + size].decode(errors="surrogatepass")
        start += size
    return {**answer, "parts": parts}


def build_command(program: str, modules: Sequence[str] = ()) -> list[str]:
    """Return the command of the child: Python, isolated from the environment and the user's packages.

    Its search path contains only the folders of this package, of Jinja2 and of ``modules``.

    :raises RenderingUnavailable: if Jinja2 is not installed or too old, or if there is no Python.
    """
    try:
        needed = [notifications, *map(extras.import_optional, ("jinja2", "markupsafe", *modules))]
    except MissingExtra as error:
        raise RenderingUnavailable(f"Staff templates cannot be rendered: {error}") from error
    found = version("jinja2")
    if tuple(map(int, VERSION_NUMBERS.findall(found)[:3])) < MIN_JINJA2:
        raise RenderingUnavailable(
            f"Staff templates cannot be rendered: Jinja2 {found} has known ways out of its sandbox. "
            f"Install {'.'.join(map(str, MIN_JINJA2))} or a later version."
        )
    folders = dict.fromkeys(str(Path(str(module.__file__)).resolve().parent.parent) for module in needed)
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
