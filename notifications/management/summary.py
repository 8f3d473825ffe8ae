"""The summary that ``dispatch_notifications`` prints at its end: what it did, and which deliveries wait and why."""

from collections import Counter
from datetime import datetime

from django.db import DatabaseError, Error, router
from django.db.models import Min, Q
from django.utils import timezone

from notifications import conf
from notifications.core import clock
from notifications.delivering.attempt_outcomes import KEPT_IN_A_FILE, NOT_RECORDED, Tally
from notifications.delivering.providers.choice import Providers
from notifications.management.counts import format_count
from notifications.models import Delivery, NotificationLog, Pause
from notifications.models.delivery import WAITS_FOR_DIGEST, DeliveryQuerySet
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState

ORDER = ("sent", "retry", "held", "dropped", "cancelled", "expired", "dead", "unknown", KEPT_IN_A_FILE, NOT_RECORDED)
MAX_COUNT = 10_000
"""Counting stops here, so that the summary of a large outbox takes no time."""


def describe_run(tally: Tally, began: datetime) -> list[str]:
    """
    :param tally: the outcomes since ``began``.
    """
    using = router.db_for_write(Delivery)
    tally = count_each_once(tally, began, using)
    sentences = [describe_outcomes(tally)] if tally.total() else []
    if tally[KEPT_IN_A_FILE] or tally[NOT_RECORDED]:
        return sentences  # the database cannot be used
    try:
        now = clock.now(using)
        return [*sentences, *describe_obstacles(using, now)] or [describe_later(using, now)]
    except Error:
        return sentences or ["Nothing was sent. The database cannot be used to count the deliveries that wait."]


def describe_outcomes(tally: Tally) -> str:
    """Return one sentence with the count of each outcome."""
    parts = [f"{tally[state]} {state}" for state in ORDER if tally[state]]
    return f"{format_count(tally.total(), 'delivery', 'deliveries')}: {', '.join(parts)}."


def count_each_once(tally: Tally, began: datetime, using: str) -> Tally:
    """Return the tally, but count a delivery with several attempts in this run only with its final outcome."""
    if not tally[DeliveryState.RETRY]:
        return tally
    waiting = Delivery.objects.using(using).filter(state=DeliveryState.RETRY)
    attempts = NotificationLog.objects.using(using).filter(kind=NotificationLog.Kind.ATTEMPT, sent_at__gte=began)
    retries = waiting.filter(pk__in=attempts.values("delivery_id"))
    try:
        count = min(retries.count(), tally[DeliveryState.RETRY])
    except DatabaseError:
        return tally  # the database is away, so the final outcomes are unknown
    return Counter({**tally, DeliveryState.RETRY: count})


def count_ready(now: datetime) -> int:
    """Return the number of deliveries that a worker would find at this moment."""
    using = router.db_for_write(Delivery)
    paused = Pause.objects.using(using).channel_names()
    return 0 if EVERYTHING in paused else find_due(using, now).exclude(channel__in=paused).count()


def find_due(using: str, now: datetime) -> DeliveryQuerySet:
    """Return the deliveries that would be sent now if there were no pause, failing provider or flood."""
    is_due = Q(state__in=(DeliveryState.HELD, DeliveryState.RETRY), due_at__lte=now) & ~WAITS_FOR_DIGEST
    return Delivery.objects.using(using).order_by().filter(Q(state=DeliveryState.READY) | is_due)


def describe_obstacles(using: str, now: datetime) -> list[str]:
    """Return one sentence for each reason why deliveries that are due are not sent."""
    waiting = find_due(using, now)
    pauses = dict(Pause.objects.using(using).order_by("channel").values_list("channel", "note"))
    if EVERYTHING in pauses:
        paused = f"is paused{add_note(pauses[EVERYTHING])}"
        if count := describe_count(waiting):
            return [f"{count} for resume_notifications: everything {paused}."]
        return [f"Everything {paused}. Nothing is due."]
    failing = sorted(Providers(using).unavailable_channels(now) - pauses.keys())
    obstacles = {name: f"which is paused{add_note(note)}" for name, note in pauses.items()}
    obstacles |= dict.fromkeys(failing, "which fails and is tried again later")
    counts = {name: describe_count(waiting.filter(channel=name)) for name in obstacles}
    sentences = [f"{counts[name]} for {name}, {obstacle}." for name, obstacle in obstacles.items() if counts[name]]
    if others := describe_count(waiting.exclude(channel__in=obstacles)):
        is_flooded = Delivery.objects.using(using).has_more_ready_than(conf.current().throttle_depth)
        sentences.append(f"{others} {'behind a flood: ' + FLOOD if is_flooded else 'for a worker'}.")
    return sentences


FLOOD = (
    "more than THROTTLE_DEPTH deliveries are ready, so workers send only CRITICAL and HIGH ones and, from time to "
    "time, the oldest"
)


def describe_later(using: str, now: datetime) -> str:
    later = Delivery.objects.using(using).filter(state__in=(DeliveryState.HELD, DeliveryState.RETRY))
    first = later.aggregate(first=Min("due_at"))["first"]
    if first is None:
        return "Nothing was ready to send."
    until = f"{timezone.localtime(first):%Y-%m-%d %H:%M %Z}"
    return f"Nothing is due now. {describe_count(later)}, the first until {until}."


def describe_count(rows: DeliveryQuerySet) -> str:
    """Return ``3 deliveries wait`` or ``1 delivery waits``; empty if there are none."""
    count = rows.order_by()[: MAX_COUNT + 1].count()
    if count > MAX_COUNT:
        return f"More than {MAX_COUNT} deliveries wait"
    return format_count(count, "delivery waits", "deliveries wait") if count else ""


def add_note(note: str) -> str:
    return f" ({note})" if note else ""
