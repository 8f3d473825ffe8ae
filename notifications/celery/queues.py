"""One queue for each priority, so that urgent deliveries never wait behind a campaign."""

from notifications.events import NotificationPriority

QUEUES = {priority: f"klaxon.{priority.name.lower()}" for priority in NotificationPriority}


def takes_other_deliveries(priority: NotificationPriority) -> bool:
    """Return whether workers of this queue, after their own deliveries, also take some of the others that are ready.

    Workers of urgent queues do not: a slow mail server of other deliveries must not delay the next urgent one.
    """
    return priority > NotificationPriority.HIGH
