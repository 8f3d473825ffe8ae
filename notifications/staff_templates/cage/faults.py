"""What goes wrong in the cage: a template has a fault, or the cage cannot be used."""

from notifications.exceptions import KlaxonError

STOPPED = "Stopped"
"""The kind of a fault for which the process was killed. The other kinds are names of exceptions."""


class TemplateFault(KlaxonError):
    """A template that cannot be compiled, or that cannot be rendered with the variables of a message.

    :param kind: the name of the exception in the cage, or ``"Stopped"``.
    :param part: the template part, such as ``"html"``; empty if it is unknown.
    :param line: the line of the part, beginning with 1; 0 if it is unknown.
    """

    def __init__(self, kind: str, message: str, part: str = "", line: int = 0) -> None:
        place = part and (f"{part}, line {line}" if line else part)
        super().__init__(": ".join(filter(None, (place, f"{kind}: {message}" if message else kind))))
        self.kind, self.message, self.part, self.line = kind, message, part, line

    @property
    def is_stopped(self) -> bool:
        """Whether the process had to be killed."""
        return self.kind == STOPPED


class ProcessLost(Exception):
    """A process of the cage has ended, or was killed, before it had answered.

    :param is_over_budget: whether it had used more CPU time or memory for a message than a template may use.
    """

    def __init__(self, message: str, is_over_budget: bool = False) -> None:
        super().__init__(message)
        self.is_over_budget = is_over_budget
