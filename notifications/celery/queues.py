"""One queue for each priority, so that urgent deliveries never wait behind a campaign."""

from notifications.events import NotificationPriority

QUEUES = {priority: f"klaxon.{priority.name.lower()}" for priority in NotificationPriority}
