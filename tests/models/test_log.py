"""Rows are added to the log, and remain when the rows that they reference are deleted."""

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from notifications.core.addresses import mask_address
from notifications.exceptions import AppendOnlyViolation
from notifications.manager import NotificationManager
from notifications.models import (
    Delivery,
    LogPersonal,
    Notification,
    NotificationLog,
    PreferenceChange,
    allow_log_changes,
)
from notifications.testing import capture_notifications
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

CONTEXT = {"order_number": "7", "eta": None}


def row(address="", context=None):
    entry = NotificationLog(
        kind=NotificationLog.Kind.ATTEMPT,
        event="order_shipped",
        recipient_key="u:1",
        channel="email",
        sent_at=timezone.now(),
    )
    entry.new_address, entry.new_context = address, context
    return entry


@pytest.mark.parametrize("count", [1, 10])
def test_any_number_of_rows_is_written_with_at_most_four_statements(count, django_assert_max_num_queries):
    rows = [row(f"{place}***@example.com", {"order_number": f"{place}"}) for place in range(count)]
    rows += [row()]
    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 4):
        NotificationLog.objects.append(rows)
    assert NotificationLog.objects.count() == count + 1
    written = LogPersonal.objects.order_by("pk").values_list("address", "context_data")
    assert list(written) == [(item.new_address, item.new_context) for item in rows[:-1]]


def test_every_column_is_stored_unchanged():
    user, entry = UserFactory(), row()
    given = {
        "recipient_id": user.pk, "attempt": 2, "epoch": 1, "duration": 0.25, "success": True, "reason": "temporary",
        "error_message": "a 'quoted' {brace}", "provider": "smtp", "provider_message_id": "<1@x>",
        "correlation_id": "c", "cluster_id": 1, "notification_id": 2, "delivery_id": 3,
    }  # fmt: skip
    for name, value in given.items():
        setattr(entry, name, value)
    NotificationLog.objects.append([entry, row()])
    first, second = NotificationLog.objects.order_by("pk")
    assert {name: getattr(first, name) for name in given} == given
    assert first.sent_at == entry.sent_at
    assert (second.duration, second.recipient_id, second.attempt) == (None, None, None)


@pytest.mark.django_db(transaction=True)
def test_a_dump_with_natural_keys_contains_rows_of_deleted_users(tmp_path):
    deleted, kept = UserFactory(), UserFactory(username="kept")
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, [deleted, kept])
        captured.deliver()
    change = PreferenceChange.objects.create(at=timezone.now(), by=deleted, action="added", table="x", subject="x")
    deleted.delete()
    dump = tmp_path / "dump.json"
    call_command("dumpdata", "klaxon", "auth.user", "--natural-foreign", output=str(dump), verbosity=0)
    before = NotificationLog.objects.count(), Delivery.objects.count()
    call_command("flush", interactive=False, verbosity=0)
    call_command("loaddata", str(dump), verbosity=0)
    assert (NotificationLog.objects.count(), Delivery.objects.count()) == before
    names = {row.recipient and row.recipient.username for row in NotificationLog.objects.all()}
    assert names == {None, "kept"}
    assert PreferenceChange.objects.get(pk=change.pk).by is None


def test_a_deleted_user_is_none_in_a_row():
    user = UserFactory()
    entry = row()
    entry.recipient_id = user.pk
    NotificationLog.objects.append([entry])
    assert NotificationLog.objects.get().recipient == user
    key = user.pk
    user.delete()
    stored = NotificationLog.objects.get()
    assert (stored.recipient_id, stored.recipient) == (key, None)


def create_entry(user, cluster):
    entry = row()
    entry.recipient_id, entry.cluster_id = user.pk, cluster.pk
    NotificationLog.objects.append([entry, row()])
    return NotificationLog.objects.get(recipient=user.pk)


def test_a_user_and_a_cluster_have_their_rows():
    user, cluster = UserFactory(), ClusterFactory()
    entry = create_entry(user, cluster)
    assert list(user.received_notifications.all()) == list(cluster.notification_logs.all()) == [entry]
    assert list(User.objects.filter(received_notifications__event="order_shipped")) == [user]


def test_related_managers_cannot_move_or_remove_rows():
    user, other = UserFactory(), UserFactory()
    entry = create_entry(user, ClusterFactory())
    for change in (
        lambda: other.received_notifications.add(entry),
        lambda: other.received_notifications.set([entry]),
        lambda: user.received_notifications.remove(user.received_notifications.get()),
        lambda: user.received_notifications.clear(),
    ):
        with pytest.raises(AppendOnlyViolation), transaction.atomic():
            change()
    assert list(user.received_notifications.all()) == [entry]


