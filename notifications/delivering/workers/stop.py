"""The stop of a worker, in order or immediate."""

from collections.abc import Callable
from dataclasses import dataclass


def never() -> bool:
    return False


@dataclass(frozen=True)
class Stop:
    """Whether a worker should stop. Called between two messages, from any thread.

    :param is_requested: whether to hand over no more messages, if the channel can stop between messages.
    :param is_immediate: whether to stop after the next receipt, even if it is then unknown which messages of a group
        were accepted.
    """

    is_requested: Callable[[], bool] = never
    is_immediate: Callable[[], bool] = never

    def __call__(self) -> bool:
        return self.is_requested()
