"""Times in a simulation: convert local times, and find the time of the next automatic event."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from notifications import conf
from notifications.core.hours import find_next_hour, first_instant, get_zone
from notifications.models import Circuit, Delivery, EscalationRun, UserSettings
from notifications.storage.outbox import WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL

DAY = timedelta(days=1)


def to_utc(when: datetime | str, zone: ZoneInfo) -> datetime:
    """Return a time in UTC. A string or a naive datetime is a local time in ``zone``.

    :raises TypeError: if it is neither a string nor a datetime.
    """
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    if not isinstance(moment, datetime):
        raise TypeError(f"{when!r} is not a time. Pass a datetime, or a string such as '2026-11-20 12:00'.")
    return first_instant(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)


def repeat(first: datetime, step: timedelta, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield times before ``until``. Steps of whole days keep the local time in ``zone``; others are exact durations."""
    if step <= timedelta():
        raise ValueError(f"The step must be more than 0, not {step}.")
    wall = first.astimezone(zone).replace(tzinfo=None)
    for number in count():
        moment = first + number * step if step % DAY else first_instant(wall + number * step, zone)
        if moment >= until:
            return
        yield moment


def find_due_times(now: datetime) -> Iterator[datetime]:
    """Yield the next time at which a held delivery or a retry is due, that of the next digest or batch, and that of the
    next step of an escalation."""
    # The conditions are those of the partial indexes, so that the database can use them.
    for condition in (WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL):
        waiting = Delivery.objects.extra(where=[condition]).filter(due_at__gt=now)  # noqa: S610
        yield from filter(None, waiting.order_by("due_at").values_list("due_at", flat=True)[:1])
    escalations = EscalationRun.objects.filter(due_at__gt=now).order_by("due_at")
    yield from filter(None, escalations.values_list("due_at", flat=True)[:1])


def is_anything_ready() -> bool:
    return Delivery.objects.extra(where=["klaxon_delivery.state = 'ready'"]).exists()


def find_probe_times(now: datetime) -> Iterator[datetime]:
    """Yield the next time at which a provider with an open circuit is tried again."""
    circuits = Circuit.objects.filter(open_until__gt=now).order_by("open_until")
    yield from filter(None, circuits.values_list("open_until", flat=True)[:1])


def find_section_times(now: datetime) -> Iterator[datetime]:
    """Yield the next times of digests that contain only the site's own sections."""
    if not conf.current().digest_sections:
        return
    with_digest = UserSettings.objects.exclude(digest=UserSettings.Digest.NONE).order_by()
    schedules = with_digest.values_list("digest", "digest_hour", "digest_day", "time_zone").distinct()
    for kind, hour, day, zone in schedules:
        weekly = kind == UserSettings.Digest.WEEKLY
        yield find_next_hour(now + datetime.resolution, hour, day if weekly else None, get_zone(zone))
