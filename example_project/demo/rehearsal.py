"""Stories that run on an empty database with a simulated clock and are rolled back at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model

from notifications.models import Cluster, Notification, NotificationLog, Pause
from notifications.testing import Arrival, Timeline, simulated


@contextmanager
def rehearsal(start: str, time_zone: str = "UTC") -> Iterator[Timeline]:
    """Simulate a story in a transaction that is rolled back at the end; nothing leaves the process.

    :raises CommandError: if the database is not migrated or not empty.
    """
    _check_tables()
    _check_emptiness()
    with transaction.atomic():
        with simulated(start, time_zone) as timeline:
            yield timeline
        transaction.set_rollback(True)


def _check_tables() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is not migrated. Run: python manage.py migrate")


def _check_emptiness() -> None:
    """Raise an error if the database contains rows that would take part in the story or stop it.

    Existing users would be recipients, waiting deliveries would be sent, and a pause would stop the story.
    """
    models: list[type[Model]] = [User, Cluster, Notification, Pause]
    found = [str(model._meta.verbose_name_plural) for model in models if model._default_manager.exists()]
    if found:
        raise CommandError(
            f"A story needs an empty database, but this one contains {', '.join(found)}. "
            "Set DATABASE_URL to another one, such as sqlite:///var/story.sqlite3, and migrate it first."
        )


def sentences(timeline: Timeline, event: Any) -> Iterator[str]:
    """Yield who got an event, when and on which channel, and why others did not, ordered by time."""
    timed = [(arrival.at, _describe_arrival(arrival)) for arrival in timeline.arrived(event)]
    drops = timeline.captured.dropped.filter(event=event.value).select_related("recipient", "personal")
    timed += [(drop.sent_at, _describe_drop(timeline.name_of(drop), drop)) for drop in drops]
    for at, sentence in sorted(timed, key=lambda pair: pair[0]):
        yield f"{at.astimezone(timeline.zone):%a %d %H:%M}  {sentence}"


def tallies(timeline: Timeline, event: Any) -> Iterator[str]:
    """Yield how many notifications of an event each recipient got on each channel, and when the last one arrived."""
    found: dict[tuple[str, str], list[datetime]] = {}
    for arrival in timeline.arrived(event):
        found.setdefault((str(arrival.recipient), arrival.channel), []).append(arrival.at)
    for (recipient, channel), times in found.items():
        first, last = times[0], times[-1]
        what = f"{len(times)} by {channel}: {times.count(first)} at once, the last at {last:%H:%M:%S}"
        yield f"{first:%a %d %H:%M}  {recipient} got {what}"


def _describe_arrival(arrival: Arrival) -> str:
    many = f", {arrival.merged} in one" if arrival.merged > 1 else ""
    text = " ".join((arrival.title or arrival.body).split())
    return f"{arrival.recipient} got it by {arrival.channel}{many}: {text}"


def _describe_drop(name: Any, drop: NotificationLog) -> str:
    return f"{name} did not get it by {drop.channel}: {drop.error_message or drop.get_reason_display()}"
