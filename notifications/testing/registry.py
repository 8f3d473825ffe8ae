"""Events that are registered for one test."""

from collections.abc import Iterator
from contextlib import contextmanager

from notifications.events import NOTIFICATION_EVENTS, EventRegistry


@contextmanager
def temporary_events() -> Iterator[EventRegistry]:
    """At the end of the block, remove the events that it registered and restore those that it removed."""
    with NOTIFICATION_EVENTS.restored():
        yield NOTIFICATION_EVENTS
