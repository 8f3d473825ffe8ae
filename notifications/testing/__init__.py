"""For the tests of host projects and of channel authors.

``capture_notifications()`` tells what a block of code queued, ``travelling()`` is a clock that stands still until told,
``ChannelContract`` tests a channel class, ``temporary_events()`` forgets events that a test registers.
"""

from notifications.testing.capture import Captured, capture_notifications
from notifications.testing.contract import ChannelContract
from notifications.testing.registry import temporary_events
from notifications.testing.travel import Travel, travelling

__all__ = [
    "Captured",
    "ChannelContract",
    "Travel",
    "capture_notifications",
    "temporary_events",
    "travelling",
]
