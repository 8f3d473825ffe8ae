"""Two ways to write deliveries without any checks: with the database driver and with Django's ``bulk_create()``."""

from collections.abc import Callable, Sequence

from django.db import connection
from django.utils import timezone

from notifications.core.addresses import hash_address
from notifications.models import Cluster, Delivery, Notification

# Columns of the table. Columns that are not listed may be null.
COLUMNS = (
    "notification_id", "channel", "recipient_id", "recipient_key", "address", "address_hash", "state", "reason",
    "score", "attempts", "strikes", "owner", "fence", "epoch", "provider", "provider_message_id",
    "tried_providers",
)  # fmt: skip
REST = ("ready", "", 50, 0, 0, "", 0, 0, "", "", "")
People = Sequence[tuple[int, str]]


def make_driver_insert(people: People) -> Callable[[], None]:
    """Return a function that inserts rows with the driver. All values but the notification's id are computed before."""
    rows = [("email", pk, f"u:{pk}", email, hash_address(email), *REST) for pk, email in people]
    names = ", ".join(COLUMNS)

    def write() -> None:
        pk = create_notification().pk
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY klaxon_delivery ({names}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row((pk, *row))
            else:
                marks = ", ".join(["%s"] * len(COLUMNS))
                cursor.executemany(
                    f"INSERT INTO klaxon_delivery ({names}) VALUES ({marks})", ((pk, *row) for row in rows)
                )

    return write


def make_bulk_create(people: People) -> Callable[[], None]:
    """Return a function that inserts rows with ``bulk_create()``."""

    def write() -> None:
        notification = create_notification()
        Delivery.objects.bulk_create(
            Delivery.build(notification, "email", f"u:{pk}", email, recipient_id=pk) for pk, email in people
        )

    return write


def create_notification() -> Notification:
    return Notification.objects.create(
        cluster=Cluster.objects.default(), event="bench_mail", priority=3, created_at=timezone.now()
    )
