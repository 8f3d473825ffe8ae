"""The hand-written statements write the same rows as Django."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.forms.models import model_to_dict

from notifications.models import Delivery, Notification
from notifications.storage.insert import DELIVERY_COLUMNS, MAX_INSERT_ROWS, insert_deliveries, insert_notification
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ODD = "tab\t, \\N, 'quote', \nline, ü, \\"


@pytest.fixture
def notification():
    return Notification.objects.create(cluster=ClusterFactory(), event="shop_newsletter", priority=3, created_at=NOON)


def row(number, user=None, **changes):
    values = ("email", user and user.pk, f"u:{number}", ODD, "hash", "ready", "", None)
    return tuple({**dict(zip(DELIVERY_COLUMNS, values, strict=True)), **changes}.values())


def comparable_fields(delivery):
    return {**model_to_dict(delivery), "id": None, "recipient_key": None}


@pytest.mark.parametrize("count", [1, MAX_INSERT_ROWS, MAX_INSERT_ROWS + 1])
def test_few_or_many_rows_are_written_as_django_would_write_them(notification, count):
    user = UserFactory()
    insert_deliveries("default", notification.pk, 70, [row(number, user) for number in range(count)])
    written = list(Delivery.objects.all())
    expected = Delivery.objects.create(
        notification=notification,
        channel="email",
        recipient=user,
        recipient_key="a",
        address=ODD,
        address_hash="hash",
        score=70,
    )
    expected.refresh_from_db()
    assert len(written) == count
    assert {str(comparable_fields(delivery)) for delivery in written} == {str(comparable_fields(expected))}


@pytest.mark.parametrize("count", [1, MAX_INSERT_ROWS + 1])
def test_held_rows_without_a_recipient(notification, count):
    rows = [row(number, state="held", reason="quiet_hours", due_at=NOON) for number in range(count)]
    insert_deliveries("default", notification.pk, 50, rows)
    assert set(Delivery.objects.values_list("state", "reason", "due_at", "recipient")) == {
        ("held", "quiet_hours", NOON, None)
    }


def test_no_rows_run_no_statement(notification, django_assert_num_queries):
    with django_assert_num_queries(0):
        insert_deliveries("default", notification.pk, 50, [])


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="it concerns the driver of PostgreSQL")
def test_a_driver_without_copy_inserts_the_rows(notification, monkeypatch):
    """psycopg2 is such a driver."""
    monkeypatch.delattr("psycopg.Cursor.copy")
    insert_deliveries("default", notification.pk, 50, [row(number) for number in range(MAX_INSERT_ROWS + 1)])
    assert Delivery.objects.filter(address=ODD).count() == MAX_INSERT_ROWS + 1


def test_a_notification_gets_a_primary_key_and_a_time():
    made = Notification(cluster=ClusterFactory(), event="shop_newsletter", priority=3, context={"a": [1]})
    with travelling(NOON):
        insert_notification(made, "default")
    assert Notification.objects.get() == made
    assert Notification.objects.get().created_at == made.created_at == NOON
    assert Notification.objects.get().context == {"a": [1]}


def test_the_time_is_that_of_the_database(django_assert_num_queries):
    made = Notification(cluster=ClusterFactory(), event="shop_newsletter", priority=3)
    with django_assert_num_queries(1):
        insert_notification(made, "default")
    assert made.created_at.tzinfo is UTC
    assert Notification.objects.get().created_at == made.created_at


def test_a_given_time_is_kept():
    made = Notification(cluster=ClusterFactory(), event="shop_newsletter", priority=3, created_at=NOON)
    insert_notification(made, "default")
    made.refresh_from_db()
    assert made.created_at == NOON
    assert connection.in_atomic_block
