"""Cancelling by key: what waits is stopped at once, and a worker that has some of it is told when it asks again."""

from typing import Any

from django.db import router, transaction

from notifications.core import clock
from notifications.core.primary import read_from_primary
from notifications.exceptions import InvalidOption
from notifications.models import Delivery, Notification, cluster_or_default
from notifications.sending.validation import validate_cluster


@read_from_primary()
def cancel(cluster: Any, cancel_key: str) -> int:
    """How many deliveries that waited were stopped.

    :raises InvalidOption: without a key.
    """
    if not cancel_key:
        raise InvalidOption("cancel() needs the cancel_key that was given to send().")
    using = router.db_for_write(Delivery)
    mine = cluster_or_default(validate_cluster(cluster))
    named = Notification.objects.using(using).filter(cluster=mine, cancel_key=cancel_key)
    now = clock.now(using)
    with transaction.atomic(using=using):
        # Before the deliveries: what a worker has, and gives back to wait, it finds cancelled when it asks again.
        named.filter(cancelled_at=None).update(cancelled_at=now)
        # Read first: with a join the guard on the state would stand in a subquery, which PostgreSQL does not ask
        # again after it has waited for a worker that was just taking the row.
        ids = list(named.values_list("pk", flat=True))
        mine = Delivery.objects.using(using).filter(notification_id__in=ids)
        return mine.cancel(now) + mine.cancel_merged(now)
