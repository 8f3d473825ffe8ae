"""Functions that the commands for dead letters share: select dead letters, and process them in bounded steps."""

from argparse import ArgumentParser
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from notifications import conf
from notifications.conf.problem import suggest
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.management import arguments
from notifications.management.counts import format_count
from notifications.models.delivery import DeliveryQuerySet

STEP = 500


def add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--event", help="select only dead letters of this event")
    parser.add_argument("--channel", help="select only dead letters of this channel")
    parser.add_argument("--cluster", metavar="PK", help="select only dead letters of the cluster with this primary key")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")


def select(letters: DeliveryQuerySet, options: Mapping[str, Any]) -> DeliveryQuerySet:
    """
    :raises CommandError: if the site has no such event, channel or cluster. Removed events and channels are accepted
        if they have dead letters.
    """
    filters = _filter_by_event(letters, options["event"]), _filter_by_channel(letters, options["channel"])
    letters = letters.filter(**{field: name for field, name in filters if name is not None})
    if options["cluster"] is not None:
        letters = letters.filter(notification__cluster_id=arguments.get_cluster(options["cluster"]).pk)
    return letters


def _filter_by_event(letters: DeliveryQuerySet, name: str | None) -> tuple[str, str | None]:
    declared = NOTIFICATION_EVENTS.named(name) if name else None
    known = [event.name for event in NOTIFICATION_EVENTS.values()]
    return _check_name("event", "notification__event", declared.name if declared else name, known, letters)


def _filter_by_channel(letters: DeliveryQuerySet, name: str | None) -> tuple[str, str | None]:
    return _check_name("channel", "channel", name and key_of(name), conf.current().enabled_channels, letters)


def _check_name(
    option: str, field: str, name: str | None, known: Collection[str], letters: DeliveryQuerySet
) -> tuple[str, str | None]:
    """An event or channel that the site has removed may still have dead letters."""
    if name is not None and name not in known and not letters.filter(**{field: name}).exists():
        raise CommandError(f"--{option}: there is no {option} {name!r}. {suggest(name, known, f'{option}s')}")
    return field, name


def iterate_in_steps(letters: DeliveryQuerySet) -> Iterator[list[int]]:
    """Yield primary keys in steps of at most ``STEP``. No key is yielded twice, whether or not its row was changed."""
    after = 0
    while keys := list(letters.order_by("pk").filter(pk__gt=after).values_list("pk", flat=True)[:STEP]):
        yield keys
        after = keys[-1]


def print_dry_run(letters: DeliveryQuerySet, command: BaseCommand, verb: str) -> None:
    """Print how many dead letters of each event and channel the command would process.

    :param verb: what it would do with them, such as "delete".
    """
    names = letters.order_by("notification__event", "channel").values_list("notification__event", "channel")
    total = 0
    for event, channel, count in names.annotate(Count("pk")):
        command.stdout.write(f"{count:>8}  {event} by {channel}")
        total += count
    command.stdout.write(f"Would {verb} {format_count(total, 'dead letter')}.")
