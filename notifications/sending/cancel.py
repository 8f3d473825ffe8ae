"""Cancel by key: waiting deliveries at once, and claimed ones when the worker rechecks them."""

from collections.abc import Collection
from typing import Any

from django.db import router, transaction

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.exceptions import InvalidOption
from notifications.models import Delivery, Notification, cluster_or_default
from notifications.sending.request import validate_cluster


@read_from_primary()
def cancel(cluster: Any, cancel_key: str) -> int:
    """Cancel the notifications with this key. Return how many waiting deliveries were cancelled.

    :raises InvalidOption: if there is no key.
    """
    if not cancel_key:
        raise InvalidOption("cancel() needs the cancel_key that was given to send().")
    return cancel_keys([cluster_or_default(validate_cluster(cluster)).pk], [cancel_key])


@read_from_primary()
def cancel_keys(clusters: Collection[Any], keys: Collection[str]) -> int:
    """Do the same as ``cancel()`` for each of these keys in each of these clusters, of which it takes primary keys."""
    using = router.db_for_write(Delivery)
    notifications = Notification.objects.using(using).filter(cluster__in=clusters, cancel_key__in=keys)
    now = clock.now(using)
    with transaction.atomic(using=using):
        # Before the deliveries: if a worker returns a claimed delivery, the recheck then finds it cancelled.
        notifications.filter(cancelled_at=None).update(cancelled_at=now)
        # Read the ids first. With a join, the condition on the state would be in a subquery, and PostgreSQL does not
        # evaluate that again after it has waited for a worker that was claiming the row.
        ids = list(notifications.values_list("pk", flat=True))
        deliveries = Delivery.objects.using(using).filter(notification_id__in=ids)
        return deliveries.cancel(now) + deliveries.cancel_merged(now)
