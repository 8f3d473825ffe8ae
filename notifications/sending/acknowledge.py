"""A recipient says that they have taken note."""

from functools import partial
from typing import Any

from django.db import router, transaction

from notifications import signals
from notifications.core import clock, partitions
from notifications.core.primary import read_as_routed, read_from_primary
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.models import Acknowledgement, Delivery, Notification, get_members
from notifications.sending.permission import check_is_user


@read_from_primary()
def acknowledge(notification: Notification, user: Any) -> bool:
    """Whether it is new.

    :raises InvalidOption: if it is no saved notification, or the user is no saved user.
    :raises NotPermitted: unless the user is a recipient of it, active, and a member of its cluster.
    """
    _check(notification, user)
    using = router.db_for_write(Acknowledgement)
    _check_recipient(notification, user, using)
    with transaction.atomic(using=using):
        is_new = Acknowledgement.objects.using(using).acknowledge(notification, user, clock.now(using))
        if is_new:
            fact = {"partition": partitions.current(), "notification": notification, "user": user}
            tell = partial(signals.notification_acknowledged.send_robust, sender=Notification, **fact)
            transaction.on_commit(read_as_routed()(tell), using=using, robust=True)
    return is_new


def _check(notification: Any, user: Any) -> None:
    if not isinstance(notification, Notification) or notification.pk is None:
        raise InvalidOption(f"acknowledge() takes note of one saved Notification, not {notification!r:.80}.")
    if user is None:
        raise InvalidOption("acknowledge() needs the user who has taken note.")
    check_is_user("user", user)


def _check_recipient(notification: Notification, user: Any, using: str) -> None:
    # Somebody who has not logged in has none.
    pk = user.pk
    deliveries = Delivery.objects.using(using).filter(notification=notification.pk, recipient=pk)
    if pk is None or not deliveries.exists():
        raise NotPermitted(f"{user!r:.80} is no recipient of {notification}, so they cannot acknowledge it.")
    # As they are now: the caller may have read them before they were made inactive.
    member = get_members(notification.cluster).filter(pk=pk).first()
    if member is None:
        raise NotPermitted(f"{user!r:.80} is no member of the cluster of {notification} any more.")
    if not member.is_active:
        raise NotPermitted(f"{user!r:.80} is inactive, so they cannot acknowledge {notification}.")
