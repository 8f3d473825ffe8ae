"""Rows of the outbox, written by few statements, because a million calls of ``send()`` would take an hour."""

from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.utils import timezone

from benchmarks.notification_events import BenchEvents
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import (
    Acknowledgement,
    AttachedFile,
    Cluster,
    Delivery,
    EscalationEntry,
    EscalationRun,
    Fingerprint,
    Heartbeat,
    LogPersonal,
    Notification,
    NotificationLog,
    TrackingEvent,
)

CROWD = 1000
CONTEXTS = {
    BenchEvents.NOOP: lambda number: {"number": str(number)},
    BenchEvents.CROWD: lambda number: {"number": str(number)},
    BenchEvents.MAIL: lambda number: {"number": str(number), "carrier": "The parcel service", "day": "Friday"},
    BenchEvents.LAYOUT: lambda number: {"number": str(number), "carrier": "The parcel service", "day": "Friday"},
    BenchEvents.ORDER: lambda number: {
        "number": str(number),
        "day": "Friday",
        "rows": [{"name": f"Part {row}", "count": str(row), "price": f"{row}.50"} for row in range(1, 13)],
    },
    BenchEvents.MEMO: lambda number: {"number": str(number)},
}
DELIVERIES = """
    WITH RECURSIVE seat(number) AS (
        SELECT 0 UNION ALL SELECT number + 1 FROM seat WHERE number + 1 < %(each)s
    )
    INSERT INTO klaxon_delivery (
        notification_id, channel, recipient_id, recipient_key, address, address_hash, state, score,
        reason, attempts, strikes, owner, fence, epoch, provider, provider_message_id, tried_providers
    )
    SELECT n.id, %(channel)s, u.id, 'u:' || u.id, CASE WHEN %(channel)s = 'email' THEN u.email ELSE '' END, 'none',
        'ready', %(score)s, '', 0, 0, '', 0, 0, '', '', ''
    FROM klaxon_notification n
    CROSS JOIN seat JOIN auth_user u ON u.id = %(first)s + (n.id * %(each)s + seat.number) %% %(crowd)s
    WHERE n.id >= %(since)s ORDER BY n.id"""


def create_users(using: str = DEFAULT_DB_ALIAS) -> None:
    """Create the recipients. Call it once for a database."""
    Cluster.objects.db_manager(using).default()
    names = (f"user{number}" for number in range(CROWD))
    User.objects.using(using).bulk_create(User(username=name, email=f"{name}@example.com") for name in names)


def clear() -> None:
    """Delete all rows of the outbox and the log; on PostgreSQL, without leaving dead rows."""
    log, related = (LogPersonal, NotificationLog), (Acknowledgement, AttachedFile, TrackingEvent)
    chains = (EscalationEntry, EscalationRun)
    models = (*log, *related, *chains, Delivery, Fingerprint, Notification, Heartbeat)
    tables = [model._meta.db_table for model in models]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
            return
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")


def fill(
    event: BenchEvents,
    notifications: int,
    each: int = 1,
    score: int = 50,
    using: str = DEFAULT_DB_ALIAS,
    cluster: Cluster | None = None,
) -> None:
    """Queue this number of notifications, each to ``each`` users."""
    declared, now = NOTIFICATION_EVENTS[event], timezone.now()
    cluster = cluster or Cluster.objects.db_manager(using).default()
    rows = [
        Notification(
            cluster=cluster,
            event=declared.name,
            priority=declared.priority,
            context=CONTEXTS[event](number),
            created_at=now,
        )
        for number in range(notifications)
    ]
    since = min(row.pk for row in Notification.objects.using(using).bulk_create(rows))
    first = User.objects.using(using).earliest("pk").pk
    parameters = {"each": each, "score": score, "since": since, "crowd": CROWD, "first": first}
    with connections[using].cursor() as cursor:
        cursor.execute(DELIVERIES, {"channel": declared.channels[0], **parameters})
        cursor.execute("ANALYZE")
