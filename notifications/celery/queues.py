"""One queue for each priority, so that a campaign never stands in front of an alarm."""

from notifications.events import NotificationPriority

QUEUES = {priority: f"klaxon.{priority.name.lower()}" for priority in NotificationPriority}


def takes_the_rest(priority: NotificationPriority) -> bool:
    """Whether workers of this queue, having done what they were called for, also take a little of what else is ready.

    Those for urgent queues do not: somebody else's slow mail server must not keep the next alarm waiting.
    """
    return priority > NotificationPriority.HIGH
