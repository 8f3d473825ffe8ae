"""Inbox items as JSON, for pages and for hosts with a front end of their own."""

from typing import Any

from django.urls import reverse

from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.models import InboxItem

TEXT_LENGTH = 500


def serialize_item(item: InboxItem) -> dict[str, Any]:
    """Return an item as JSON. The text of a sensitive event is left out; the page of the item shows it."""
    event = NOTIFICATION_EVENTS.named(item.event)
    return {
        "id": item.pk,
        "revision": item.revision,
        "cluster": str(item.cluster_id),
        "event": item.event,
        "label": event.words if event else item.event,
        "title": item.title,
        "text": item.body[:TEXT_LENGTH],
        "url": item.url,
        "page": reverse("notifications:inbox-item", args=[item.pk]),
        "icon": item.icon,
        "priority": NotificationPriority(item.priority).name.lower(),
        "topic": item.topic,
        "actor": item.actor_name,
        "group": item.group_key,
        "created_at": item.created_at.isoformat(),
        "seen_at": _format_time(item.seen_at),
        "read_at": _format_time(item.read_at),
        "archived_at": _format_time(item.archived_at),
        "snoozed_until": _format_time(item.snoozed_until),
        "actions": serialize_actions(item),
        "action_taken": item.action_taken,
    }


def serialize_actions(item: InboxItem, user: Any = None) -> list[dict[str, Any]]:
    """Return the actions that the item still offers, each with its name and its label in the active language.

    :param user: leaves out the actions for which the user lacks the permission.
    """
    event = NOTIFICATION_EVENTS.named(item.event)
    if event is None or item.action_taken:
        return []
    return [
        {"name": action.name, "label": str(action.label), "is_primary": action.is_primary}
        for action in event.inbox_actions
        if action.name in item.actions and (user is None or not action.permission or user.has_perm(action.permission))
    ]


def _format_time(value: Any) -> str | None:
    return None if value is None else value.isoformat()
