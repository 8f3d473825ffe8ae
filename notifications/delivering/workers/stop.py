"""Whether a worker shall end: in order, or at once."""

from collections.abc import Callable
from dataclasses import dataclass


def never() -> bool:
    return False


@dataclass(frozen=True)
class Stop:
    """Asked between two messages, from any thread.

    :param asked: whether to hand over nothing more, where the channel allows that.
    :param at_once: whether to end after the next answer, even if it cannot be known then which messages of a group
        were accepted.
    """

    asked: Callable[[], bool] = never
    at_once: Callable[[], bool] = never

    def __call__(self) -> bool:
        return self.asked()
