"""Two ways to claim a hundred rows, and what becomes of them afterwards."""

from datetime import timedelta

from django.db import connections
from django.utils import timezone

from notifications.models import Delivery
from notifications.storage.outbox import Settlement

ROWS = 100
PICKED = "SELECT id FROM klaxon_delivery WHERE state = 'ready' ORDER BY score DESC, id LIMIT %s"
# It returns what nobody can deliver without; a claim that told only ids would have to be followed by a second query.
LEAST = """
    UPDATE klaxon_delivery SET state = 'claimed', owner = %s, lease = %s, fence = fence + 1
    WHERE id IN ({picked})
    RETURNING id, fence, notification_id, channel, recipient_id, recipient_key, address, score, attempts, strikes,
        epoch"""
AGAIN = """
    INSERT INTO klaxon_delivery (
        notification_id, channel, recipient_id, recipient_key, address, address_hash, state, score,
        reason, attempts, strikes, owner, fence, epoch, provider, provider_message_id
    )
    SELECT notification_id, channel, recipient_id, 'c:' || id, address, address_hash, 'ready', score,
        '', 0, 0, '', 0, 0, '', ''
    FROM klaxon_delivery WHERE id IN ({marks})"""

Claimed = list[tuple[int, int]]


def klaxon(using: str) -> Claimed:
    """Ids and fences of what was claimed."""
    now = timezone.now()
    rows = Delivery.objects.using(using).claim("benchmark", now, now + timedelta(seconds=60), ROWS)
    return [(row.pk, row.fence) for row in rows]


def by_hand(using: str) -> Claimed:
    """The least that is still right: no other worker gets these rows, and the caller can deliver them."""
    postgres = connections[using].vendor == "postgresql"
    picked = f"{PICKED} FOR UPDATE SKIP LOCKED" if postgres else PICKED
    with connections[using].cursor() as cursor:
        cursor.execute(LEAST.format(picked=picked), ["benchmark", timezone.now() + timedelta(seconds=60), ROWS])
        return [(row[0], row[1]) for row in cursor.fetchall()]


def finish(claimed: Claimed, using: str) -> None:
    """What becomes of claimed rows in life, and as many new ones."""
    now = timezone.now()
    deliveries = Delivery.objects.using(using)
    ids = [pk for pk, _ in claimed]
    deliveries.mark_sending(deliveries.in_bulk(ids).values(), now + timedelta(seconds=60))
    deliveries.settle([Settlement(pk, fence, "sending", "sent", provider="none") for pk, fence in claimed], now)
    with connections[using].cursor() as cursor:
        cursor.execute(AGAIN.format(marks=", ".join(["%s"] * len(ids))), ids)
