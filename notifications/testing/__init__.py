"""Tools for the tests of projects that use Klaxon, and of channels.

``capture_notifications()`` records the notifications that a block of code queues. ``travelling()`` provides a clock
that stands still until it is moved. ``simulated()`` replays a day or a year through ``send()`` and the worker.
``temporary_events()`` removes events that a test registers. ``notifications.testing.contract.ChannelContract`` tests a
channel class; it is a separate module because it requires pytest.
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
