"""Forgetting what nobody needs any more."""

from datetime import datetime

from django.db import router

from notifications.delivering.workers.periodic_tasks import Enough
from notifications.models import Bucket, Delivery, Fingerprint


def tidy(now: datetime, enough: Enough) -> None:
    """Forget buckets that are full again and fingerprints whose window is over."""
    using = router.db_for_write(Delivery)
    Bucket.objects.using(using).forget_full(now)
    Fingerprint.objects.using(using).forget_past(now)
