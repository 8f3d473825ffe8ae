"""Who has a delivery that is being sent, and whether they are still there."""

from datetime import datetime, timedelta

from notifications import conf
from notifications.models import Delivery, Heartbeat
from notifications.outcomes import DeliveryState

WITH_A_WORKER = (DeliveryState.CLAIMED, DeliveryState.SENDING)


def alive_since(now: datetime) -> datetime:
    """Who has been heard of since then counts as living."""
    return now - timedelta(seconds=conf.current().lease_seconds)


def lost_since(row: Delivery, now: datetime) -> datetime | None:
    """Since when its worker has not been heard of, as who takes over sees it; None while it has one, or has none."""
    if row.state not in WITH_A_WORKER:
        return None
    beat = Heartbeat.objects.filter(pk=row.owner).values_list("beat_at", flat=True).first()
    if beat is not None and beat < alive_since(now):
        return beat
    return row.lease if row.lease is not None and row.lease < now else None
