"""Deletion of rows that are no longer needed."""

from datetime import datetime

from django.db import router

from notifications.delivering.workers.periodic_tasks import ShouldStop
from notifications.models import Bucket, Delivery, Fingerprint, IdempotentRequest


def delete_expired(now: datetime, should_stop: ShouldStop) -> None:
    """Delete the buckets that are full again, the fingerprints whose deduplication window is over, and the answers to
    requests of the API that can no longer be repeated."""
    using = router.db_for_write(Delivery)
    Bucket.objects.using(using).delete_full(now)
    Fingerprint.objects.using(using).delete_ended(now)
    IdempotentRequest.objects.using(router.db_for_write(IdempotentRequest)).delete_expired(now)
