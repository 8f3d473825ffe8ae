"""What ``send()`` writes, in the transaction of the caller."""

from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.context import Fields
from notifications.core import clock
from notifications.events import NotificationPriority
from notifications.exceptions import InvalidRecipient
from notifications.models import Cluster, Delivery, Notification, NotificationLog, SharedPreference, UserSettings
from notifications.outcomes import Reason
from notifications.recipients import Address
from notifications.signals import notifications_queued
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory
from tests.sending.calls import NOON, SHIPPED, send, send_newsletter
from tests.shop.notification_events import ShopEvents


@contextmanager
def roll_back():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class TestRows:
    def test_one_delivery_for_each_recipient_and_channel(self, user):
        other = UserFactory()
        result = send([user, other])
        rows = set(Delivery.objects.values_list("recipient_id", "channel", "address", "state"))
        assert rows == {
            (user.pk, "email", user.email, "ready"),
            (user.pk, "app", "", "ready"),
            (other.pk, "email", other.email, "ready"),
            (other.pk, "app", "", "ready"),
        }
        assert (result.queued, result.held, result.dropped) == (4, 0, 0)
        assert result

    def test_the_context_is_stored_once_for_all_recipients(self, user):
        send([user, UserFactory()])
        [notification] = Notification.objects.all()
        assert notification.values == SHIPPED
        assert notification.priority == NotificationPriority.MEDIUM

    def test_values_keep_their_types_in_the_database(self, user, event_with):
        given = {
            "total": Decimal("10.50"),
            "day": date(2026, 11, 20),
            "number": UUID("12345678-1234-5678-1234-567812345678"),
            "at": NOON,
            "nested": [{"$date": "not a date"}],
        }
        result = send(user, event_with(), given)
        values = Notification.objects.get(pk=result.notification_id).values
        assert values == given
        assert {key: type(value) for key, value in values.items()} == {key: type(value) for key, value in given.items()}

    def test_a_naive_datetime_takes_the_current_time_zone(self, user, event_with):
        with timezone.override("Europe/Berlin"):
            result = send(user, event_with(), {"at": datetime(2026, 7, 1, 12)})
        assert Notification.objects.get(pk=result.notification_id).values["at"] == datetime(2026, 7, 1, 10, tzinfo=UTC)

    def test_only_declared_fields_of_a_model_instance_are_stored(self, user, event_with):
        result = send(user, event_with(context={"customer": Fields("username", "pk")}), {"customer": user})
        stored = Notification.objects.get(pk=result.notification_id).context
        assert stored == {"customer": {"username": user.username, "pk": user.pk}}

    def test_a_critical_event_is_sent_with_valid_values_and_the_result_has_the_problems(self, user, event_with, caplog):
        critical = event_with(priority=NotificationPriority.CRITICAL, context={"by": Fields("username", "nickname")})
        result = send(user, critical, {"by": user, "colour": "red"})
        assert (bool(result), result.queued) == (True, 1)
        assert Notification.objects.get(pk=result.notification_id).context == {"by": {"username": user.username}}
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == len(result.problems) == 2
        assert all(any(problem in error for error in errors) for problem in result.problems)
        assert "'by' has no field 'nickname'" in repr(result)

    def test_the_result_shows_its_drops(self, user):
        result = send([user, Address(phone="+4915112345678")])
        assert repr(result) == (
            f"SendResult(notification_id={result.notification_id}, queued=2, held=0, dropped=2, "
            "reasons={'no_address': 2})"
        )

    def test_the_options_are_stored(self, user):
        actor = UserFactory()
        with travelling(NOON):
            result = send(
                user, actor=actor, topic="orders", campaign="spring", correlation_id="abc", cancel_key="order-7"
            )
        row = Notification.objects.get(pk=result.notification_id)
        assert (row.actor, row.topic, row.campaign, row.correlation_id, row.cancel_key) == (
            actor, "orders", "spring", "abc", "order-7",
        )  # fmt: skip
        assert row.created_at == NOON

    def test_every_notification_has_a_correlation_id(self, user):
        send(user)
        send(user)
        first, second = Notification.objects.values_list("correlation_id", flat=True)
        assert first
        assert first != second

    def test_an_anonymous_actor_is_stored_as_none(self, user):
        send(user, actor=AnonymousUser())
        assert Notification.objects.get().actor is None

    @pytest.mark.parametrize(
        ("event", "band"), [(ShopEvents.STORE_ON_FIRE, (90, 100)), (ShopEvents.NEWSLETTER, (0, 29))]
    )
    def test_the_score_lies_in_the_band_of_the_priority(self, user, event, band):
        send(user, event, {"place": "hall"} if event is ShopEvents.STORE_ON_FIRE else {})
        assert all(band[0] <= score <= band[1] for score in Delivery.objects.values_list("score", flat=True))

    def test_an_event_may_be_named_by_its_member_or_its_name(self, user):
        send(user, ShopEvents.ORDER_SHIPPED)
        send(user, "order_shipped")
        assert list(Notification.objects.values_list("event", flat=True)) == ["order_shipped"] * 2


