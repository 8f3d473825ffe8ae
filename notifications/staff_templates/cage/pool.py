"""Renders groups of messages in processes of the cage, and replaces processes that a template has stopped."""

import atexit
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from notifications.exceptions import RenderingUnavailable
from notifications.staff_templates.cage.budget import MAX_TEMPLATES, WORN_CPU_SECONDS
from notifications.staff_templates.cage.child_values import Path
from notifications.staff_templates.cage.faults import STOPPED, ProcessLost, TemplateFault
from notifications.staff_templates.cage.process import PROGRAM, CageProcess

logger = logging.getLogger("notifications.staff_templates")

LAYERS = ("rlimits", "seccomp")
MAX_IDLE = 2
"""How many processes wait for work in each process of the site."""
TRIES = 2
"""How often a message is tried whose process has ended without an excess of the template, such as by the kernel."""


@dataclass(frozen=True)
class Source:
    """The variants of a template by part.

    :param key: equal for equal variants only.
    """

    key: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """A message to render: its template, and the variables as JSON; None if the template is only to be compiled.

    :param paths: where the variables hold values that the child builds, see ``child_values.build_values()``.
    """

    source: Source
    variables: Mapping[str, Any] | None
    paths: Sequence[Path] = ()


@dataclass(frozen=True)
class RenderedJob:
    """The rendered parts of a message, and the CPU seconds that they took."""

    parts: Mapping[str, str]
    seconds: float


Result = RenderedJob | TemplateFault


class Cage:
    """Processes that render. Each is used by one thread at a time, so a slow template delays no other thread.

    :param program: the Python code that they run.
    """

    def __init__(self, program: str = PROGRAM) -> None:
        self.program = program
        self._idle: list[CageProcess] = []
        self._lock = threading.Lock()
        self._has_warned = False

    def render(self, jobs: Sequence[Job]) -> list[Result]:
        """Return the result of each job: the rendered parts, or the fault of its template.

        It takes one round trip, and another one for each template for which the process had to be killed. The
        remaining jobs of such a template are not tried.

        :raises RenderingUnavailable: if no process can be started, or the machine gives it no CPU time.
        """
        results: dict[int, Result] = {}
        lost: dict[int, int] = {}
        while waiting := [place for place in range(len(jobs)) if place not in results]:
            try:
                self._render_in_one_process(jobs, waiting, results)
            except ProcessLost as error:
                first = next(place for place in waiting if place not in results)
                lost[first] = lost.get(first, 0) + 1
                if error.is_over_budget or lost[first] >= TRIES:
                    self._give_up(jobs, first, error, results)
        return [results[place] for place in range(len(jobs))]

    def _render_in_one_process(self, jobs: Sequence[Job], waiting: Sequence[int], results: dict[int, Result]) -> None:
        with self._borrow() as process:
            sources = {jobs[place].source.key: jobs[place].source for place in waiting}
            unknown = {key: dict(source.parts) for key, source in sources.items() if key not in process.known}
            request = {
                "templates": unknown,
                "jobs": [(job.source.key, job.variables, job.paths) for job in map(jobs.__getitem__, waiting)],
            }
            process.known.update(unknown)
            for place, answer in zip(waiting, process.ask(request, len(waiting)), strict=True):
                results[place] = read_result(answer)

    def _give_up(self, jobs: Sequence[Job], first: int, error: ProcessLost, results: dict[int, Result]) -> None:
        """Set the result of the job that stopped its process, and of all others with its template."""
        if not error.is_over_budget and "too long" in str(error):
            raise RenderingUnavailable("The machine is too busy to render staff templates.") from error
        key = jobs[first].source.key
        for place, job in enumerate(jobs):
            if place not in results and job.source.key == key:
                results[place] = TemplateFault(STOPPED, str(error))

    @contextmanager
    def _borrow(self) -> Iterator[CageProcess]:
        process = self._take_idle() or self._start()
        is_usable = False
        try:
            yield process
            is_usable = process.cpu_seconds < WORN_CPU_SECONDS and len(process.known) < MAX_TEMPLATES
        finally:
            with self._lock:
                if is_usable and len(self._idle) < MAX_IDLE:
                    self._idle.append(process)
                    process = None  # type: ignore[assignment]
            if process is not None:
                process.kill()

    def _take_idle(self) -> CageProcess | None:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.pid_of_parent == os.getpid():
                    return process
                process.kill()
        return None

    def _start(self) -> CageProcess:
        process = CageProcess(self.program)
        lacking = [layer for layer in LAYERS if layer not in process.layers]
        if lacking and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Staff templates are rendered without %s, because this system lacks it.", " and ".join(lacking)
            )
        return process

    def close(self) -> None:
        """End the processes that wait for work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.kill()


def read_result(answer: Any) -> Result:
    """Return the result that an answer of the child describes."""
    fault = answer.get("fault")
    if fault is None:
        return RenderedJob(answer["parts"], answer["seconds"])
    return TemplateFault(str(fault["kind"]), str(fault["message"]), str(fault["part"]), int(fault["line"]))


CAGE = Cage()
"""The processes that this process of the site uses."""
atexit.register(CAGE.close)
