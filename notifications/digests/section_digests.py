"""Digests without notifications, for users for whom the host has sections."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, router
from django.db.models import Q

from notifications import conf
from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.core.databases import read_from_primary
from notifications.core.hours import get_zone, list_started_hours
from notifications.digests.grouping import get_digest_kind
from notifications.digests.sections import load_cluster_sections
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, key_of
from notifications.exceptions import IdempotencyConflict
from notifications.manager import NotificationManager
from notifications.models import Delivery, UserSettings
from notifications.sending.gates import Person, load_people

logger = logging.getLogger("notifications.digests")

USERS_PER_PAGE = 100


@read_from_primary()
def send_section_digests(now: datetime | None = None, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Send the sections of ``DIGEST_SECTIONS`` to users without a digest, in the hour of their digest.

    The host's function is called once for each user. An idempotency key ensures that no user gets two digests. Returns
    how many were queued.
    """
    using = router.db_for_write(Delivery)
    now = now or clock.now(using)
    if not conf.current().digest_sections or not _channels():
        return 0
    sent = 0
    for since, rows in _due_settings(now, using):
        sent += _send(since, rows, now, using)
        if should_stop():
            break
    return sent


def _channels() -> list[str]:
    """Return the channels of ``DIGEST_CHANNELS`` that are enabled and that digests support."""
    supported = NOTIFICATION_EVENTS[DIGESTS["daily"]].channels
    enabled = conf.current().enabled_channels
    return [name for name in map(key_of, conf.current().digest_channels) if name in supported and name in enabled]


def _due_settings(now: datetime, using: str) -> Iterator[tuple[datetime, list[UserSettings]]]:
    """Yield the start of an hour, and up to a hundred settings with a digest in it that were not processed yet."""
    with_digest = UserSettings.objects.using(using).exclude(digest=UserSettings.Digest.NONE)
    for name in list(with_digest.order_by().values_list("time_zone", flat=True).distinct()):
        for since, hour, weekday in list_started_hours(now, get_zone(name)):
            on_this_day = Q(digest=UserSettings.Digest.DAILY) | Q(digest_day=weekday)
            unprocessed = Q(digest_asked_at=None) | Q(digest_asked_at__lt=since)
            due = with_digest.filter(on_this_day, unprocessed, time_zone=name, digest_hour=hour)
            last = 0
            while page := list(due.filter(pk__gt=last).select_related("cluster").order_by("pk")[:USERS_PER_PAGE]):
                last = page[-1].pk
                yield since, page


def _send(since: datetime, rows: Sequence[UserSettings], now: datetime, using: str) -> int:
    by_cluster: defaultdict[Any, list[UserSettings]] = defaultdict(list)
    for row in rows:
        by_cluster[row.cluster].append(row)
    sent = sum(_send_in(cluster, group, since, now, using) for cluster, group in by_cluster.items())
    # Not with save(), because the user's preferences do not change.
    UserSettings.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(digest_asked_at=now)
    return sent


def _send_in(cluster: Any, rows: Sequence[UserSettings], since: datetime, now: datetime, using: str) -> int:
    settings = {row.user_id: row for row in rows}
    served = _find_served(cluster, [user_key(pk) for pk in settings], since, using)
    # The host's own preferences may differ from this table.
    persons = [
        person
        for pk, person in load_people(cluster, settings).items()
        if person.key not in served and _has_same_digest(person, settings[pk])
    ]
    sections = load_cluster_sections(cluster, persons, now, using)
    return sum(_send_one(cluster, person, since, sections.get((cluster.pk, person.user.pk))) for person in persons)


def _has_same_digest(person: Person, row: UserSettings) -> bool:
    names = "digest", "digest_hour", "digest_day", "time_zone"
    return person.user is not None and all(getattr(person.settings, name, None) == getattr(row, name) for name in names)


def _find_served(cluster: Any, keys: Sequence[str], since: datetime, using: str) -> set[str]:
    """Return the users with a digest of this hour, with an unsent digest, or with deliveries held for one."""
    deliveries = Delivery.objects.using(using).filter(notification__cluster=cluster, recipient_key__in=keys)
    made = Q(notification__digest_kind__in=DIGESTS) & (Q(notification__created_at__gte=since) | Q(state="held"))
    is_unscheduled = Q(notification__send_at=None) | Q(notification__send_at__lt=since)
    waits = Q(state="held", reason="digest", notification__created_at__lt=since) & is_unscheduled
    return set(deliveries.filter(made | waits).values_list("recipient_key", flat=True))


def _send_one(cluster: Any, person: Person, since: datetime, sections: Any) -> int:
    if not sections:
        return 0
    kind = get_digest_kind(person)
    key = f"{kind} {person.key} {since.isoformat()}"
    context = {"sections": sections}
    try:
        result = NotificationManager.send(
            DIGESTS[kind], [person.user], cluster, context, channels=_channels(), idempotency_key=key
        )
    except IdempotencyConflict:
        return 0  # another process has just sent it, with different sections
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # The other users must get their digests.
        logger.exception("The digest of %s cannot be sent.", person.key)
        return 0
    return int(not result.duplicate and result.queued + result.held > 0)