class TestTransaction:
    def test_the_signal_is_sent_once_on_commit_with_the_id(self, user, queued_ids, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            result = send([user, UserFactory()])
            assert queued_ids == []
        assert queued_ids == [result.notification_id]

    def test_no_signal_is_sent_if_nothing_was_queued(self, user, queued_ids, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            send([user], cluster=ClusterFactory())
            send([])
        assert callbacks == []

    def test_the_error_of_a_receiver_does_not_reach_the_caller(
        self, user, queued_ids, django_capture_on_commit_callbacks
    ):
        def broken(**kwargs):
            raise RuntimeError

        notifications_queued.connect(broken)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                send([user])
        finally:
            notifications_queued.disconnect(broken)
        assert len(queued_ids) == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_rollback_leaves_no_row_and_sends_no_signal(self, queued_ids):
        user, stranger = UserFactory(), UserFactory()
        cluster = ClusterFactory(members=[user])
        with roll_back():
            assert send_newsletter([user, stranger], cluster).queued == 1
            assert Delivery.objects.exists()
        for model in (Notification, Delivery, NotificationLog):
            assert not model.objects.exists()
        assert queued_ids == []

    @pytest.mark.django_db(transaction=True)
    def test_a_commit_leaves_the_rows_and_sends_the_signal(self, queued_ids):
        with transaction.atomic():
            result = send_newsletter([UserFactory()])
            assert queued_ids == []
        assert queued_ids == [result.notification_id]
        assert Delivery.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_rollback_to_a_savepoint_removes_only_its_notification(self, queued_ids):
        user = UserFactory()
        with transaction.atomic():
            kept = send_newsletter([user])
            with roll_back():
                send_newsletter([user])
        assert queued_ids == [kept.notification_id]
        assert Notification.objects.get().pk == kept.notification_id

    @pytest.mark.django_db(transaction=True)
    def test_without_a_transaction_of_the_caller_send_is_atomic(self, queued_ids):
        with pytest.raises(InvalidRecipient):
            send([UserFactory(), "bob"])
        assert not Notification.objects.exists()
        assert queued_ids == []

    @pytest.mark.django_db(transaction=True)
    def test_a_call_that_one_statement_writes_begins_no_transaction(self, queued_ids):
        user, stranger = UserFactory(), UserFactory()
        cluster = ClusterFactory(members=[user])
        clock.cached_now()
        for recipients, count in (([user], 0 if connection.vendor == "postgresql" else 1), ([user, stranger], 1)):
            with CaptureQueriesContext(connection) as queries:
                result = send_newsletter(recipients, cluster)
            assert sum(query["sql"].startswith("BEGIN") for query in queries) == count
            assert queued_ids.pop() == result.notification_id
            assert Delivery.objects.filter(notification=result.notification_id).count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_an_error_leaves_no_row_and_sends_no_signal(self, queued_ids, monkeypatch):
        user = UserFactory()
        monkeypatch.setattr("notifications.sending.decisions.READY", None)
        with pytest.raises(IntegrityError):
            send_newsletter([user])
        assert not Notification.objects.exists()
        assert queued_ids == []

    @pytest.mark.django_db(transaction=True)
    def test_in_a_transaction_that_the_host_manages_the_signal_waits_for_its_commit(self, queued_ids):
        user = UserFactory()
        connection.set_autocommit(False)
        try:
            result = send_newsletter([user])
            assert queued_ids == []
            connection.commit()
        finally:
            connection.set_autocommit(True)
        assert queued_ids == [result.notification_id]
        assert Delivery.objects.count() == 1


class TestUnusualValues:
    def test_a_surrogate_in_an_address_concerns_only_its_recipient(self, db):
        odd, other = UserFactory.create_batch(2)
        UserFactory.create_batch(1)
        bad = Address(email="\ud800a@example.com")
        result = send_newsletter([other, bad])
        assert (result.queued, result.reasons) == (1, {Reason.INVALID_ADDRESS: 1})
        if connection.vendor == "sqlite":  # which stores it as an escape; PostgreSQL refuses it
            cluster = Cluster.objects.default()
            UserSettings.objects.create(user=odd, cluster=cluster, addresses={"email": "\ud800x@example.com"})
            assert send_newsletter([odd, other]).queued == 2, "the account of its owner has another"

    def test_a_user_with_a_text_as_primary_key_is_the_same_user(self, user):
        role = Group.objects.create(name="night")
        user.groups.add(role)
        SharedPreference.objects.create(cluster=Cluster.objects.default(), group=role, channels={"app": False})
        assert send_newsletter([user, User(pk=str(user.pk))]).queued == 1
        with pytest.raises(InvalidRecipient, match="not a primary key"):
            send_newsletter([User(pk="ann")])

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about COPY")
    @pytest.mark.parametrize("count", [3, 60])
    def test_database_errors_are_djangos_for_any_number_of_rows(self, db, count, monkeypatch):
        users = UserFactory.create_batch(count)
        monkeypatch.setattr("notifications.sending.decisions.READY", "ready" * 10)
        with pytest.raises(DataError), transaction.atomic():
            send_newsletter(users)
