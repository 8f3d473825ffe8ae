"""What goes wrong in the cage: a template has a fault, or the cage cannot be used."""

from enum import Enum

from notifications.exceptions import KlaxonError

STOPPED, OUT_OF_MEMORY = "Stopped", "MemoryError"
"""The kinds of faults for which the process was replaced. The other kinds are names of other exceptions."""


class TemplateFault(KlaxonError):
    """A template that cannot be compiled, or that cannot be rendered with the variables of a message.

    :param kind: the name of the exception in the cage, or ``"Stopped"``.
    :param part: the template part, such as ``"html"``; empty if it is unknown.
    :param line: the line of the part, beginning with 1; 0 if it is unknown.
    :param seconds: the CPU time that it took.
    """

    def __init__(self, kind: str, message: str, part: str = "", line: int = 0, seconds: float = 0.0) -> None:
        place = part and (f"{part}, line {line}" if line else part)
        super().__init__(": ".join(filter(None, (place, f"{kind}: {message}" if message else kind))))
        self.kind, self.message, self.part, self.line, self.seconds = kind, message, part, line, seconds

    @property
    def is_stopped(self) -> bool:
        """Whether the process had to be replaced."""
        return self.kind in (STOPPED, OUT_OF_MEMORY)


class Culprit(Enum):
    """Who is to blame for a lost process."""

    MESSAGE = "message"
    """The message that it was rendering: it has used more CPU time or memory than a message may use."""
    GROUP = "group"
    """All messages together. Each was within its limits."""
    MACHINE = "machine"
    """The machine, which is too busy to give it CPU time."""
    UNKNOWN = "unknown"
    """The message, or somebody who has killed the process."""


class ProcessLost(Exception):
    """A process of the cage has ended, or was killed, before it had answered."""

    def __init__(self, message: str, culprit: Culprit = Culprit.UNKNOWN) -> None:
        super().__init__(message)
        self.culprit = culprit
