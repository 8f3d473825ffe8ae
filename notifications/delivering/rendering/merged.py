"""Digests and batches: one text for many notifications.

Their templates are those of ``notifications/<event>/batch/``, ``notifications/daily_digest/`` or
``notifications/weekly_digest/`` for their channel, and else the general ones of ``notifications/gathered/``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils.text import Truncator

from notifications import conf
from notifications.delivering.rendering.locales import Locale, speaking
from notifications.delivering.rendering.templates import Place, render
from notifications.delivering.rendering.variables import variables
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents, NotificationPriority
from notifications.models import Delivery, Notification

logger = logging.getLogger("notifications.rendering")

GIVEN_WHEN_GATHERED = frozenset(
    {"recipient", "cluster", "base_url", "gathers", "count", "unshown", "items", "groups", "sections"}
)
"""What the templates of digests and batches get."""
ORDINARY = {BuiltInEvents.CRITICAL_MESSAGE.value: BuiltInEvents.MESSAGE.value}
"""Events that use the templates of another where they have none of their own."""
SHOWN = 100
"""Items that are told one by one; of the rest only their number."""
TITLE = 200
ANY_CHANNEL = "any"
FOLDER = "gathered"


@dataclass(frozen=True)
class Item:
    """One notification in a digest or batch.

    :param title: the subject that it would have had on this channel, else the beginning of its text.
    :param values: the variables that its own templates get.
    """

    title: str
    event: str
    at: datetime
    priority: NotificationPriority
    values: dict[str, Any]


@dataclass(frozen=True)
class Group:
    """The items of one event, with what it is called."""

    label: str
    items: Sequence[Item]

    @property
    def is_urgent(self) -> bool:
        return any(item.priority <= NotificationPriority.HIGH for item in self.items)


def places(event: str, gathers: str, channel: str) -> Sequence[Place]:
    """Where templates are looked for, the most special first.

    :param gathers: ``"batch"`` or a kind of digest; empty for a notification that gathers no others.
    """
    if not gathers:
        names = (event, ORDINARY[event]) if event in ORDINARY else (event,)
        return tuple((name, channel) for name in names)
    name = f"{event}/batch" if gathers == Notification.Gathers.BATCH else event
    return (name, channel), (FOLDER, channel), (FOLDER, ANY_CHANNEL)


def gathered_words(notification: Notification, channel: str, part: str, user: Any, locale: Locale) -> dict[str, Any]:
    """The variables of a digest or batch; ``part`` is what titles are taken from; it may be empty."""
    rows = Delivery.objects.using(notification._state.db).items_of_digest(notification)
    count = rows.count()
    items = [_item(row.notification, channel, part, user, locale) for row in rows[:SHOWN]]
    return {
        "recipient": user,
        "cluster": notification.cluster,
        "base_url": conf.current().base_url.rstrip("/"),
        "gathers": notification.gathers,
        "count": count,
        "unshown": count - len(items),
        "items": items,
        "groups": _grouped(items, locale),
        "sections": notification.values.get("sections", ()),
    }


def _grouped(items: Sequence[Item], locale: Locale) -> list[Group]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.event, []).append(item)
    return [Group(_label(event, locale), group) for event, group in found.items()]


def _label(name: str, locale: Locale) -> str:
    event = NOTIFICATION_EVENTS.named(name)
    with speaking(locale):
        return event.words if event else name


def _item(notification: Notification, channel: str, part: str, user: Any, locale: Locale) -> Item:
    values: dict[str, Any] = {}
    try:
        event = NOTIFICATION_EVENTS.find(notification.event)
        values = variables(event, channel, notification, user, locale)
        parts = [part] if part else []
        text = " ".join(render([(event.name, channel)], parts, (), values, locale).parts.get(part, "").split())
        title = Truncator(text).chars(TITLE) or _label(notification.event, locale)
    except (OperationalError, InterfaceError):
        raise  # the database is away
    except Exception:
        # Alone it would have become a dead letter; here it must not keep its neighbours back.
        logger.exception("Notification %s has no title in its digest but the name of its event.", notification.pk)
        title = _label(notification.event, locale)
    priority = NotificationPriority(notification.priority)
    return Item(title, notification.event, notification.created_at, priority, values)
