"""For the tests of host projects and of channel authors.

``capture_notifications()`` tells what a block of code queued, ``travelling()`` is a clock that stands still until told,
``temporary_events()`` forgets events that a test registers. ``notifications.testing.contract.ChannelContract`` tests a
channel class; it stands apart because it needs pytest.
"""

from notifications.testing.capture import Captured, capture_notifications
from notifications.testing.registry import temporary_events
from notifications.testing.travel import Travel, travelling

__all__ = [
    "Captured",
    "Travel",
    "capture_notifications",
    "temporary_events",
    "travelling",
]
