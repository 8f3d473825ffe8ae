"""The tables in Django's admin. Importing the modules registers them."""

from notifications.admin import cluster, delivery, inbox, log, notification, operations, settings

__all__ = ["cluster", "delivery", "inbox", "log", "notification", "operations", "settings"]
