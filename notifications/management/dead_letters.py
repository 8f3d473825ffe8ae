"""What the commands about dead letters share: which letters are meant, and going through them in bounded steps."""

from argparse import ArgumentParser
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from notifications import conf
from notifications.conf.problem import suggest
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.management import arguments as asked
from notifications.models.delivery import DeliveryQuerySet

STEP = 500


def add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--event", help="only of this event")
    parser.add_argument("--channel", help="only of this channel")
    parser.add_argument("--cluster", help="only of the cluster with this primary key")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")


def chosen(letters: DeliveryQuerySet, options: Mapping[str, Any]) -> DeliveryQuerySet:
    """
    :raises CommandError: if an option names nothing that this site has, or has ever had dead letters of.
    """
    names = _event(letters, options["event"]), _channel(letters, options["channel"])
    letters = letters.filter(**{field: value for field, value in names if value is not None})
    if options["cluster"] is not None:
        letters = letters.filter(notification__cluster_id=asked.cluster(options["cluster"]).pk)
    return letters


def _event(letters: DeliveryQuerySet, given: str | None) -> tuple[str, str | None]:
    declared = NOTIFICATION_EVENTS.named(given) if given else None
    known = [event.name for event in NOTIFICATION_EVENTS.values()]
    return _checked("event", "notification__event", declared.name if declared else given, known, letters)


def _channel(letters: DeliveryQuerySet, given: str | None) -> tuple[str, str | None]:
    return _checked("channel", "channel", given and key_of(given), conf.current().enabled_channels, letters)


def _checked(
    what: str, field: str, given: str | None, known: Collection[str], letters: DeliveryQuerySet
) -> tuple[str, str | None]:
    """What a site has removed may have left dead letters."""
    if given is not None and given not in known and not letters.filter(**{field: given}).exists():
        raise CommandError(f"--{what}: there is no {what} {given!r}. {suggest(given, known, f'{what}s')}")
    return field, given


def steps(letters: DeliveryQuerySet) -> Iterator[list[int]]:
    """Primary keys in steps. What a step changes drops out of ``letters``; what it leaves is not offered again."""
    after = 0
    while keys := list(letters.order_by("pk").filter(pk__gt=after).values_list("pk", flat=True)[:STEP]):
        yield keys
        after = keys[-1]


def told(letters: DeliveryQuerySet, command: BaseCommand, verb: str) -> int:
    """Print how many of what would be touched; returns how many in all."""
    names = letters.order_by("notification__event", "channel").values_list("notification__event", "channel")
    total = 0
    for event, channel, count in names.annotate(Count("pk")):
        command.stdout.write(f"{count:>8}  {event} by {channel}")
        total += count
    command.stdout.write(f"{total} dead letters would be {verb}.")
    return total
