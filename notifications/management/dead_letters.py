"""What the commands about dead letters share: which letters are meant, and going through them in bounded steps."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count

from notifications.models.delivery import DeliveryQuerySet

STEP = 500


def add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--event", help="only of this event")
    parser.add_argument("--channel", help="only of this channel")
    parser.add_argument("--cluster", help="only of the cluster with this primary key")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")


def chosen(letters: DeliveryQuerySet, options: Mapping[str, Any]) -> DeliveryQuerySet:
    wanted = {
        "notification__event": options["event"],
        "channel": options["channel"],
        "notification__cluster_id": options["cluster"],
    }
    return letters.filter(**{name: value for name, value in wanted.items() if value is not None})


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
