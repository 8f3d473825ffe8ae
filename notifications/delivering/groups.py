"""Groups of claimed deliveries, the unit in which a worker thread hands messages to a provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from notifications.delivering.providers.choice import Provider
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Delivery
from notifications.sending.gates import Person

URGENT_SCORE = NotificationPriority.HIGH.band[0]


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

    @property
    def is_urgent(self) -> bool:
        return any(item.delivery.score >= URGENT_SCORE for item in self.items)
