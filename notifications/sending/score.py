"""The score of a notification, from 0 to 100. It decides the order of sending."""

import logging
from collections.abc import Mapping
from typing import Any

from notifications.context import decoded
from notifications.events import NotificationEvent, NotificationPriority

logger = logging.getLogger("notifications.score")


def calculate_score(event: NotificationEvent, priority: NotificationPriority, context: Mapping[str, Any]) -> int:
    """Return the base score plus the urgency, limited to the band of the priority.

    :param priority: the priority of this call. If it is not the event's own, the base is the middle of the band.
    :param context: in its stored form.
    """
    low, high = priority.band
    base = event.score if event.score is not None and priority == event.priority else priority.middle
    return min(max(base + calculate_urgency(event, context), low), high)


def calculate_urgency(event: NotificationEvent, context: Mapping[str, Any]) -> int:
    """Return the result of the event's urgency function; 0 if it has none, or if the function fails."""
    if event.urgency is None:
        return 0
    try:
        urgency = event.urgency(decoded(context))
    except Exception:
        # An error in the function must not prevent the notification.
        logger.exception("The urgency of event %r failed; it is sent with its base score.", event.name)
        return 0
    if isinstance(urgency, bool) or not isinstance(urgency, int):
        logger.error("The urgency of event %r is %.80r, not an int; its base score is used.", event.name, urgency)
        return 0
    return urgency
