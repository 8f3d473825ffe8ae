"""Taking tokens: who may go out now, and how long the others wait."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from notifications.delivering.limits.level import Level
from notifications.delivering.limits.needs import Need
from notifications.events import NotificationEvent
from notifications.models import Bucket
from notifications.outcomes import Drop, Hold, Reason, Rule, RuleKind


class Granted(NamedTuple):
    """Who may go out; for the others the seconds to wait, and which limit refused."""

    ids: set[int]
    wait: dict[int, float]
    by: dict[int, Need]


def take(needs: Mapping[int, Sequence[Need]], using: str, now: datetime) -> Granted:
    """Take the tokens that each delivery needs: of all its buckets, or of none. Served in the given order.

    One short transaction of three statements at most, and none if nobody needs anything. Exact whoever else takes at
    the same time: in no span of time does a bucket let through more than its burst and what came in.
    """
    keys = {need.key for wanted in needs.values() for need in wanted}
    if not keys:
        return Granted(set(needs), {}, {})
    buckets = Bucket.objects.using(using)
    with transaction.atomic(using=using):
        levels = {key: Level(bucket, now) for key, bucket in buckets.lock(keys, now).items()}
        granted = serve(needs, levels, now)
        buckets.write([level.row() for level in levels.values() if level.is_touched])
    return granted


def serve(needs: Mapping[int, Sequence[Need]], levels: Mapping[str, Level], now: datetime) -> Granted:
    """The decision alone: draws from ``levels`` as it goes."""
    granted = Granted(set(), {}, {})
    for id, several in needs.items():
        wanted = {need.key: need for need in several}.values()
        refusing = [need for need in wanted if not levels[need.key].lets_through(need)]
        if refusing:
            turns = {need: levels[need.key].promise(need) for need in refusing}
            granted.wait[id] = (max(turns.values()) - now).total_seconds()
            granted.by[id] = _strictest(refusing)
            continue
        for need in wanted:
            levels[need.key].draw(need)
        granted.ids.add(id)
    return granted


def _strictest(refusing: Iterable[Need]) -> Need:
    """Of the limits that refused, one that may drop before one that only ever makes wait."""
    return min(refusing, key=lambda need: need.is_of_provider)


def answer_to(event: NotificationEvent, need: Need, wait: float, now: datetime) -> Hold | Drop:
    """What becomes of a delivery that ``need`` refused: it waits, or is dropped if its event says so.

    A provider's limit never drops anything.
    """
    if event.over_limit == "drop" and not need.is_of_provider:
        detail = {"limit": need.key.partition(":")[0], "rate": str(need.rate)}
        return Drop(Reason.OVER_LIMIT, Rule(RuleKind.LIMIT, "site", detail))
    return Hold(now + timedelta(seconds=wait), Reason.OVER_LIMIT)
