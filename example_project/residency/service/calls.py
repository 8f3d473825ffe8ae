"""Calls of ``send()`` with ids of users and ISO dates, as the programme's code has them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypedDict

from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from example_project.residency.notification_events import ResidencyEvents
from notifications.events import NOTIFICATION_EVENTS, NotificationChannel
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult
from notifications.recipients import To


class Where(TypedDict, total=False):
    """Arguments of every function of the service that say where to look up the recipients.

    ``db`` is the alias of the database that contains the users. ``program`` is only needed for recipients who belong to
    several programmes.
    """

    db: str
    program: Cluster | None


def send(
    event: ResidencyEvents,
    recipient_ids: Iterable[Any],
    context: Mapping[str, Any],
    *,
    db: str = DEFAULT_DB_ALIAS,
    program: Cluster | None = None,
    channels: Sequence[NotificationChannel] | None = None,
    others: Sequence[To] = (),
    **options: Any,
) -> SendResult:
    """Send to the users with these ids, in their programme.

    :param channels: the channels for the users; by default all channels of the event.
    :param others: further recipients, each with their own channels.
    :raises ValueError: if an id is unknown, a string is not a date, or the recipients' programme is not unique.
    """
    users = find_users(recipient_ids, db)
    recipients = [To(users, channels=channels), *others] if channels else users
    return NotificationManager.send(
        event, recipients, program or find_program(users, db), parse_times(event, context), **options
    )


def find_users(ids: Iterable[Any], db: str) -> list[User]:
    """Return the users with these ids, in the same order."""
    wanted = list(ids)
    found = User.objects.using(db).in_bulk(wanted)
    missing = [pk for pk in wanted if pk not in found]
    if missing:
        raise ValueError(f"No user has the id {', '.join(map(str, missing))}.")
    return [found[pk] for pk in wanted]


def find_program(users: Iterable[User], db: str) -> Cluster:
    """Return the only programme of these users."""
    programs = Cluster.objects.using(db).filter(members__in=list(users)).distinct()[:2]
    if len(programs) != 1:
        number = "several programmes" if programs else "no programme"
        raise ValueError(f"The recipients belong to {number}; name the right one with program=….")
    return programs[0]


def parse_times(event: ResidencyEvents, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context with ISO strings converted to the dates and datetimes that the event declares."""
    declared = NOTIFICATION_EVENTS[event].context or {}
    read = {datetime: parse_datetime, date: parse_date}
    return {key: read[declared[key]](value) if declared.get(key) in read else value for key, value in context.items()}


def parse_datetime(given: datetime | str) -> datetime:
    """Return a datetime, which may be given as an ISO string. Without an offset it is in the current time zone.

    :raises ValueError: if the string is not a datetime.
    """
    read = _read(given, datetime, "2026-01-15 07:00") if isinstance(given, str) else given
    return timezone.make_aware(read) if timezone.is_naive(read) else read


def parse_date(given: date | str) -> date:
    """Return a date, which may be given as an ISO string.

    :raises ValueError: if the string is not a date.
    """
    return _read(given, date, "2026-01-15") if isinstance(given, str) else given


def _read(text: str, kind: Any, example: str) -> Any:
    try:
        return kind.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} must be an ISO {kind.__name__} such as {example}.") from error
