"""A story told on an empty database, by a simulated clock, that leaves nothing behind."""

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
    """Within the block nothing leaves the process; at its end all that it wrote is taken back.

    :raises CommandError: if the database has not been migrated, or somebody else's things are in it.
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
        raise CommandError("The tables are not there yet. Run: python manage.py migrate")


def _check_emptiness() -> None:
    """Who is there already would get it too, what waits would go out in the story, and a pause would stop it."""
    models: list[type[Model]] = [User, Cluster, Notification, Pause]
    found = [str(model._meta.verbose_name_plural) for model in models if model._default_manager.exists()]
    if found:
        raise CommandError(
            f"A story needs a database of its own, and this one has {', '.join(found)}. "
            "Name another with DATABASE_URL, such as sqlite:///var/story.sqlite3, and migrate that first."
        )


def sentences(timeline: Timeline, event: Any) -> Iterator[str]:
    """Who got an event, when and on which channel, and why others did not; in the order of time."""
    told = [(arrival.at, _got(arrival)) for arrival in timeline.arrived(event)]
    drops = timeline.captured.dropped.filter(event=event.value).select_related("recipient", "personal")
    told += [(drop.sent_at, _did_not_get(timeline.name_of(drop), drop)) for drop in drops]
    for at, sentence in sorted(told, key=lambda pair: pair[0]):
        yield f"{at.astimezone(timeline.zone):%a %d %H:%M}  {sentence}"


def tallies(timeline: Timeline, event: Any) -> Iterator[str]:
    """How much of an event each got on each channel: at once, and when the last of it came."""
    found: dict[tuple[str, str], list[datetime]] = {}
    for arrival in timeline.arrived(event):
        found.setdefault((str(arrival.recipient), arrival.channel), []).append(arrival.at)
    for (recipient, channel), times in found.items():
        first, last = times[0], times[-1]
        what = f"{len(times)} by {channel}: {times.count(first)} at once, the last at {last:%H:%M:%S}"
        yield f"{first:%a %d %H:%M}  {recipient} got {what}"


def _got(arrival: Arrival) -> str:
    many = f", {arrival.merged} in one" if arrival.merged > 1 else ""
    text = " ".join((arrival.title or arrival.body).split())
    return f"{arrival.recipient} got it by {arrival.channel}{many}: {text}"


def _did_not_get(name: Any, drop: NotificationLog) -> str:
    return f"{name} did not get it by {drop.channel}: {drop.error_message or drop.get_reason_display()}"
