"""For the tests of host projects and of channel authors.

``capture_notifications()`` tells what a block of code queued, ``travelling()`` is a clock that stands still until told,
``simulated()`` replays a day or a year through ``send()`` and the worker, ``temporary_events()`` forgets events that a
test registers. ``notifications.testing.contract.ChannelContract`` tests a channel class; it stands apart because it
needs pytest.
"""

from notifications.testing.capture import Captured, capture_notifications
from notifications.testing.registry import temporary_events
from notifications.testing.timeline import Arrival, Timeline, simulated
from notifications.testing.travel import Travel, travelling

__all__ = [
    "Arrival",
    "Captured",
    "Timeline",
    "Travel",
    "capture_notifications",
    "simulated",
    "temporary_events",
    "travelling",
]
