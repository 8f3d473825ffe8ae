"""What a block of code queued, read from the real tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db.models import Max, QuerySet

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.tally import Tally
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.models import Delivery, Notification, NotificationLog
from notifications.recipients import Address, user_key
from notifications.testing.outages import check_channel


@dataclass
class Captured:
    """The notifications queued since the block began. Everything is read when asked for, so it is never stale."""

    after: int

    @property
    def notifications(self) -> QuerySet[Notification]:
        return Notification.objects.filter(pk__gt=self.after).order_by("pk")

    @property
    def deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.filter(notification_id__gt=self.after).order_by("pk")

    @property
    def dropped(self) -> QuerySet[NotificationLog]:
        """One log row for each recipient and channel that a gate refused, with its ``reason``."""
        return NotificationLog.objects.filter(notification_id__gt=self.after, kind=NotificationLog.Kind.DROP).order_by(
            "pk"
        )

    def to(self, recipient: Any, event: Enum | str | None = None, channel: Enum | str | None = None) -> list[Delivery]:
        """The deliveries to a user or an ``Address``, perhaps of one event or channel only.

        :raises UnknownEvent: if nobody registered the event.
        :raises ValueError: if the site has no such channel.
        """
        check_known(event, channel)
        found = self.deliveries.filter(recipient_key=key_of_recipient(recipient))
        if event is not None:
            found = found.filter(notification__event=key_of(event))
        return list(found if channel is None else found.filter(channel=key_of(channel)))

    def assert_queued(self, event: Enum | str, *, to: Any, channel: Enum | str | None = None) -> None:
        """Fails unless it was; raises as :meth:`to` does, too.

        :raises AssertionError: telling what was queued instead.
        """
        if not self.to(to, event, channel):
            raise AssertionError(f"No {key_of(event)!r} was queued for {to!r}. {self}")

    def assert_nothing_queued(self) -> None:
        """:raises AssertionError: telling what was queued."""
        if self.deliveries.exists():
            raise AssertionError(f"Expected nothing. {self}")

    def deliver(self) -> Tally:
        """Deliver what was captured, here and now, by the worker's own code; returns how many came to which state."""
        ids = list(self.notifications.values_list("pk", flat=True))
        dispatcher = Dispatcher()
        try:
            return dispatcher.run_until_idle(ids) if ids else Tally()
        finally:
            dispatcher.close()

    def __str__(self) -> str:
        queued = [f"{row.notification.event} to {row.recipient_key} by {row.channel}" for row in self._all()]
        refused = [f"{row.event} to {row.recipient_key} by {row.channel}: {row.reason}" for row in self.dropped]
        return f"Queued: {'; '.join(queued) or 'nothing'}. Dropped: {'; '.join(refused) or 'nothing'}."

    def _all(self) -> QuerySet[Delivery]:
        return self.deliveries.select_related("notification")


def check_known(event: Any, channel: Any) -> None:
    """:raises UnknownEvent, ValueError: if nobody registered the event, or the site has no such channel."""
    if event is not None:
        NOTIFICATION_EVENTS.find(event)
    if channel is not None:
        check_channel(key_of(channel))


def key_of_recipient(recipient: Any) -> str:
    """The recipient key of a user or an ``Address``."""
    return recipient.key if isinstance(recipient, Address) else user_key(recipient.pk)


@contextmanager
def capture_notifications() -> Iterator[Captured]:
    """Tell what the block queues::

    with capture_notifications() as captured:
        order.ship()
    captured.assert_queued(ShopEvents.ORDER_SHIPPED, to=order.customer, channel="email")
    captured.deliver()      # and look at django.core.mail.outbox
    """
    newest = Notification.objects.aggregate(newest=Max("pk"))["newest"]
    # The log outlives what it tells of.
    logged = NotificationLog.objects.aggregate(newest=Max("notification_id"))["newest"]
    yield Captured(after=max(newest or 0, logged or 0))
