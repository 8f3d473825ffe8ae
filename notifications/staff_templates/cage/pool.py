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
from notifications.staff_templates.cage.faults import OUT_OF_MEMORY, STOPPED, Culprit, ProcessLost, TemplateFault
from notifications.staff_templates.cage.process import PROGRAM, CageProcess

logger = logging.getLogger("notifications.staff_templates")

LAYERS = ("rlimits", "seccomp")
MAX_IDLE = 2
"""How many processes wait for work in each process of the site."""
TURN_SECONDS = 1.0
"""When a message is tried again that waits because of another one."""
MAX_LINE = 10**6


@dataclass(frozen=True)
class Source:
    """The variants of a template by part.

    :param key: equal for equal sources only, also of different databases.
    :param derives_text: whether a text that is missing comes from the HTML.
    """

    key: str
    parts: Mapping[str, str]
    derives_text: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the template as ``child.py`` reads it."""
        return {"parts": dict(self.parts), "derives_text": self.derives_text}


@dataclass(frozen=True)
class Job:
    """A message to render: its template, and the variables as JSON; None if the template is only to be compiled.

    :param paths: where the variables hold values that the child builds, see ``child_values.build_values()``.
    :param copied: the names of variables that are left out because ``original`` has the same.
    """

    source: Source
    variables: Mapping[str, Any] | None
    paths: Sequence[Path] = ()
    copied: Sequence[str] = ()

    def describe(self) -> tuple[str, Mapping[str, Any] | None, Sequence[Path], Sequence[str]]:
        """Return the job as ``child.py`` reads it."""
        return self.source.key, self.variables, self.paths, self.copied

    def find_text(self, name: str) -> str:
        """Return a variable as a text; empty if there is none."""
        variables = self.variables or {}
        value = (variables["original"] if name in self.copied else variables).get(name)
        return "" if value is None else str(value)


@dataclass(frozen=True)
class RenderedJob:
    """The rendered parts of a message, and the CPU seconds that they took, without and with the compilation."""

    parts: Mapping[str, str]
    seconds: float
    compile_seconds: float = 0.0


Result = RenderedJob | TemplateFault | RenderingUnavailable


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
        """Return the result of each job: the rendered parts, the fault of its template, or why it must wait.

        It takes one round trip. It ends with the first message for which the process had to be killed, so a group takes
        little longer than one such message; the messages after it wait for their next turn.

        :raises RenderingUnavailable: if no process can be started, or the machine gives it no CPU time.
        """
        results: list[Result] = []
        if not jobs:
            return results
        try:
            self._render_in_one_process(jobs, results, is_new=False)
        except ProcessLost as error:
            if error.culprit is Culprit.UNKNOWN:
                # Somebody may have killed it since its last group. If a new one ends too, the message is to blame.
                self._try_again(jobs, results)
            else:
                self._give_up(error, jobs, results)
        return results

    def _try_again(self, jobs: Sequence[Job], results: list[Result]) -> None:
        try:
            self._render_in_one_process(jobs, results, is_new=True)
        except ProcessLost as error:
            self._give_up(error, jobs, results)

    def _render_in_one_process(self, jobs: Sequence[Job], results: list[Result], is_new: bool) -> None:
        """Add the results of the jobs that have none.

        :raises ProcessLost: if the process does not answer for all of them.
        """
        left = jobs[len(results) :]
        with self._borrow(is_new) as process:
            sources = {job.source.key: job.source for job in left}
            unknown = {key: source.describe() for key, source in sources.items() if key not in process.known}
            request = {"templates": unknown, "jobs": [job.describe() for job in left]}
            is_fresh = not process.known
            process.known.update(unknown)
            for place, answer in enumerate(process.ask(request, len(left))):
                result = read_result(answer, left[place].source)
                is_first = is_fresh and place == 0
                if isinstance(result, TemplateFault) and result.kind == OUT_OF_MEMORY and not is_first:
                    # The templates before it may have filled the memory. It is tried first in a new process.
                    raise ProcessLost("The memory is full.", Culprit.GROUP if is_fresh else Culprit.UNKNOWN)
                results.append(result)

    def _give_up(self, error: ProcessLost, jobs: Sequence[Job], results: list[Result]) -> None:
        """Add the results of the message that stopped its process, and of those after it."""
        if error.culprit is Culprit.MACHINE:
            raise RenderingUnavailable("The machine is too busy to render staff templates.") from error
        if error.culprit is not Culprit.GROUP:
            results.append(TemplateFault(STOPPED, str(error)))
        reason = str(error) if error.culprit is Culprit.GROUP else "A template was stopped before its turn."
        results += [RenderingUnavailable(reason, TURN_SECONDS) for _ in jobs[len(results) :]]

    @contextmanager
    def _borrow(self, is_new: bool) -> Iterator[CageProcess]:
        process = (None if is_new else self._take_idle()) or self._start()
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


def read_result(answer: Mapping[str, Any], source: Source) -> Result:
    """Return the result that an answer of the child describes. Parts that the template does not have are left out."""
    fault = answer.get("fault")
    if fault is None:
        allowed = {*source.parts, "txt"} if source.derives_text else source.parts.keys()
        parts = {name: text for name, text in answer["parts"].items() if name in allowed}
        return RenderedJob(parts, answer["seconds"] - answer["compile_seconds"], answer["compile_seconds"])
    read = fault.get if isinstance(fault, dict) else {}.get
    kind, message, part = (str(read(name, ""))[:300] for name in ("kind", "message", "part"))
    line = read("line", 0)
    is_line = type(line) is int and 0 <= line < MAX_LINE
    return TemplateFault(kind, message, part, line if is_line else 0, answer["seconds"])


CAGE = Cage()
"""The processes that this process of the site uses."""
atexit.register(CAGE.close)
