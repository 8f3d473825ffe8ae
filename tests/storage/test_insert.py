"""What is written by hand is what Django would write."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.forms.models import model_to_dict

from notifications.models import Delivery, Notification
from notifications.storage.insert import FEW, OF_EACH, queue, store
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ODD = "tab\t, \\N, 'quote', \nline, ü, \\"


@pytest.fixture
def told():
    return Notification.objects.create(cluster=ClusterFactory(), event="shop_newsletter", priority=3, created_at=NOON)


def row(number, user=None, **given):
    made = ("email", user and user.pk, f"u:{number}", ODD, "hash", "ready", "", None)
    return tuple({**dict(zip(OF_EACH, made, strict=True)), **given}.values())


def facts(delivery):
    return {**model_to_dict(delivery), "id": None, "recipient_key": None}


@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
def test_few_or_many_are_written_as_django_would(told, count):
    user = UserFactory()
    queue("default", told.pk, 70, [row(number, user) for number in range(count)])
    written = list(Delivery.objects.all())
    theirs = Delivery.objects.create(
        notification=told,
        channel="email",
        recipient=user,
        recipient_key="a",
        address=ODD,
        address_hash="hash",
        score=70,
    )
    theirs.refresh_from_db()
    assert len(written) == count
    assert {str(facts(delivery)) for delivery in written} == {str(facts(theirs))}


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_what_waits_and_who_has_no_account(told, count):
    rows = [row(number, state="held", reason="quiet_hours", due_at=NOON) for number in range(count)]
    queue("default", told.pk, 50, rows)
    assert set(Delivery.objects.values_list("state", "reason", "due_at", "recipient")) == {
        ("held", "quiet_hours", NOON, None)
    }


def test_no_rows_are_no_statement(told, django_assert_num_queries):
    with django_assert_num_queries(0):
        queue("default", told.pk, 50, [])


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="it is the driver of PostgreSQL")
def test_a_driver_that_copies_no_rows_inserts_them(told, monkeypatch):
    """As psycopg2."""
    monkeypatch.delattr("psycopg.Cursor.copy")
    queue("default", told.pk, 50, [row(number) for number in range(FEW + 1)])
    assert Delivery.objects.filter(address=ODD).count() == FEW + 1


def test_a_notification_gets_its_key_and_its_time():
    made = Notification(cluster=ClusterFactory(), event="shop_newsletter", priority=3, context={"a": [1]})
    with travelling(NOON):
        store(made, "default")
    assert Notification.objects.get() == made
    assert Notification.objects.get().created_at == made.created_at == NOON
    assert Notification.objects.get().context == {"a": [1]}


def test_its_time_is_that_of_the_database(django_assert_num_queries):
    made = Notification(cluster=ClusterFactory(), event="shop_newsletter", priority=3)
    with django_assert_num_queries(1):
        store(made, "default")
    assert made.created_at.tzinfo is UTC
    assert Notification.objects.get().created_at == made.created_at


def test_a_time_that_is_given_stays():
    made = Notification(cluster=ClusterFactory(), event="shop_newsletter", priority=3, created_at=NOON)
    store(made, "default")
    made.refresh_from_db()
    assert made.created_at == NOON
    assert connection.in_atomic_block
