"""Events that live for one test."""

from collections.abc import Iterator
from contextlib import contextmanager

from notifications.events import NOTIFICATION_EVENTS, EventRegistry


@contextmanager
def temporary_events() -> Iterator[EventRegistry]:
    """Whatever the block registers is forgotten at its end, and whatever it removed is back."""
    with NOTIFICATION_EVENTS.restored():
        yield NOTIFICATION_EVENTS
