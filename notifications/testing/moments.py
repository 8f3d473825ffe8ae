"""Moments of a simulation: what a time on the wall comes to, and when something happens next by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from notifications import conf
from notifications.core.hours import find_next_hour
from notifications.core.zones import first_instant, get_zone
from notifications.models import Circuit, Delivery, UserSettings
from notifications.storage.outbox import WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL

DAY = timedelta(days=1)


def instant(when: datetime | str, zone: ZoneInfo) -> datetime:
    """A time in UTC, where a text or a time without a zone is meant on the clocks of ``zone``.

    :raises TypeError: if it is neither a text nor a datetime.
    """
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    if not isinstance(moment, datetime):
        raise TypeError(f"{when!r} is no time. Give a datetime, or a text such as '2026-11-20 12:00'.")
    return first_instant(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)


def repeated(first: datetime, step: timedelta, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """A moment again and again, before ``until``: after whole days on the clocks of ``zone``, else as time passes."""
    if step <= timedelta():
        raise ValueError(f"A step of {step} leads nowhere.")
    wall = first.astimezone(zone).replace(tzinfo=None)
    for number in count():
        moment = first + number * step if step % DAY else first_instant(wall + number * step, zone)
        if moment >= until:
            return
        yield moment


def due_moments(now: datetime) -> Iterator[datetime]:
    """When what is held or to be tried again is due, and when the next digest or batch is."""
    # In the words of the partial indexes, so that these serve.
    for condition in (WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL):
        waiting = Delivery.objects.extra(where=[condition]).filter(due_at__gt=now)  # noqa: S610
        yield from filter(None, waiting.order_by("due_at").values_list("due_at", flat=True)[:1])


def is_anything_ready() -> bool:
    return Delivery.objects.extra(where=["klaxon_delivery.state = 'ready'"]).exists()


def probe_moments(now: datetime) -> Iterator[datetime]:
    """When a provider that is being left alone is tried again."""
    resting = Circuit.objects.filter(open_until__gt=now).order_by("open_until")
    yield from filter(None, resting.values_list("open_until", flat=True)[:1])


def summary_moments(now: datetime) -> Iterator[datetime]:
    """When the host is asked next what it has for the digests of those for whom nothing waits."""
    if not conf.current().digest_sections:
        return
    wanted = UserSettings.objects.exclude(digest=UserSettings.Digest.NONE).order_by()
    kinds = wanted.values_list("digest", "digest_hour", "digest_day", "time_zone").distinct()
    for kind, hour, day, zone in kinds:
        weekly = kind == UserSettings.Digest.WEEKLY
        yield find_next_hour(now + datetime.resolution, hour, day if weekly else None, get_zone(zone))
