"""The log in an explanation: what happened to deliveries, and which recipients ``send()`` dropped."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Q

from notifications.events import NOTIFICATION_EVENTS
from notifications.explain.explanation import ChannelExplanation, Happened, Step
from notifications.explain.remedies import Subject, describe_remedy, find_preference
from notifications.explain.steps import join_sentences
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import DeliveryState, Drop, Reason, Rule, RuleKind
from notifications.sending.enqueue import ALL_RECIPIENTS
from notifications.sending.gates import Person

MAX_ROWS = 200
SEND_REJECTED = "{}, so the whole send was rejected and its recipients were not recorded"


def load_log(deliveries: Sequence[Delivery]) -> dict[int | None, list[NotificationLog]]:
    """Return the log rows of each delivery by its id, the oldest first; at most ``MAX_ROWS``, the latest of all."""
    rows: dict[int | None, list[NotificationLog]] = defaultdict(list)
    # Notes are written before their delivery has a key.
    by_place: dict[tuple[Any, str, str], int] = {
        (row.notification_id, row.recipient_key, row.channel): row.pk for row in deliveries
    }
    for row in reversed(_load_latest(deliveries)):
        place = row.notification_id, row.recipient_key, row.channel
        rows[row.delivery_id or by_place.get(place)].append(row)
    return rows


def _load_latest(deliveries: Sequence[Delivery]) -> list[NotificationLog]:
    if not deliveries:
        return []
    notifications, keys = zip(*{(row.notification_id, row.recipient_key) for row in deliveries}, strict=True)
    notes = Q(kind=NotificationLog.Kind.NOTE, notification__in=notifications, recipient_key__in=keys)
    rows = NotificationLog.objects.filter(Q(delivery__in=[row.pk for row in deliveries]) | notes)
    return list(rows.order_by("-pk")[:MAX_ROWS])


def describe_log_row(row: NotificationLog) -> Happened:
    """Return a log row as a part of a story."""
    return Happened(row.sent_at, _describe(row))


def _describe(row: NotificationLog) -> str:
    error = f": {row.error_message.removesuffix('.')}" if row.error_message else ""
    if row.kind == NotificationLog.Kind.RESENT:
        return f"It was resent{error}."
    reason = row.get_reason_display()
    if row.kind == NotificationLog.Kind.ATTEMPT and row.success:
        return f"Attempt {row.attempt}: {row.provider or row.channel} accepted it."
    if row.kind == NotificationLog.Kind.ATTEMPT:
        return f"Attempt {row.attempt} by {row.provider or row.channel}: {reason}{error}."
    return f"{row.get_kind_display().capitalize()}: {reason}{error}."


def explain_drop(row: NotificationLog, person: Person) -> Iterator[ChannelExplanation]:
    """Yield an explanation for each channel on which ``send()`` dropped a recipient; there is no delivery.

    Only a row about all recipients names several channels.
    """
    if row.recipient_key == ALL_RECIPIENTS:
        cause = "Klaxon was switched off" if row.reason == Reason.SWITCHED_OFF else "the queue was full"
        for channel in _split_channels(row):
            yield _explain_drop_on(row, channel, SEND_REJECTED.format(cause), None)
    else:
        text = row.error_message or str(row.get_reason_display())
        yield _explain_drop_on(row, row.channel, text, find_preference(text, person, row.event, row.channel))


def _explain_drop_on(row: NotificationLog, channel: str, text: str, rule: Rule | None) -> ChannelExplanation:
    change = describe_remedy(row.reason, Subject(row.event, channel, row.recipient_key), rule)
    answer = Drop(Reason(row.reason), rule or Rule(RuleKind.TEXT, detail={"text": text}))
    return ChannelExplanation(
        channel,
        join_sentences("It was not sent", text, change),
        (Step("send", answer, text, change),),
        answer,
        state=str(DeliveryState.DROPPED),
        reason=row.reason,
        story=(Happened(row.sent_at, join_sentences("send() dropped it", text)),),
    )


def _split_channels(row: NotificationLog) -> list[str]:
    event = NOTIFICATION_EVENTS.named(row.event)
    names = [name.strip() for name in row.channel.split(",")]
    return [_complete(name, event.channels if event else ()) for name in names if name]


def _complete(name: str, known: Sequence[str]) -> str:
    """Return the full name of a channel. The column may have cut off the end of the last name."""
    return name if name in known else next((channel for channel in known if channel.startswith(name)), name)
