"""Record the notifications that a block of code queues, with the real tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db.models import Max, QuerySet

from notifications.core.addresses import user_key
from notifications.delivering.attempt_outcomes import Tally
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.models import Delivery, Notification, NotificationLog
from notifications.recipients import Address
from notifications.testing.outages import check_channel


@dataclass
class Captured:
    """The notifications that were queued since the start of the block. Each access reads the tables."""

    after: int

    @property
    def notifications(self) -> QuerySet[Notification]:
        return Notification.objects.filter(pk__gt=self.after).order_by("pk")

    @property
    def deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.filter(notification_id__gt=self.after).order_by("pk")

    @property
    def dropped(self) -> QuerySet[NotificationLog]:
        """The log rows of drops, one for each recipient and channel, with ``reason``."""
        return NotificationLog.objects.filter(notification_id__gt=self.after, kind=NotificationLog.Kind.DROP).order_by(
            "pk"
        )

    def to(self, recipient: Any, event: Enum | str | None = None, channel: Enum | str | None = None) -> list[Delivery]:
        """Return the deliveries to a user or an ``Address``, optionally only those of one event or channel.

        :raises UnknownEvent: if the event is not registered.
        :raises ValueError: if the site does not have the channel.
        """
        check_names(event, channel)
        found = self.deliveries.filter(recipient_key=get_recipient_key(recipient))
        if event is not None:
            found = found.filter(notification__event=key_of(event))
        return list(found if channel is None else found.filter(channel=key_of(channel)))

    def assert_queued(self, event: Enum | str, *, to: Any, channel: Enum | str | None = None) -> None:
        """Assert that the event was queued for a recipient.

        :raises AssertionError: if there is no such delivery. The message lists the queued ones.
        :raises UnknownEvent: if the event is not registered.
        :raises ValueError: if the site does not have the channel.
        """
        if not self.to(to, event, channel):
            raise AssertionError(f"No {key_of(event)!r} was queued for {to!r}. {self}")

    def assert_nothing_queued(self) -> None:
        """Assert that nothing was queued.

        :raises AssertionError: if anything was queued. The message lists it.
        """
        if self.deliveries.exists():
            raise AssertionError(f"Expected that nothing is queued. {self}")

    def deliver(self) -> Tally:
        """Deliver the captured notifications in the test itself, with the worker's code.

        :returns: the number of deliveries for each state.
        """
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


def check_names(event: Any, channel: Any) -> None:
    """
    :raises UnknownEvent: if the event is not registered.
    :raises ValueError: if the site does not have the channel.
    """
    if event is not None:
        NOTIFICATION_EVENTS.find(event)
    if channel is not None:
        check_channel(key_of(channel))


def get_recipient_key(recipient: Any) -> str:
    """Return the recipient key of a user or an ``Address``."""
    return recipient.key if isinstance(recipient, Address) else user_key(recipient.pk)


@contextmanager
def capture_notifications() -> Iterator[Captured]:
    """Record the notifications that the block queues::

    with capture_notifications() as captured:
        order.ship()
    captured.assert_queued(ShopEvents.ORDER_SHIPPED, to=order.customer, channel="email")
    captured.deliver()      # then check django.core.mail.outbox
    """
    newest = Notification.objects.aggregate(newest=Max("pk"))["newest"]
    # Log rows remain when their notifications are deleted, so the log can contain a higher number.
    logged = NotificationLog.objects.aggregate(newest=Max("notification_id"))["newest"]
    yield Captured(after=max(newest or 0, logged or 0))
