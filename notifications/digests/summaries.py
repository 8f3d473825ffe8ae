"""Digests without a single notification: for users to whom the host has something to tell all the same."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from typing import Any

from django.db import router
from django.db.models import Q

from notifications import clock, conf
from notifications.digests.sections import provided
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, key_of
from notifications.exceptions import IdempotencyConflict
from notifications.manager import NotificationManager
from notifications.models import Delivery, UserSettings
from notifications.recipients import user_key
from notifications.zones import first_instant, known_zone

AT_ONCE = 100
KINDS = dict(zip((UserSettings.Digest.DAILY, UserSettings.Digest.WEEKLY), DIGESTS, strict=True))


def send_summaries(now: datetime | None = None) -> int:
    """Within the hour of their digest, send everyone who has none yet what ``DIGEST_SECTIONS`` has for them.

    The host is asked once for each user; that each gets but one is seen to by an idempotency key. Returns how many
    were queued.
    """
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    if not conf.current().digest_sections:
        return 0
    return sum(_send(since, rows, now, using) for since, rows in _due(now, using))


def _due(now: datetime, using: str) -> Iterator[tuple[datetime, list[UserSettings]]]:
    """Settings whose hour it is and that were not asked about, a hundred at a time, with the beginning of the hour."""
    with_digest = UserSettings.objects.using(using).exclude(digest=UserSettings.Digest.NONE)
    for name in list(with_digest.order_by().values_list("time_zone", flat=True).distinct()):
        zone = known_zone(name)
        local = now.astimezone(zone)
        since = first_instant(datetime.combine(local.date(), time(local.hour)), zone)
        on_this_day = Q(digest=UserSettings.Digest.DAILY) | Q(digest_day=local.weekday())
        unasked = Q(digest_asked_at=None) | Q(digest_asked_at__lt=since)
        due = with_digest.filter(on_this_day, unasked, time_zone=name, digest_hour=local.hour)
        last = 0
        while page := list(due.filter(pk__gt=last).select_related("user", "cluster").order_by("pk")[:AT_ONCE]):
            last = page[-1].pk
            yield since, page


def _send(since: datetime, rows: Sequence[UserSettings], now: datetime, using: str) -> int:
    alike: defaultdict[tuple[Any, str], list[UserSettings]] = defaultdict(list)
    for row in rows:
        alike[row.cluster, row.digest].append(row)
    sent = sum(_send_alike(cluster, kind, group, since, now, using) for (cluster, kind), group in alike.items())
    # Not by save(): it is no change of what the user wants.
    UserSettings.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(digest_asked_at=now)
    return sent


def _send_alike(
    cluster: Any, kind: str, group: Sequence[UserSettings], since: datetime, now: datetime, using: str
) -> int:
    served = _served(cluster, [user_key(row.user_id) for row in group], since, using)
    users = [row.user for row in group if user_key(row.user_id) not in served]
    given = provided(cluster, users, kind, now, using) if users else {}
    return sum(_send_one(cluster, kind, user, since, given[user.pk]) for user in users if given.get(user.pk))


def _served(cluster: Any, keys: Sequence[str], since: datetime, using: str) -> set[str]:
    """Who has a digest of this hour, or will have one of what waits for it."""
    of_these = Delivery.objects.using(using).filter(notification__cluster=cluster, recipient_key__in=keys)
    made = Q(notification__gathers__in=KINDS, notification__created_at__gte=since)
    waits = Q(state="held", reason="digest", due_at__lte=since)
    return set(of_these.filter(made | waits).values_list("recipient_key", flat=True))


def _send_one(cluster: Any, kind: str, user: Any, since: datetime, sections: Any) -> bool:
    event = NOTIFICATION_EVENTS[KINDS[UserSettings.Digest(kind)]]
    channels = [name for name in map(key_of, conf.current().digest_channels) if name in event.channels]
    key = f"{kind} {user_key(user.pk)} {since.isoformat()}"
    try:
        result = NotificationManager.send(
            event.name, [user], cluster, {"sections": sections}, channels=channels, idempotency_key=key
        )
    except IdempotencyConflict:
        return False  # another process has sent it, a moment ago, with other words
    return not result.duplicate and result.queued + result.held > 0
