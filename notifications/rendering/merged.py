"""Digests and batches: one text for many notifications.

Their templates are those of ``notifications/<event>/batch/``, ``notifications/daily_digest/`` or
``notifications/weekly_digest/`` for their channel, and else the general ones of ``notifications/gathered/``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError
from django.utils.text import Truncator

from notifications import conf
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority, key_of
from notifications.models import Delivery, Notification
from notifications.rendering.locales import Locale, speaking
from notifications.rendering.templates import Place, render
from notifications.rendering.variables import variables

logger = logging.getLogger("notifications.rendering")

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


def places(notification: Notification, channel: str) -> Sequence[Place]:
    """Where templates are looked for, the most special first."""
    batch = notification.gathers == Notification.Gathers.BATCH
    name = f"{key_of(notification.event)}/batch" if batch else notification.event
    return (name, channel), (FOLDER, channel), (FOLDER, ANY_CHANNEL)


def gathered_words(notification: Notification, channel: str, part: str, user: Any, locale: Locale) -> dict[str, Any]:
    """The variables of a digest or batch; ``part`` is what an item's title is taken from."""
    rows = Delivery.objects.using(notification._state.db).gathered_in(notification)
    count = rows.count()
    items = [_item(row.notification, channel, part, user, locale) for row in rows[:SHOWN]]
    with speaking(locale):
        groups = _grouped(items)
    return {
        "recipient": user,
        "cluster": notification.cluster,
        "base_url": conf.current().base_url.rstrip("/"),
        "gathers": notification.gathers,
        "count": count,
        "unshown": count - len(items),
        "items": items,
        "groups": groups,
        "sections": notification.values.get("sections", ()),
    }


def _grouped(items: Sequence[Item]) -> list[Group]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.event, []).append(item)
    return [Group(_label(event), group) for event, group in found.items()]


def _label(name: str) -> str:
    event = NOTIFICATION_EVENTS.named(name)
    return event.words if event else name


def _item(notification: Notification, channel: str, part: str, user: Any, locale: Locale) -> Item:
    values: dict[str, Any] = {}
    try:
        event = NOTIFICATION_EVENTS.find(notification.event)
        values = variables(event, channel, notification, user, locale)
        text = render([(event.name, channel)], [part], (), values, locale).parts[part]
        title = Truncator(" ".join(text.split())).chars(TITLE)
    except DatabaseError:
        raise
    except Exception:
        # Alone it would have become a dead letter; here it must not keep its neighbours back.
        logger.exception("Notification %s has no title in its digest but the name of its event.", notification.pk)
        title = _label(notification.event)
    priority = NotificationPriority(notification.priority)
    return Item(title, notification.event, notification.created_at, priority, values)
