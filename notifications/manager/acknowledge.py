"""A recipient says that they have taken note."""

from functools import partial
from typing import Any

from django.db import router, transaction

from notifications import clock, partitions, signals
from notifications.exceptions import NotPermitted
from notifications.models import Acknowledgement, Delivery, Notification, membership


def acknowledged(notification: Notification, user: Any) -> bool:
    """Whether it is new.

    :raises NotPermitted: unless the user is a recipient of it and a member of its cluster.
    """
    using = router.db_for_write(Acknowledgement)
    _check_recipient(notification, user, using)
    with transaction.atomic(using=using):
        is_new = Acknowledgement.objects.using(using).acknowledge(notification, user, clock.now(using))
        if is_new:
            fact = {"partition": partitions.current(), "notification": notification, "user": user}
            tell = partial(signals.notification_acknowledged.send_robust, sender=Notification, **fact)
            transaction.on_commit(tell, using=using, robust=True)
    return is_new


def _check_recipient(notification: Notification, user: Any, using: str) -> None:
    pk = getattr(user, "pk", None)
    deliveries = Delivery.objects.using(using).filter(notification=notification.pk, recipient=pk)
    if pk is None or not deliveries.exists():
        raise NotPermitted(f"{user!r:.80} is no recipient of {notification}, so they cannot acknowledge it.")
    if not membership(notification.cluster).filter(pk=pk).exists():
        raise NotPermitted(f"{user!r:.80} is no member of the cluster of {notification} any more.")
