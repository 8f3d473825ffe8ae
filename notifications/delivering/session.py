"""What the steps of one worker thread share and pass on."""

from collections.abc import Callable
from dataclasses import dataclass

from notifications.delivering.claim import Claimer
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.pending_groups import PendingGroups
from notifications.delivering.providers.choice import Providers


def never() -> bool:
    return False


@dataclass(frozen=True)
class Stop:
    """Whether a worker should stop. Called between two messages, from any thread.

    :param is_requested: whether to stop before the next message if the channel is ``one_by_one``, otherwise after the
        group.
    :param is_immediate: whether to stop after the next receipt, on any channel. It is then unknown whether the other
        messages of the group were accepted.
    """

    is_requested: Callable[[], bool] = never
    is_immediate: Callable[[], bool] = never

    def __call__(self) -> bool:
        return self.is_requested()


@dataclass(frozen=True)
class Session:
    """The database, claims, providers, writer and groups of one worker thread, which keeps them from batch to batch."""

    using: str
    stop: Stop
    writer: OutcomeWriter
    providers: Providers
    claimer: Claimer
    pending: PendingGroups
