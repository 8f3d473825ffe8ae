"""The score of a notification: its place in the order of sending, from 0 to 100."""

import logging
from collections.abc import Mapping
from typing import Any

from notifications.context import decoded
from notifications.events import NotificationEvent, NotificationPriority

logger = logging.getLogger("notifications.score")


def calculate_score(event: NotificationEvent, priority: NotificationPriority, context: Mapping[str, Any]) -> int:
    """Base plus urgency, kept within the band of the priority.

    :param priority: the one that holds for this call. Where it is not the event's own, the base is the band's middle.
    :param context: as it is stored.
    """
    low, high = priority.band
    base = event.score if event.score is not None and priority == event.priority else priority.middle
    return min(max(base + calculate_urgency(event, context), low), high)


def calculate_urgency(event: NotificationEvent, context: Mapping[str, Any]) -> int:
    """What the event's function makes of this context; 0 if it has none, or a broken one."""
    if event.urgency is None:
        return 0
    try:
        urgency = event.urgency(decoded(context))
    except Exception:
        # A mistake in it costs the right place in the order, never the notification.
        logger.exception("The urgency of event %r failed; it is sent with its base score.", event.name)
        return 0
    if isinstance(urgency, bool) or not isinstance(urgency, int):
        logger.error("The urgency of event %r is %.80r, no whole number; its base score holds.", event.name, urgency)
        return 0
    return urgency
