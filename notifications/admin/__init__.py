"""Klaxon's tables in Django's admin. Importing the modules registers them."""

from notifications.models import get_cluster_model

try:
    get_cluster_model()
except (LookupError, ValueError):
    # The setting does not name a model, so no forms can be built for it. The check klaxon.E008 must run and report it.
    __all__: list[str] = []
else:
    from notifications.admin import (
        acknowledgement,
        analytics,
        api_key,
        can_state,
        cluster,
        delivery,
        device,
        escalation,
        figures,
        inbox,
        log,
        notification,
        operations,
        pause,
        preferences,
        push,
        rota,
        settings,
        suppression,
        template,
        topic,
        tracking,
        webhook,
    )

    __all__ = [
        "acknowledgement",
        "analytics",
        "api_key",
        "can_state",
        "cluster",
        "delivery",
        "device",
        "escalation",
        "figures",
        "inbox",
        "log",
        "notification",
        "operations",
        "pause",
        "preferences",
        "push",
        "rota",
        "settings",
        "suppression",
        "template",
        "topic",
        "tracking",
        "webhook",
    ]
