"""What a run of ``dispatch_notifications`` says at its end: what was done, and what waits and why."""

from collections import Counter
from datetime import datetime

from django.db import DatabaseError, Error, router
from django.db.models import Min, Q
from django.utils import timezone

from notifications.core import clock
from notifications.delivering.limits import is_flooded
from notifications.delivering.providers.choice import Providers
from notifications.delivering.tally import KEPT_IN_A_FILE, NOT_RECORDED, Tally
from notifications.models import Delivery, NotificationLog, Pause
from notifications.models.delivery import WAITS_FOR_OTHERS, DeliveryQuerySet
from notifications.models.pause import EVERYTHING
from notifications.outcomes import DeliveryState

ORDER = ("sent", "retry", "held", "dropped", "cancelled", "expired", "dead", "unknown", KEPT_IN_A_FILE, NOT_RECORDED)
MOST = 10_000
"""Nobody is to wait because more than this are counted."""


def describe_run(tally: Tally, began: datetime) -> list[str]:
    """
    :param tally: what was done since ``began``.
    """
    using = router.db_for_write(Delivery)
    tally = count_each_once(tally, began, using)
    said = [describe_outcomes(tally)] if tally.total() else []
    if tally[KEPT_IN_A_FILE] or tally[NOT_RECORDED]:
        return said  # the database cannot be asked
    try:
        now = clock.now(using)
        return [*said, *describe_obstacles(using, now)] or [describe_later(using, now)]
    except Error:
        return said or ["Nothing was sent. The database cannot be asked what waits."]


def describe_outcomes(tally: Tally) -> str:
    """One sentence about what was done."""
    parts = [f"{tally[state]} {state}" for state in ORDER if tally[state]]
    count = tally.total()
    return f"{count} {'delivery' if count == 1 else 'deliveries'}: {', '.join(parts)}."


def count_each_once(tally: Tally, began: datetime, using: str) -> Tally:
    """The same, where what was tried several times in this run counts as what it came to."""
    if not tally[DeliveryState.RETRY]:
        return tally
    waiting = Delivery.objects.using(using).filter(state=DeliveryState.RETRY)
    tried = NotificationLog.objects.using(using).filter(kind=NotificationLog.Kind.ATTEMPT, sent_at__gte=began)
    mine = waiting.filter(pk__in=tried.values("delivery_id"))
    try:
        left = min(mine.count(), tally[DeliveryState.RETRY])
    except DatabaseError:
        return tally  # the database is away: then the outcomes are all that is known
    return Counter({**tally, DeliveryState.RETRY: left})


def count_ready(now: datetime) -> int:
    """How many deliveries a worker would find at this moment."""
    using = router.db_for_write(Delivery)
    paused = Pause.objects.using(using).names()
    return 0 if EVERYTHING in paused else find_due(using, now).exclude(channel__in=paused).count()


def find_due(using: str, now: datetime) -> DeliveryQuerySet:
    """What could go out now, if nothing stood in the way."""
    is_due = Q(state__in=(DeliveryState.HELD, DeliveryState.RETRY), due_at__lte=now) & ~WAITS_FOR_OTHERS
    return Delivery.objects.using(using).order_by().filter(Q(state=DeliveryState.READY) | is_due)


def describe_obstacles(using: str, now: datetime) -> list[str]:
    """A sentence for each reason why something that is due does not go out."""
    waiting = find_due(using, now)
    pauses = dict(Pause.objects.using(using).order_by("channel").values_list("channel", "note"))
    if EVERYTHING in pauses:
        paused = f"is paused{add_note(pauses[EVERYTHING])}"
        if count := describe_count(waiting):
            return [f"{count} for resume_notifications: everything {paused}."]
        return [f"Everything {paused}. Nothing is due."]
    failing = sorted(Providers(using).unavailable_channels(now) - pauses.keys())
    why_not = {name: f"which is paused{add_note(note)}" for name, note in pauses.items()}
    why_not |= dict.fromkeys(failing, "which fails and is tried again later")
    counts = {name: describe_count(waiting.filter(channel=name)) for name in why_not}
    said = [f"{counts[name]} for {name}, {why}." for name, why in why_not.items() if counts[name]]
    if others := describe_count(waiting.exclude(channel__in=why_not)):
        said.append(f"{others} {'behind a flood: ' + FLOOD if is_flooded(using) else 'for a worker'}.")
    return said


FLOOD = "more are ready than THROTTLE_DEPTH, so only what is CRITICAL or HIGH is sent, and now and then the oldest"


def describe_later(using: str, now: datetime) -> str:
    later = Delivery.objects.using(using).filter(state__in=(DeliveryState.HELD, DeliveryState.RETRY))
    first = later.aggregate(first=Min("due_at"))["first"]
    if first is None:
        return "Nothing was ready to send."
    until = f"{timezone.localtime(first):%Y-%m-%d %H:%M %Z}"
    return f"Nothing is due now. {describe_count(later)} for later, the first until {until}."


def describe_count(rows: DeliveryQuerySet) -> str:
    """``3 wait``, ``1 waits``; empty if there are none."""
    count = rows.order_by()[: MOST + 1].count()
    if count > MOST:
        return f"More than {MOST} wait"
    return f"{count} wait{'s' if count == 1 else ''}" if count else ""


def add_note(note: str) -> str:
    return f" ({note})" if note else ""
