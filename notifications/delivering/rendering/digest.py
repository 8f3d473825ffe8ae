"""The text of digests and batches, which contain many notifications.

Their templates are those in ``notifications/<event>/batch/``, ``notifications/daily_digest/`` or
``notifications/weekly_digest/`` for their channel, or else the general ones in ``notifications/gathered/``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Count, Min
from django.utils.text import Truncator

from notifications.channels.base import Rendered
from notifications.delivering.rendering.digest_history import (
    count_quiet_backlog,
    find_start,
    load_figures,
    load_urgent,
)
from notifications.delivering.rendering.layout import find_action_url
from notifications.delivering.rendering.sensitive import build_link_variables
from notifications.delivering.rendering.templates import (
    Locale,
    Parts,
    build_variables,
    get_template_places,
    render,
    use_locale,
)
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.mail import get_theme
from notifications.models import Delivery, Notification

logger = logging.getLogger("notifications.rendering")

DIGEST_VARIABLES = frozenset(
    {"recipient", "cluster", "base_url", "layout", "digest_kind", "count", "unshown", "items", "groups", "sections"}
    | {"urgent", "backlog", "figures"}
)
"""The variables of the templates of digests and batches."""
MAX_ITEMS = 100
"""The maximum number of items that are listed. The others are only counted."""
MAX_TITLE_LENGTH = 200


@dataclass(frozen=True)
class DigestItem:
    """One notification in a digest or batch, or several of the same event with the same title and link.

    :param title: the subject that it would have on this channel, or else the beginning of its text.
    :param at: when it was sent; the latest of several.
    :param values: the variables of its own templates; those of the latest of several.
    :param url: the address of its action; empty if it has none.
    :param count: the number of notifications.
    """

    title: str
    event: str
    at: datetime
    priority: NotificationPriority
    values: dict[str, Any]
    url: str = ""
    count: int = 1

    @property
    def is_critical(self) -> bool:
        return self.priority == NotificationPriority.CRITICAL

    @property
    def is_high(self) -> bool:
        return self.priority == NotificationPriority.HIGH


@dataclass(frozen=True)
class ItemGroup:
    """The items of one event. ``label`` is the name of the event for users."""

    label: str
    items: Sequence[DigestItem]

    @property
    def is_urgent(self) -> bool:
        return any(item.priority <= NotificationPriority.HIGH for item in self.items)


@dataclass(frozen=True)
class BacklogLine:
    """The number of notifications of one event that wait for the end of quiet hours."""

    label: str
    count: int


def render_digest(
    notification: Notification,
    event: NotificationEvent,
    channel: str,
    parts: Parts,
    user: Any,
    locale: Locale,
    layout: Any = None,
) -> Rendered:
    """Return the text of a digest or batch for a user on a channel."""
    variables = build_digest_variables(notification, channel, next(iter(parts[0]), ""), user, locale, layout)
    return render(get_template_places(event.name, notification.digest_kind, channel), *parts, variables, locale)


def build_digest_variables(
    notification: Notification, channel: str, part: str, user: Any, locale: Locale, layout: Any = None
) -> dict[str, Any]:
    """Return the variables of a digest or batch.

    :param part: the template part that titles are taken from. It may be empty.
    """
    rows = Delivery.objects.using(notification._state.db).items_of_digest(notification)
    count, oldest = rows.aggregate(count=Count("pk"), oldest=Min("notification__created_at")).values()
    since = find_start(notification, channel, user, oldest)
    listed, urgent = rows[:MAX_ITEMS], load_urgent(notification, channel, user, since)
    # They are all of the same cluster. With the same object, its theme is found once for each event.
    for row in (*listed, *urgent):
        row.notification.cluster = notification.cluster
    items = [_build_item(row.notification, channel, part, user, locale) for row in listed]
    return {
        "recipient": user,
        "cluster": notification.cluster,
        "base_url": get_theme(notification.cluster, notification.event).base_url,
        "layout": layout,
        "digest_kind": notification.digest_kind,
        "count": count,
        "unshown": count - len(items),
        "items": (merged := _merge_alike(items)),
        "groups": _group_by_event(merged, locale),
        "urgent": _merge_alike([_build_item(row.notification, channel, part, user, locale) for row in urgent]),
        "backlog": [
            BacklogLine(_label(name, locale), number) for name, number in count_quiet_backlog(notification, user)
        ],
        "figures": load_figures(notification, channel, user, since, count),
        "sections": notification.values.get("sections", ()),
    }


def _merge_alike(items: Sequence[DigestItem]) -> list[DigestItem]:
    """Return the items, with one item for all of an event that have the same title and link, at its first place."""
    merged: dict[tuple[str, str, str], DigestItem] = {}
    for item in items:
        key = item.event, item.title, item.url
        first = merged.get(key, item)
        latest = max(first, item, key=attrgetter("at"))
        priority = min(first.priority, item.priority)
        merged[key] = replace(latest, priority=priority, count=first.count + 1 if key in merged else 1)
    return list(merged.values())


def _group_by_event(items: Sequence[DigestItem], locale: Locale) -> list[ItemGroup]:
    groups: dict[str, list[DigestItem]] = {}
    for item in items:
        groups.setdefault(item.event, []).append(item)
    return [ItemGroup(_label(event, locale), group) for event, group in groups.items()]


def _label(name: str, locale: Locale) -> str:
    event = NOTIFICATION_EVENTS.named(name)
    with use_locale(locale):
        return event.words if event else name


def _build_item(notification: Notification, channel: str, part: str, user: Any, locale: Locale) -> DigestItem:
    values: dict[str, Any] = {}
    try:
        event = NOTIFICATION_EVENTS.find(notification.event)
        if notification.is_sensitive:
            # The title is the name of the event, and the link leads to the content.
            values, parts = build_link_variables(notification, event, user, locale), []
        else:
            values, parts = build_variables(event, channel, notification, user, locale), [part] if part else []
        text = " ".join(render([(event.name, channel)], parts, (), values, locale).parts.get(part, "").split())
        title = Truncator(text).chars(MAX_TITLE_LENGTH) or _label(notification.event, locale)
    except (OperationalError, InterfaceError):
        raise  # the database cannot be used
    except Exception:
        # As a message of its own it would become a dead letter. Here it must not stop the other items.
        message = "Notification %s has no title in its digest. The name of its event is used."
        logger.exception(message, notification.pk, extra=notification.log_ids)
        title = _label(notification.event, locale)
    priority = NotificationPriority(notification.priority)
    url = find_action_url(values, values.get("base_url", ""))
    return DigestItem(title, notification.event, notification.created_at, priority, values, url)
