"""How a call of the programme becomes a ``send()``: ids become users, and ISO texts become dates and times."""

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
    """Where the recipients are looked up; every function of the service takes these two.

    ``db`` is the alias of the database that knows the ids. ``program`` need be named only for recipients who belong to
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
    """Send to the users with these ids, in the programme that they belong to.

    :param channels: those on which the users get it; all of the event unless given.
    :param others: who gets it besides, each on channels of their own.
    :raises ValueError: if an id is unknown, a text is no date, or the programme cannot be told from the recipients.
    """
    users = find_users(recipient_ids, db)
    recipients = [To(users, channels=channels), *others] if channels else users
    return NotificationManager.send(
        event, recipients, program or find_program(users, db), parse_times(event, context), **options
    )


def find_users(ids: Iterable[Any], db: str) -> list[User]:
    """The users with these ids, in the same order."""
    wanted = list(ids)
    found = User.objects.using(db).in_bulk(wanted)
    missing = [pk for pk in wanted if pk not in found]
    if missing:
        raise ValueError(f"No user has the id {', '.join(map(str, missing))}.")
    return [found[pk] for pk in wanted]


def find_program(users: Iterable[User], db: str) -> Cluster:
    """The only programme of these users."""
    programs = Cluster.objects.using(db).filter(members__in=list(users)).distinct()[:2]
    if len(programs) != 1:
        number = "several programmes" if programs else "no programme"
        raise ValueError(f"The recipients belong to {number}; name the right one with program=….")
    return programs[0]


def parse_times(event: ResidencyEvents, context: Mapping[str, Any]) -> dict[str, Any]:
    """The context with ISO texts as what the event declares: dates, or times in the current time zone."""
    declared = NOTIFICATION_EVENTS[event].context or {}
    read = {datetime: parse_datetime, date: parse_date}
    return {key: read[declared[key]](value) if declared.get(key) in read else value for key, value in context.items()}


def parse_datetime(given: datetime | str) -> datetime:
    """A time that may be given as ISO text; without an offset it is on the clocks of the current time zone.

    :raises ValueError: if the text is no time.
    """
    read = _read(given, datetime, "2026-01-15 07:00") if isinstance(given, str) else given
    return timezone.make_aware(read) if timezone.is_naive(read) else read


def parse_date(given: date | str) -> date:
    """A date that may be given as ISO text.

    :raises ValueError: if the text is no date.
    """
    return _read(given, date, "2026-01-15") if isinstance(given, str) else given


def _read(text: str, kind: Any, example: str) -> Any:
    try:
        return kind.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} must be an ISO {kind.__name__} such as {example}.") from error
