"""Acknowledge notifications."""

from functools import partial
from typing import Any

from django.db import router, transaction

from notifications import signals
from notifications.core import clock
from notifications.core.databases import get_current_partition, read_as_routed, read_from_primary
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.models import Acknowledgement, Delivery, Notification, get_members
from notifications.sending.hooks import ACKNOWLEDGEMENT_HOOKS
from notifications.sending.permission import check_is_user


@read_from_primary()
def acknowledge(notification: Notification, user: Any) -> bool:
    """Store that the user has taken note of the notification. Return whether this is new.

    :raises InvalidOption: if it is not a saved notification, or the user is not a saved user.
    :raises NotPermitted: unless the user is one of its recipients, active, and a member of its cluster.
    """
    _check_arguments(notification, user)
    using = router.db_for_write(Acknowledgement)
    _check_recipient(notification, user, using)
    with transaction.atomic(using=using):
        now = clock.now(using)
        is_new = Acknowledgement.objects.using(using).acknowledge(notification, user, now)
        for hook in ACKNOWLEDGEMENT_HOOKS.values():
            hook(notification, user, using, now)
        if is_new:
            facts = {"partition": get_current_partition(), "notification": notification, "user": user}
            send_signal = partial(signals.notification_acknowledged.send_robust, sender=Notification, **facts)
            transaction.on_commit(read_as_routed()(send_signal), using=using, robust=True)
    return is_new


def _check_arguments(notification: Any, user: Any) -> None:
    if not isinstance(notification, Notification) or notification.pk is None:
        raise InvalidOption(f"acknowledge() takes a saved Notification, not {notification!r:.80}.")
    if user is None:
        raise InvalidOption("acknowledge() takes the user who has taken note, not None.")
    check_is_user("user", user)


def _check_recipient(notification: Notification, user: Any, using: str) -> None:
    # An anonymous user has no primary key.
    pk = user.pk
    deliveries = Delivery.objects.using(using).filter(notification=notification.pk, recipient=pk)
    if pk is None or not deliveries.exists():
        raise NotPermitted(f"{user!r:.80} cannot acknowledge {notification}: they are not one of its recipients.")
    # Read from the database, because the caller's object may be older than a change of the user.
    member = get_members(notification.cluster).filter(pk=pk).first()
    if member is None:
        raise NotPermitted(
            f"{user!r:.80} cannot acknowledge {notification}: they are no longer a member of its cluster."
        )
    if not member.is_active:
        raise NotPermitted(f"{user!r:.80} cannot acknowledge {notification}: they are inactive.")
