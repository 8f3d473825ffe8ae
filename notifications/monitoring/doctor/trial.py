"""A test message through the outbox and the workers, as every notification, and what became of it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router

from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.exceptions import InvalidOption
from notifications.explain.remedies import Subject, describe_remedy
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.outcomes import END_STATES, DeliveryState, Reason

POLL_SECONDS = 0.2
EVENT = BuiltInEvents.TEST_MESSAGE
EXPLAIN = "Run explain_notification test_message for the recipient: it names the rule and what would change it."
# A retry comes in a minute or later.
SETTLED = frozenset({*END_STATES, DeliveryState.RETRY, DeliveryState.UNKNOWN})


@dataclass(frozen=True)
class Trial:
    """A test message that was queued.

    :param results: what ``send()`` has decided already.
    """

    notification_id: int | None
    results: Sequence[Diagnosis] = ()

    def wait(self, seconds: float) -> Iterator[Diagnosis]:
        """Wait for the workers, and yield one result for each channel.

        A message that no worker has handed over within the seconds is not checked.
        """
        yield from self.results
        if self.notification_id is None:
            return
        using = router.db_for_write(Delivery)
        rows = Delivery.objects.using(using).filter(notification=self.notification_id).order_by("channel", "pk")
        deadline = time.monotonic() + seconds
        while any(row.state not in SETTLED for row in rows.all()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        found = list(rows.all())
        for row in found:
            yield describe_delivery(row, seconds, using)
        if not found and not any(one.status is Status.ERROR for one in self.results):
            detail = "Nothing was sent: no channel reaches the recipient."
            yield Diagnosis(Status.ERROR, "test message", detail, EXPLAIN)


def start_trial(recipient: Any, channels: Sequence[str] = (), cluster: Any = None) -> Trial:
    """Queue a test message for a user or an address.

    :param channels: the names of channels; by default all that reach the recipient.
    :raises InvalidOption: if a test message cannot be sent on one of the channels.
    :raises InvalidRecipient, InvalidCluster: as ``send()``.
    """
    known = NOTIFICATION_EVENTS[EVENT].channels
    for name in channels:
        if name not in known:
            raise InvalidOption(f"A test message cannot be sent on the channel {name!r}. Use {', '.join(known)}.")
    options: dict[str, Any] = {"channels": list(channels)} if channels else {}
    result = NotificationManager.send(EVENT, recipient, cluster, context={}, **options)
    if result.spooled:
        detail = "The database cannot be used, so the message is in the spool until replay_spool queues it."
        return Trial(None, [Diagnosis(Status.ERROR, "test message", detail, "Make the database available.")])
    if result.notification_id is None:
        detail = " ".join(result.problems) or "Notifications are disabled."
        return Trial(None, [Diagnosis(Status.ERROR, "test message", detail, "Set NOTIFICATIONS['ENABLED'] to True.")])
    return Trial(result.notification_id, list(_list_drops(result, channels)))


def _list_drops(result: Any, channels: Sequence[str]) -> Iterator[Diagnosis]:
    for name in result.refused_channels:
        remedy = f"Add {name!r} to NOTIFICATIONS['CHANNELS'], or set its ENABLED to True."
        yield Diagnosis(Status.ERROR, f"test message by {name}", "The channel is not configured.", remedy)
    for outcome in result.outcomes():
        if outcome.state == DeliveryState.DROPPED and outcome.reason is not None:
            reason = Reason(outcome.reason)
            # Without --channel, a channel for which the recipient has no address is no fault.
            status = Status.ERROR if channels or reason != Reason.NO_ADDRESS else Status.OK
            subject = Subject(EVENT.value, outcome.channel, outcome.recipient_key)
            remedy = (describe_remedy(reason, subject) or EXPLAIN) if status is Status.ERROR else ""
            yield Diagnosis(status, f"test message by {outcome.channel}", f"Not sent: {reason.label}.", remedy)


def describe_delivery(row: Delivery, seconds: float, using: str) -> Diagnosis:
    """Return what has become of a delivery, with the answer of the provider."""
    name = f"test message by {row.channel}"
    log = NotificationLog.objects.using(using).filter(delivery=row, kind=NotificationLog.Kind.ATTEMPT).order_by("-pk")
    attempt = log.first()
    by = f" by {attempt.provider}" if attempt is not None and attempt.provider else ""
    if row.state == DeliveryState.SENT:
        number = f" as {row.provider_message_id}" if row.provider_message_id else ""
        duration = f" in {attempt.duration:.1f} s" if attempt is not None and attempt.duration is not None else ""
        return Diagnosis(Status.OK, name, f"Accepted{by}{number}{duration}.")
    if row.state in (DeliveryState.READY, DeliveryState.CLAIMED, DeliveryState.SENDING):
        detail = f"No worker has handed it over within {seconds:g} seconds. It stays queued."
        remedy = "Run dispatch_notifications, or see the result of `notifications_doctor --only workers`."
        return Diagnosis(Status.UNCHECKED, name, detail, remedy)
    reason = str(row.get_reason_display()) if row.reason else str(row.get_state_display())
    answer = f" The answer{by}: {attempt.error_message}" if attempt is not None and attempt.error_message else ""
    remedy = f"Run `notifications_doctor --only channels`, and see the page of the channel {row.channel!r}."
    if row.state == DeliveryState.HELD:
        return Diagnosis(Status.UNCHECKED, name, f"It waits: {reason}.{answer}", EXPLAIN)
    return Diagnosis(Status.ERROR, name, f"Not accepted ({row.get_state_display()}): {reason}.{answer}", remedy)
