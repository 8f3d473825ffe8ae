"""Lets the next preferred channel begin: its delivery is due at once after a failure, and after its wait otherwise.

This only saves time. A delivery that nothing makes due earlier is due at its own time, and decides by what it finds in
the database.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime, timedelta

from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery
from notifications.outcomes import END_STATES, DeliveryState, Reason
from notifications.sending.gates.load_turns import get_event_with_turns
from notifications.sending.gates.turns import WAITING_REASONS
from notifications.storage.outbox import StateChange

HURRY_EVERY = timedelta(seconds=10)
HURRIED_AT_ONCE = 100
Key = tuple[int, str]
"""A notification and a recipient."""


def make_next_channels_due(settled: Sequence[tuple[Delivery, StateChange]], using: str, now: datetime) -> None:
    """Set the times of the deliveries whose turn comes after those that have ended or were passed over.

    Call this in the transaction that writes their states. It makes no query unless an event has ``prefer``.
    """
    due: dict[Key, datetime] = {}
    channels: set[str] = set()
    for delivery, change in settled:
        event = get_event_with_turns(delivery)
        if event is None or not (change.state in END_STATES or change.reason == Reason.PASSED_OVER):
            continue
        wait = event.preferred[delivery.channel].wait if change.state == DeliveryState.SENT else None
        due[delivery.notification_id, delivery.recipient_key] = now + (wait or timedelta())
        channels.update(event.preferred)
    _set_due_times(due, channels, using)


def _set_due_times(due: Mapping[Key, datetime], channels: Collection[str], using: str) -> None:
    """Change the times of the deliveries that wait for their turn. It takes two statements, or more if times differ."""
    if not due:
        return
    outbox = Delivery.objects.using(using)
    # With these three conditions, the unique index finds few rows of a notification that has many recipients.
    waiting = outbox.filter(
        notification__in={notification_id for notification_id, _ in due},
        channel__in=channels,
        recipient_key__in={recipient_key for _, recipient_key in due},
        state=DeliveryState.HELD,
        reason__in=WAITING_REASONS,
    )
    ids: dict[datetime, list[int]] = defaultdict(list)
    for pk, notification_id, recipient_key in waiting.values_list("pk", "notification_id", "recipient_key"):
        if (moment := due.get((notification_id, recipient_key))) is not None:
            ids[moment].append(pk)
    for moment, pks in ids.items():
        still_held = outbox.filter(pk__in=pks, state=DeliveryState.HELD, reason__in=WAITING_REASONS)
        still_held.update(due_at=moment)


class TurnHurrier:
    """Lets deliveries on other channels begin while those before them are ready on a channel that cannot be used.

    Each worker thread has one. It continues where its last call ended.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self._hurried_at: datetime | None = None
        self._last_id = 0

    def hurry(self, blocked: Set[str], now: datetime) -> None:
        """Make the deliveries due that wait for others on these channels, from time to time."""
        if self._hurried_at is not None and timedelta() <= now - self._hurried_at < HURRY_EVERY:
            return
        self._hurried_at = now
        events = [one for one in NOTIFICATION_EVENTS.values() if one.prefer and not blocked.isdisjoint(one.preferred)]
        if not events:
            return
        # The state must be a literal, or the partial index is not used.
        ready = Delivery.objects.using(self.using).extra(where=["klaxon_delivery.state = 'ready'"])
        names = [event.name for event in events]
        stuck = ready.filter(channel__in=blocked, notification__event__in=names, pk__gt=self._last_id).order_by("pk")
        rows = list(stuck.values_list("pk", "notification_id", "recipient_key")[:HURRIED_AT_ONCE])
        self._last_id = rows[-1][0] if len(rows) == HURRIED_AT_ONCE else 0
        channels = {name for event in events for name in event.preferred}
        _set_due_times({(notification_id, key): now for _pk, notification_id, key in rows}, channels, self.using)
