"""Digests without a single notification: for users to whom the host has something to tell all the same."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, router
from django.db.models import Q

from notifications import conf
from notifications.core import clock
from notifications.core.hours import list_started_hours
from notifications.core.primary import read_from_primary
from notifications.core.zones import get_zone
from notifications.digests.grouping import kind_for
from notifications.digests.sections import sections_for
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, key_of
from notifications.exceptions import IdempotencyConflict
from notifications.manager import NotificationManager
from notifications.models import Delivery, UserSettings
from notifications.recipients import user_key
from notifications.sending.gates import Person, load_people

logger = logging.getLogger("notifications.digests")

AT_ONCE = 100


@read_from_primary()
def send_summaries(now: datetime | None = None, enough: Callable[[], bool] = lambda: False) -> int:
    """Within the hour of their digest, send everyone who has none yet what ``DIGEST_SECTIONS`` has for them.

    The host is asked once for each user; that each gets but one is seen to by an idempotency key. Returns how many
    were queued.
    """
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    if not conf.current().digest_sections or not _channels():
        return 0
    sent = 0
    for since, rows in _due(now, using):
        sent += _send(since, rows, now, using)
        if enough():
            break
    return sent


def _channels() -> list[str]:
    """Those of digests that there are templates and a gate for whatever the host has."""
    able = NOTIFICATION_EVENTS[DIGESTS["daily"]].channels
    on = conf.current().enabled_channels
    return [name for name in map(key_of, conf.current().digest_channels) if name in able and name in on]


def _due(now: datetime, using: str) -> Iterator[tuple[datetime, list[UserSettings]]]:
    """Settings whose hour it is and that were not asked about, a hundred at a time, with the beginning of the hour."""
    with_digest = UserSettings.objects.using(using).exclude(digest=UserSettings.Digest.NONE)
    for name in list(with_digest.order_by().values_list("time_zone", flat=True).distinct()):
        for since, hour, weekday in list_started_hours(now, get_zone(name)):
            on_this_day = Q(digest=UserSettings.Digest.DAILY) | Q(digest_day=weekday)
            unasked = Q(digest_asked_at=None) | Q(digest_asked_at__lt=since)
            due = with_digest.filter(on_this_day, unasked, time_zone=name, digest_hour=hour)
            last = 0
            while page := list(due.filter(pk__gt=last).select_related("cluster").order_by("pk")[:AT_ONCE]):
                last = page[-1].pk
                yield since, page


def _send(since: datetime, rows: Sequence[UserSettings], now: datetime, using: str) -> int:
    by_cluster: defaultdict[Any, list[UserSettings]] = defaultdict(list)
    for row in rows:
        by_cluster[row.cluster].append(row)
    sent = sum(_send_in(cluster, group, since, now, using) for cluster, group in by_cluster.items())
    # Not by save(): it is no change of what the user wants.
    UserSettings.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(digest_asked_at=now)
    return sent


def _send_in(cluster: Any, rows: Sequence[UserSettings], since: datetime, now: datetime, using: str) -> int:
    chosen = {row.user_id: row for row in rows}
    served = _served(cluster, [user_key(pk) for pk in chosen], since, using)
    # A host's own preferences may say otherwise than the table.
    persons = [
        person
        for pk, person in load_people(cluster, chosen).items()
        if person.key not in served and _agrees(person, chosen[pk])
    ]
    given = sections_for(cluster, persons, now, using)
    return sum(_send_one(cluster, person, since, given.get((cluster.pk, person.user.pk))) for person in persons)


def _agrees(person: Person, row: UserSettings) -> bool:
    names = "digest", "digest_hour", "digest_day", "time_zone"
    return person.user is not None and all(getattr(person.settings, name, None) == getattr(row, name) for name in names)


def _served(cluster: Any, keys: Sequence[str], since: datetime, using: str) -> set[str]:
    """Who has a digest of this hour, or one that is still to go out, or will have one of what waits for it."""
    of_these = Delivery.objects.using(using).filter(notification__cluster=cluster, recipient_key__in=keys)
    made = Q(notification__gathers__in=DIGESTS) & (Q(notification__created_at__gte=since) | Q(state="held"))
    at_once = Q(notification__send_at=None) | Q(notification__send_at__lt=since)
    waits = Q(state="held", reason="digest", notification__created_at__lt=since) & at_once
    return set(of_these.filter(made | waits).values_list("recipient_key", flat=True))


def _send_one(cluster: Any, person: Person, since: datetime, sections: Any) -> int:
    if not sections:
        return 0
    kind = kind_for(person)
    key = f"{kind} {person.key} {since.isoformat()}"
    context = {"sections": sections}
    try:
        result = NotificationManager.send(
            DIGESTS[kind], [person.user], cluster, context, channels=_channels(), idempotency_key=key
        )
    except IdempotencyConflict:
        return 0  # another process has sent it, a moment ago, with other words
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # It must not keep the others from theirs.
        logger.exception("The digest of %s cannot be sent.", person.key)
        return 0
    return int(not result.duplicate and result.queued + result.held > 0)
