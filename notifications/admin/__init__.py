"""The tables in Django's admin. Importing the modules registers them."""

from notifications.models import cluster_model

try:
    cluster_model()
except (LookupError, ValueError):
    # The setting names no model: forms over it cannot be made, and the check klaxon.E008 must live to say so.
    __all__: list[str] = []
else:
    from notifications.admin import (
        acknowledgement,
        cluster,
        delivery,
        inbox,
        log,
        notification,
        operations,
        pause,
        preferences,
        settings,
        topic,
    )

    __all__ = [
        "acknowledgement",
        "cluster",
        "delivery",
        "inbox",
        "log",
        "notification",
        "operations",
        "pause",
        "preferences",
        "settings",
        "topic",
    ]
