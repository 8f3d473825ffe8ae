"""Two ways to claim 100 rows, and the processing of the claimed rows."""

from datetime import timedelta

from django.db import connections
from django.utils import timezone

from notifications.models import Delivery
from notifications.storage.outbox import StateChange

ROWS = 100
SELECTED = "SELECT id FROM klaxon_delivery WHERE state = 'ready' ORDER BY score DESC, id LIMIT %s"
# It returns the columns that delivering needs. A claim that returned only ids would need a second query.
CLAIM = """
    UPDATE klaxon_delivery SET state = 'claimed', owner = %s, lease = %s, fence = fence + 1
    WHERE id IN ({picked})
    RETURNING id, fence, notification_id, channel, recipient_id, recipient_key, address, score, attempts, strikes,
        epoch"""
REFILL = """
    INSERT INTO klaxon_delivery (
        notification_id, channel, recipient_id, recipient_key, address, address_hash, state, score,
        reason, attempts, strikes, owner, fence, epoch, provider, provider_message_id, tried_providers
    )
    SELECT notification_id, channel, recipient_id, 'c:' || id, address, address_hash, 'ready', score,
        '', 0, 0, '', 0, 0, '', '', ''
    FROM klaxon_delivery WHERE id IN ({marks})"""

Claimed = list[tuple[int, int]]


def claim_with_klaxon(using: str) -> Claimed:
    """Claim rows with Klaxon and return their ids and fences."""
    now = timezone.now()
    rows = Delivery.objects.using(using).claim("benchmark", now + timedelta(seconds=60), ROWS)
    return [(row.pk, row.fence) for row in rows]


def claim_by_hand(using: str) -> Claimed:
    """Claim rows with the least SQL by which no other worker gets them and the caller can deliver them."""
    postgres = connections[using].vendor == "postgresql"
    picked = f"{SELECTED} FOR UPDATE SKIP LOCKED" if postgres else SELECTED
    with connections[using].cursor() as cursor:
        cursor.execute(CLAIM.format(picked=picked), ["benchmark", timezone.now() + timedelta(seconds=60), ROWS])
        return [(row[0], row[1]) for row in cursor.fetchall()]


def finish(claimed: Claimed, using: str) -> None:
    """Process the claimed rows as a worker does and replace them by new ones."""
    now = timezone.now()
    deliveries = Delivery.objects.using(using)
    ids = [pk for pk, _ in claimed]
    deliveries.mark_sending(deliveries.in_bulk(ids).values(), now + timedelta(seconds=60))
    deliveries.settle([StateChange(pk, fence, "sending", "sent", provider="none") for pk, fence in claimed], now)
    with connections[using].cursor() as cursor:
        cursor.execute(REFILL.format(marks=", ".join(["%s"] * len(ids))), ids)
