"""Inbox items as JSON, for pages and for hosts with a front end of their own."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from django.urls import NoReverseMatch, reverse

from notifications.events import NOTIFICATION_EVENTS, InboxAction, NotificationPriority
from notifications.inbox.permissions import Permissions, find_permissions
from notifications.models import InboxItem

TEXT_LENGTH = 500


def load_permissions(items: Iterable[InboxItem]) -> Permissions:
    """Return, for each recipient, which of the permissions that the offered actions require the recipient has."""
    required: dict[Any, set[str]] = defaultdict(set)
    for item in items:
        for action in _list_offered(item):
            if action.permission:
                required[item.recipient_id].add(action.permission)
    return find_permissions(required)


def serialize_items(items: Collection[InboxItem]) -> list[dict[str, Any]]:
    """Return items as JSON, each with the actions that its recipient may take."""
    permissions = load_permissions(items)
    return [serialize_item(item, permissions) for item in items]


def serialize_item(item: InboxItem, permissions: Permissions) -> dict[str, Any]:
    """Return an item as JSON. The text of a sensitive event is left out; the page of the item shows it.

    :param permissions: the result of :func:`load_permissions`.
    """
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
        "page": _find_page(item),
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
        "actions": serialize_actions(item, permissions.get(item.recipient_id, ()).__contains__),
        "action_taken": item.action_taken,
    }


def serialize_actions(item: InboxItem, has_permission: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the actions that the user may still take, each with its name and its label in the active language.

    :param has_permission: returns whether the user has a permission, such as ``user.has_perm``.
    """
    return [
        {"name": action.name, "label": str(action.label), "is_primary": action.is_primary}
        for action in _list_offered(item)
        if not action.permission or has_permission(action.permission)
    ]


def _list_offered(item: InboxItem) -> list[InboxAction]:
    """Return the actions that the item still offers, to users with their permissions."""
    event = NOTIFICATION_EVENTS.named(item.event)
    if event is None or item.action_taken:
        return []
    return [action for action in event.inbox_actions if action.name in item.actions]


def _find_page(item: InboxItem) -> str:
    """Return the path of the page of an item; empty if the site has none, for example because it only has the API."""
    try:
        return reverse("notifications:inbox-item", args=[item.pk])
    except NoReverseMatch:
        return ""


def _format_time(value: Any) -> str | None:
    return None if value is None else value.isoformat()
