"""The action buttons of items, which their events declare."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext as _

from notifications.events import NOTIFICATION_EVENTS, InboxAction
from notifications.exceptions import ActionUnavailable, NotPermitted
from notifications.models import Delivery, InboxFeed, InboxItem
from notifications.sending.acknowledge import acknowledge
from notifications.sending.permission import has_permission


def take_action(item_id: int, name: str, user: Any, now: datetime, using: str) -> None:
    """Run an action of one of the user's items and record it, in one transaction.

    :raises ActionUnavailable: if the item does not offer the action, or no longer, or an action was taken before.
    :raises NotPermitted: if the user lacks the permission of the action.
    :raises ValidationError: if the handler refuses.
    """
    with transaction.atomic(using=using):
        # The feed stays locked. So a second click waits here, and then finds that the action was taken.
        [revision] = InboxFeed.objects.using(using).advance([user.pk]).values()
        item = InboxItem.objects.using(using).of(user).get(pk=item_id)
        action = _find_action(item, name)
        if action.permission and not has_permission(user, action.permission):
            raise NotPermitted(f"{str(user)!r:.80} needs the permission {action.permission!r} for {name!r}.")
        handler = action.handler or BUILT_IN_HANDLERS[name]
        handler(item, user)
        _record(item, name, now, revision)


def _record(item: InboxItem, name: str, now: datetime, revision: int) -> None:
    """Record an action in its item, without undoing what the handler has changed in it."""
    changes: dict[str, Any] = {"archived_at": now, "snoozed_until": None} if name == "dismiss" else {}
    InboxItem.objects.using(item._state.db).filter(pk=item.pk).update(
        action_taken=name,
        acted_at=now,
        revision=Greatest(F("revision"), revision),
        read_at=Coalesce(F("read_at"), now),
        seen_at=Coalesce(F("seen_at"), now),
        **changes,
    )


def _find_action(item: InboxItem, name: str) -> InboxAction:
    if item.action_taken:
        raise ActionUnavailable(_("You have already answered this notification."))
    event = NOTIFICATION_EVENTS.named(item.event)
    action = next((one for one in event.inbox_actions if one.name == name), None) if event else None
    if action is None or name not in item.actions:
        raise ActionUnavailable(_("This notification does not offer that."))
    return action


def _acknowledge(item: InboxItem, user: Any) -> None:
    deliveries = Delivery.objects.using(item._state.db).select_related("notification__cluster")
    delivery = deliveries.filter(pk=item.delivery_id).first() if item.delivery_id else None
    if delivery is None:
        raise ActionUnavailable(_("This notification is too old to be acknowledged."))
    acknowledge(delivery.notification, user)


def _dismiss(item: InboxItem, user: Any) -> None:
    """Do nothing: :func:`take_action` archives the item."""


BUILT_IN_HANDLERS: dict[str, Callable[[InboxItem, Any], None]] = {"acknowledge": _acknowledge, "dismiss": _dismiss}