@pytest.mark.parametrize(
    "read",
    [
        lambda rows: rows.get(),
        lambda rows: rows.select_related("recipient", "cluster", "notification", "delivery").get(),
        lambda rows: rows.prefetch_related("recipient", "cluster", "notification", "delivery")[0],
    ],
)
def test_deleted_relations_are_none_in_every_kind_of_query(read):
    user, cluster = UserFactory(), ClusterFactory()
    pk = create_entry(user, cluster).pk
    user.delete()
    cluster.delete()
    entry = read(NotificationLog.objects.filter(pk=pk))
    assert (entry.recipient, entry.cluster, entry.notification, entry.delivery) == (None, None, None, None)
    assert entry.recipient_id is not None


class TestConditionsOnThePersonalPart:
    @pytest.fixture(autouse=True)
    def rows(self):
        seven, eight = {"order": "7", "lines": [{"sku": "a"}]}, {"order": "8", "lines": []}
        NotificationLog.objects.append([row("a***@x.example", seven), row("b***@x.example", eight), row()])

    def orders(self, rows):
        return [entry.context_data.get("order") for entry in rows.order_by("pk")]

    def test_the_context_can_be_filtered_by_its_keys(self):
        logs = NotificationLog.objects
        assert self.orders(logs.filter(context_data__order="7")) == ["7"]
        assert self.orders(logs.filter(context_data__lines__0__sku="a")) == ["7"]
        assert self.orders(logs.filter(context_data__has_key="order")) == ["7", "8"]
        assert logs.get(context_data__order="8").address == "b***@x.example"

    def test_the_context_works_in_q_objects_and_exclude(self):
        logs = NotificationLog.objects
        either = Q(Q(context_data__order="7") | Q(address="b***@x.example"), ~Q(context_data__order="8"))
        assert self.orders(logs.filter(either, event="order_shipped")) == ["7"]
        assert self.orders(logs.filter(context_data__has_key="order").exclude(context_data__order="7")) == ["8"]

    def test_the_context_works_in_related_managers(self):
        user = UserFactory()
        entry = row(context={"order": "9"})
        entry.recipient_id = user.pk
        NotificationLog.objects.append([entry])
        assert self.orders(user.received_notifications.filter(context_data__order="9")) == ["9"]
        assert not user.received_notifications.filter(context_data__order="7")


def test_rows_may_come_from_an_iterator():
    NotificationLog.objects.append(row() for _ in range(2))
    assert NotificationLog.objects.count() == 2


def test_appending_no_rows_runs_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        NotificationLog.objects.append([])


def test_a_row_without_personal_values_has_no_personal_part():
    NotificationLog.objects.append([row()])
    assert not LogPersonal.objects.exists()
    entry = NotificationLog.objects.get()
    assert (entry.address, entry.context_data) == ("", {})


def test_an_address_alone_has_an_empty_context():
    NotificationLog.objects.append([row("a***@example.com")])
    entry = NotificationLog.objects.get()
    assert (entry.address, entry.context_data) == ("a***@example.com", {})


@pytest.mark.parametrize(
    "address", [f"a@{'x' * 400}.example", f"https://example.com/{'x' * 400}", "a@exa\0mple.com", "\0@x"]
)
def test_a_masked_address_always_fits(address):
    NotificationLog.objects.append([row(mask_address(address))])
    assert LogPersonal.objects.exists()


def test_personal_values_can_be_erased_without_touching_the_row():
    NotificationLog.objects.append([row("a***@example.com", {"order_number": "7"})])
    before = NotificationLog.objects.values().get()
    with allow_log_changes("erase"):
        LogPersonal.objects.all().delete()
    entry = NotificationLog.objects.get()
    assert (entry.address, entry.context_data) == ("", {})
    assert NotificationLog.objects.values().get() == before


def deliver_one():
    user = UserFactory(email="secret.name@example.com")
    cluster = ClusterFactory(members=[user])
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], cluster, CONTEXT, channels=["email"])
    captured.deliver()
    return user, cluster


def test_an_attempt_is_one_row_with_its_details():
    user, cluster = deliver_one()
    entry = NotificationLog.objects.get()
    delivery = Delivery.objects.get()
    assert (entry.kind, entry.success, entry.attempt, entry.epoch) == ("attempt", True, 1, 0)
    assert (entry.recipient, entry.cluster, entry.event, entry.channel) == (user, cluster, "order_shipped", "email")
    assert (entry.notification, entry.delivery) == (delivery.notification, delivery)
    assert entry.correlation_id == delivery.notification.correlation_id
    assert entry.provider_message_id == delivery.provider_message_id != ""
    assert entry.duration >= 0


def test_only_loggable_keys_and_a_masked_address_are_kept():
    deliver_one()
    entry = NotificationLog.objects.get()
    assert entry.address == "s***@example.com"
    assert entry.context_data == {"order_number": "7", "eta": None}


def test_the_log_remains_when_notification_user_and_cluster_are_deleted():
    user, cluster = deliver_one()
    before = NotificationLog.objects.values().get()
    Notification.objects.all().delete()
    user.delete()
    cluster.delete()
    assert not Delivery.objects.exists()
    assert NotificationLog.objects.values().get() == before
