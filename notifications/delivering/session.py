"""What the steps of one worker thread share and pass on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from notifications.delivering.claim import Claimer
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.choice import Provider, Providers
from notifications.events import NotificationEvent
from notifications.models import Delivery
from notifications.sending.gates import Person


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
    """The database, claims, providers and writer of one worker thread, which keeps them from batch to batch."""

    using: str
    stop: Stop
    writer: OutcomeWriter
    providers: Providers
    claimer: Claimer


@dataclass(frozen=True)
class ClaimedDelivery:
    """A claimed delivery that may be sent, its event and its recipient."""

    delivery: Delivery
    event: NotificationEvent
    person: Person


@dataclass
class Group:
    """Deliveries that one provider gets in one call.

    :param rechecked_at: when the gates last decided about the deliveries.
    """

    provider: Provider
    items: Sequence[ClaimedDelivery]
    rechecked_at: datetime

    @property
    def deliveries(self) -> list[Delivery]:
        return [item.delivery for item in self.items]
