"""A story told on this site's own database, by a simulated clock, that leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from notifications.testing import Timeline, simulated


@contextmanager
def rehearsal(start: str, time_zone: str = "UTC") -> Iterator[Timeline]:
    """Within the block nothing leaves the process; at its end all that it wrote is taken back."""
    with transaction.atomic():
        with simulated(start, time_zone) as timeline:
            yield timeline
        transaction.set_rollback(True)


def sentences(timeline: Timeline, event: Any) -> Iterator[str]:
    """Who got an event, when and on which channel, and why others did not."""
    for arrival in timeline.arrived(event):
        many = f", {arrival.merged} in one" if arrival.merged else ""
        text = " ".join((arrival.title or arrival.body).split())
        yield f"{arrival.at:%a %H:%M}  {arrival.recipient} got it by {arrival.channel}{many}: {text}"
    for drop in timeline.captured.dropped.filter(event=event.value).select_related("recipient"):
        when = drop.sent_at.astimezone(timeline.zone)
        why = drop.error_message or drop.get_reason_display()
        yield f"{when:%a %H:%M}  {drop.recipient} did not get it by {drop.channel}: {why}"
