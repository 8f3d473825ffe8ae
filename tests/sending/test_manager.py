"""``send()``: who gets what, written down in the caller's transaction."""

import logging
import socket
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from types import SimpleNamespace
from unittest.mock import ANY
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, connection, transaction
from django.db.models import JSONField, Value
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.context import Fields
from notifications.core import clock
from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority
from notifications.exceptions import (
    IdempotencyConflict,
    InvalidCluster,
    InvalidContext,
    InvalidOption,
    InvalidRecipient,
    NotPermitted,
    UnknownEvent,
)
from notifications.manager import NotificationManager
from notifications.models import (
    Cluster,
    Delivery,
    Mute,
    Notification,
    NotificationLog,
    SharedPreference,
    Suppression,
    UserSettings,
)
from notifications.outcomes import DeliveryState, Outcome, Reason
from notifications.recipients import Address, Members, Topic
from notifications.signals import notifications_queued
from notifications.testing import capture_notifications, temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.mailers import use_backend
from tests.shop.notification_events import ShopEvents

SHIPPED = {"order_number": "7"}
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def admins_of(cluster):
    return cluster.members.filter(is_staff=True)


def nobody_of(cluster):
    return None


class Floor(Enum):
    POOL = " Pool "


def send(recipients, event=ShopEvents.ORDER_SHIPPED, context=SHIPPED, cluster=None, **options):
    return NotificationManager.send(event, recipients, cluster, context, **options)


def send_newsletter(recipients, cluster=None, **options):
    """An event with one channel, email."""
    return send(recipients, ShopEvents.NEWSLETTER, {}, cluster, **options)


@contextmanager
def rolled_back():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def user(db):
    return UserFactory()


@pytest.fixture
def heard():
    """The ids of every notification that was told of."""
    found = []

    def listener(notification_ids, partition, **kwargs):
        assert partition == "default"
        found.extend(notification_ids)

    notifications_queued.connect(listener)
    yield found
    notifications_queued.disconnect(listener)


@pytest.fixture
def event_with(db):
    """Register an event for this test, and send it."""

    class Test(Enum):
        EVENT = "test_event"

    with temporary_events() as events:

        def event_with(priority=NotificationPriority.MEDIUM, channels=("email",), **options):
            events[Test.EVENT] = NotificationEvent("test_event", priority, channels, **options)
            return Test.EVENT

        yield event_with


class TestWhatIsWritten:
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

    def test_the_context_is_stored_once_however_many_receive_it(self, user):
        send([user, UserFactory()])
        [notification] = Notification.objects.all()
        assert notification.values == SHIPPED
        assert notification.priority == NotificationPriority.MEDIUM

    def test_values_come_back_as_themselves_from_the_table(self, user, event_with):
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

    def test_of_a_model_instance_only_declared_fields_are_stored(self, user, event_with):
        result = send(user, event_with(context={"customer": Fields("username", "pk")}), {"customer": user})
        stored = Notification.objects.get(pk=result.notification_id).context
        assert stored == {"customer": {"username": user.username, "pk": user.pk}}

    def test_a_critical_event_is_sent_with_what_exists_and_the_result_tells_the_rest(self, user, event_with, caplog):
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

    def test_the_options_are_kept(self, user):
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

    def test_an_anonymous_actor_is_nobody(self, user):
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


class TestRecipients:
    def test_someone_named_twice_gets_one_delivery(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user, user, User.objects.filter(pk=user.pk), Members(cluster)], cluster)
        assert Delivery.objects.count() == 1

    def test_members_are_all_members(self, db):
        members = UserFactory.create_batch(3)
        UserFactory()
        cluster = ClusterFactory(members=members)
        assert send_newsletter(Members(cluster), cluster).queued == 3

    def test_the_members_of_another_cluster_are_no_members_of_this_one(self, user):
        other = ClusterFactory(members=[user])
        assert send_newsletter(Members(other), ClusterFactory()).reasons == {Reason.NOT_MEMBER: 1}

    def test_an_address_needs_no_account_but_has_no_inbox(self, db):
        result = send(Address(email="ann@example.com"))
        [delivery] = Delivery.objects.all()
        assert (delivery.channel, delivery.address, delivery.recipient) == ("email", "ann@example.com", None)
        assert result.reasons == {Reason.NO_ADDRESS: 1}

    def test_many_chunks_are_one_notification(self, db, settings):
        settings.NOTIFICATIONS = {"CHUNK_SIZE": 2}
        users = UserFactory.create_batch(5)
        for recipients in (users, User.objects.all(), Members(Cluster.objects.default())):
            assert send_newsletter(recipients).queued == 5
        assert Notification.objects.count() == 3

    def test_nobody_is_no_error(self, db):
        result = send([])
        assert (result.queued, result.dropped, bool(result)) == (0, 0, True)

    @pytest.mark.parametrize("wrong", [None, "ann@example.com", [5], Permission.objects.none()])
    def test_a_wrong_recipient_is_an_error_and_leaves_nothing(self, user, wrong):
        with pytest.raises(InvalidRecipient):
            send(wrong)
        assert not Notification.objects.exists()

    def test_a_wrong_recipient_behind_good_ones_leaves_nothing_either(self, user):
        with pytest.raises(InvalidRecipient):
            send([user, "bob"])
        assert not Notification.objects.exists()
        assert not Delivery.objects.exists()

    def test_one_bad_address_harms_nobody_else(self, user):
        bad = [
            Address(email="\0nul@example.com"),
            Address(email="nul@exa\0mple.com"),
            Address(email=f"long@{'x' * 400}.example"),
            Address(email="two@example.com\nBcc: x@example.com"),
        ]
        result = send_newsletter([user, *bad])
        assert result.queued == 1
        assert result.reasons == {Reason.INVALID_ADDRESS: 4}
        assert NotificationLog.objects.filter(reason=Reason.INVALID_ADDRESS).count() == 4


class TestDrops:
    def dropped(self):
        return list(NotificationLog.objects.values_list("recipient_id", "channel", "reason", "kind", "success"))

    def test_a_stranger_is_dropped_with_the_reason_and_a_log_row(self, user):
        cluster = ClusterFactory()
        result = send_newsletter([user], cluster)
        assert (result.queued, result.reasons) == (0, {Reason.NOT_MEMBER: 1})
        assert result
        assert self.dropped() == [(user.pk, "email", "not_member", "drop", False)]
        assert not Delivery.objects.exists()

    def test_an_inactive_user_is_dropped_with_that_reason(self, db):
        inactive = UserFactory(is_active=False)
        result = send_newsletter([inactive], ClusterFactory(members=[inactive]))
        assert result.reasons == {Reason.INACTIVE: 1}
        assert result
        assert self.dropped() == [(inactive.pk, "email", "inactive", "drop", False)]

    def test_a_missing_address_makes_the_result_false(self, db):
        nobody = UserFactory(email="")
        result = send([nobody])
        assert result.reasons == {Reason.NO_ADDRESS: 1}
        assert result.queued == 1, "the inbox needs no address"
        assert not result
        assert self.dropped() == [(nobody.pk, "email", "no_address", "drop", False)]

    def test_a_malformed_address_makes_the_result_false(self, db):
        result = send_newsletter([UserFactory(email="ann")])
        assert result.reasons == {Reason.INVALID_ADDRESS: 1}
        assert not result

    def test_an_opt_out_keeps_the_result_true(self, user):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"EMAIL": False})
        result = send([user])
        assert (result.queued, result.reasons) == (1, {Reason.PREFERENCE: 1})
        assert result
        assert self.dropped() == [(user.pk, "email", "preference", "drop", False)]
        assert NotificationLog.objects.get().error_message == "user: channel email is off"

    def test_opt_outs_written_past_save_hold_in_any_case(self, user):
        row = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
        UserSettings.objects.filter(pk=row.pk).update(events={"ORDER_SHIPPED": {"Email": False}})
        assert send([user]).reasons == {Reason.PREFERENCE: 1}

    def test_a_preference_of_another_cluster_does_not_count(self, user):
        UserSettingsFactory(user=user, channels={"email": False})
        assert send_newsletter([user]).queued == 1

    def test_reading_preferences_writes_none(self, user):
        send([user])
        assert not UserSettings.objects.exists()

    def test_critical_events_bypass_preferences(self, user):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False, "app": False})
        assert send([user], ShopEvents.STORE_ON_FIRE, {"place": "hall"}).queued == 2

    def test_critical_events_reach_neither_strangers_nor_the_inactive(self, user):
        inactive = UserFactory(is_active=False)
        result = send([user, inactive], ShopEvents.STORE_ON_FIRE, {"place": "hall"}, ClusterFactory(members=[inactive]))
        assert result.queued == 0
        assert result.reasons == {Reason.NOT_MEMBER: 2, Reason.INACTIVE: 2}

    def test_no_level_lets_an_event_past_an_opt_out(self, user):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False})
        assert send_newsletter([user], level="critical").reasons == {Reason.PREFERENCE: 1}

    def test_the_log_row_masks_the_address_and_keeps_only_loggable_values(self, db, event_with):
        stranger = UserFactory(email="secret.name@example.com")
        event = event_with(loggable=("number",))
        send([stranger], event, {"number": "7", "diagnosis": "private"}, ClusterFactory())
        row = NotificationLog.objects.get()
        assert row.address == "s***@example.com"
        assert "private" not in str(row.context_data)

    @pytest.mark.parametrize("field", ["channels", "events", "categories", "addresses"])
    @pytest.mark.parametrize("malformed", [[], None])
    def test_the_malformed_preferences_of_one_user_stop_nobody(self, user, field, malformed):
        row = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
        if malformed is None:
            malformed = Value(None, JSONField())  # JSON's null; the column itself is never NULL
        UserSettings.objects.filter(pk=row.pk).update(**{field: malformed})
        assert send_newsletter([user, UserFactory()]).queued == 2


class TestChannels:
    def test_a_supported_channel_that_is_not_configured_is_named_once(self, user, event_with):
        result = send([user, UserFactory()], event_with(channels=["email", "sms"]), {})
        assert result.not_configured == ("sms",)
        assert result.refused_channels == ()
        assert result.queued == 2
        assert result
        assert not NotificationLog.objects.exists()

    def test_a_requested_channel_that_is_not_configured_makes_the_result_false(self, user, event_with):
        result = send([user], event_with(channels=["email", "sms"]), {}, channels=["sms", "EMAIL"])
        assert result.refused_channels == ("sms",)
        assert result.queued == 1
        assert not result

    def test_a_channel_that_is_switched_off_is_as_one_that_is_not_configured(self, user, settings):
        settings.NOTIFICATIONS = {"CHANNELS": {"app": {"ENABLED": False}}}
        assert send([user]).not_configured == ("app",)

    @pytest.mark.parametrize("narrowed", [["email"], [NotificationChannel.EMAIL], iter(["EMAIL "]), {"email"}])
    def test_channels_may_be_narrowed_in_any_spelling(self, user, narrowed):
        send([user], channels=narrowed)
        assert list(Delivery.objects.values_list("channel", flat=True)) == ["email"]

    def test_channels_may_not_be_widened(self, user):
        with pytest.raises(InvalidOption, match=r"\(email, app\).*not support log, sms"):
            send([user], channels=["log", "sms"])

    @pytest.mark.parametrize("wrong", ["email", NotificationChannel.EMAIL])
    def test_one_channel_alone_is_no_list(self, user, wrong):
        with pytest.raises(InvalidOption, match="list"):
            send([user], channels=wrong)


class TestPriority:
    def stored(self):
        return Notification.objects.get().priority

    @pytest.mark.parametrize(("level", "priority"), [("critical", 1), ("warning", 2), ("info", 3), ("debug", 4)])
    def test_a_level_is_a_priority(self, user, level, priority):
        send([user], level=level)
        assert self.stored() == priority

    @pytest.mark.parametrize("priority", [NotificationPriority.HIGH, 2])
    def test_a_priority_may_be_a_number(self, user, priority):
        send([user], priority=priority)
        assert self.stored() == 2
        low, high = NotificationPriority.HIGH.band
        assert low <= Delivery.objects.first().score <= high

    @pytest.mark.parametrize("option", [{"level": "debug"}, {"priority": 4}])
    def test_a_critical_event_is_never_lowered(self, user, option):
        send([user], ShopEvents.STORE_ON_FIRE, {"place": "hall"}, **option)
        assert self.stored() == NotificationPriority.CRITICAL

    @pytest.mark.parametrize(
        "wrong",
        [
            {"level": "loud"},
            {"level": "info", "priority": 3},
            *({"priority": wrong} for wrong in (7, 0, True, False, "1", [1])),
        ],
    )
    def test_a_wrong_level_or_priority_is_an_error(self, user, wrong):
        with pytest.raises(InvalidOption):
            send([user], **wrong)
        assert not Notification.objects.exists()


class TestWrongCalls:
    def test_an_unknown_event_is_an_error(self, user):
        with pytest.raises(UnknownEvent, match="order_shiped"):
            send([user], "order_shiped")

    def test_a_wrong_context_is_an_error_that_names_every_key(self, user):
        with pytest.raises(InvalidContext) as raised:
            send([user], context={"eta": "tomorrow", "colour": "red"})
        assert all(key in str(raised.value) for key in ("order_number", "eta", "colour"))
        assert not Notification.objects.exists()

    def test_a_critical_event_with_a_wrong_context_is_sent_and_logged_as_an_error(self, user, caplog):
        result = send([user], ShopEvents.STORE_ON_FIRE, {"floor": 2})
        assert result.queued == 2
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2

    @pytest.mark.parametrize("context", [{5: "hall"}, {"pl\0ace": "hall"}, ["hall"], "hall"])
    def test_whatever_is_wrong_with_its_context_a_critical_event_is_sent(self, user, caplog, context):
        assert send([user], ShopEvents.STORE_ON_FIRE, context).queued == 2
        assert any(record.levelno == logging.ERROR for record in caplog.records)

    @pytest.mark.parametrize("cluster", ["default", 1, User(), Cluster(name="unsaved")])
    def test_a_wrong_cluster_is_an_error(self, user, cluster):
        with pytest.raises(InvalidCluster):
            send([user], cluster=cluster)

    @pytest.mark.parametrize("wrong", [{"send_at": date(2026, 1, 1)}, {"expires_at": "tomorrow"}])
    def test_a_time_must_be_a_time(self, user, wrong):
        with pytest.raises(InvalidOption, match=next(iter(wrong))):
            send([user], **wrong)

    @pytest.mark.parametrize("option", ["idempotency_key", "cancel_key", "topic", "campaign", "correlation_id"])
    def test_an_option_that_does_not_fit_is_an_error_that_names_it(self, user, option):
        with pytest.raises(InvalidOption, match=option):
            send([user], **{option: "x" * 300})

    @pytest.mark.parametrize("option", ["idempotency_key", "cancel_key", "topic", "campaign", "correlation_id"])
    def test_an_option_that_no_database_can_store_is_an_error_that_names_it(self, user, option):
        for text in ("nul \0", "half \ud800"):
            with pytest.raises(InvalidOption, match=option):
                send([user], **{option: text})

    @pytest.mark.parametrize(
        ("topic", "kept"), [(Floor.POOL, "pool"), (Topic(" Pool"), "pool"), ("The Pool", "The Pool")]
    )
    def test_a_topic_may_be_given_as_for_a_subscription(self, user, topic, kept):
        Mute(user=user, cluster=Cluster.objects.default(), kind="topic", value=kept).save()
        assert send([user], topic=topic).reasons == {"muted": 2}
        assert not NotificationManager.explain(ShopEvents.NEWSLETTER, user, None, {}, topic=topic).reaches
        assert Notification.objects.get().topic == kept

    @pytest.mark.parametrize("topic", [7, ["pool"], object(), b"pool"])
    def test_a_topic_that_is_no_text_is_an_error(self, user, topic):
        with pytest.raises(InvalidOption, match="topic must be a text"):
            send([user], topic=topic)

    def test_an_option_given_as_none_is_one_that_was_not_given(self, user):
        nothing = dict.fromkeys(["idempotency_key", "cancel_key", "topic", "campaign", "correlation_id", "actor"])
        result = send([user], **nothing)
        row = Notification.objects.get(pk=result.notification_id)
        assert (row.topic, row.campaign, row.cancel_key, row.idempotency_key) == ("", "", None, None)
        assert row.correlation_id


class TestClusters:
    def test_a_site_without_clusters_has_one_that_is_made_once(self, user):
        send([user])
        send([user])
        assert Cluster.objects.get().open_to_all
        assert set(Notification.objects.values_list("cluster", flat=True)) == {Cluster.objects.get().pk}

    def test_a_notification_belongs_to_the_cluster_it_was_sent_in(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster)
        assert Notification.objects.get().cluster == cluster


class TestTime:
    def test_what_is_sent_for_later_is_held(self, user):
        with travelling(NOON):
            result = send_newsletter([user], send_at=NOON + timedelta(hours=1))
        assert (result.queued, result.held) == (0, 1)
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.reason) == (DeliveryState.HELD, Reason.SCHEDULED)
        assert delivery.due_at == NOON + timedelta(hours=1)

    def test_what_is_sent_for_a_time_that_has_passed_is_queued(self, user):
        with travelling(NOON):
            assert send_newsletter([user], send_at=NOON - timedelta(hours=1)).queued == 1

    def test_a_naive_time_takes_the_current_time_zone(self, user):
        with timezone.override("America/New_York"), travelling(NOON):
            send_newsletter([user], send_at=datetime(2026, 3, 29, 9), expires_at=datetime(2026, 3, 30))
        assert Delivery.objects.get().due_at == datetime(2026, 3, 29, 13, tzinfo=UTC)
        assert Notification.objects.get().expires_at == datetime(2026, 3, 30, 4, tzinfo=UTC)

    def test_a_drop_is_not_held(self, db):
        result = send_newsletter([UserFactory(email="")], send_at=datetime(2100, 1, 1, tzinfo=UTC))
        assert (result.held, result.dropped) == (0, 1)


class TestResult:
    def test_outcomes_are_read_when_asked_for(self, user):
        stranger = UserFactory()
        result = send_newsletter([user, stranger], ClusterFactory(members=[user]))
        assert list(result.outcomes()) == [
            Outcome(f"u:{user.pk}", "email", "ready", ""),
            Outcome(f"u:{stranger.pk}", "email", "dropped", "not_member"),
        ]
        Delivery.objects.update(state="sent")
        assert next(result.outcomes()).state == "sent"

    def test_it_says_no_more_than_its_own_notification(self, user):
        send_newsletter([UserFactory()])
        assert len(list(send_newsletter([user]).outcomes())) == 1

    def test_figures_as_a_dict(self, user):
        result = send([user, UserFactory(email="")])
        assert result.as_dict() == {"queued": 3, "held": 0, "dropped": 1, "reasons": {"no_address": 1}}


class TestIdempotency:
    def test_the_same_content_is_queued_once(self, user):
        first = send([user], idempotency_key="order-7")
        second = send([user], idempotency_key="order-7")
        assert not first.duplicate
        assert second.duplicate
        assert second.notification_id == first.notification_id
        assert second.as_dict() == first.as_dict()
        assert Delivery.objects.count() == 2

    def test_the_figures_of_the_first_call_include_its_drops(self, db):
        users = [UserFactory(email=""), UserFactory()]
        options = {"idempotency_key": "order-7", "send_at": datetime(2100, 1, 1, tzinfo=UTC)}
        first, second = send(users, **options), send(users, **options)
        assert second.as_dict() == first.as_dict() == {
            "queued": 0, "held": 3, "dropped": 1, "reasons": {"no_address": 1},
        }  # fmt: skip
        assert bool(second) is bool(first) is False
        assert list(second.outcomes()) == list(first.outcomes())

    @pytest.mark.parametrize(
        "other",
        [
            {"context": {"order_number": "8"}},
            {"channels": ["email"]},
            {"level": "debug"},
            {"topic": "other"},
            {"cancel_key": "other"},
            {"expires_at": datetime(2100, 1, 1, tzinfo=UTC)},
        ],
    )
    def test_other_content_is_a_conflict(self, user, other):
        send([user], idempotency_key="order-7")
        with pytest.raises(IdempotencyConflict, match="order-7"):
            send([user], idempotency_key="order-7", **other)
        assert Notification.objects.count() == 1

    def test_the_order_of_channels_is_no_content(self, user):
        send([user], idempotency_key="order-7", channels=["email", "app"])
        assert send([user], idempotency_key="order-7", channels=["app", "email"]).duplicate

    def test_the_order_in_a_set_is_no_content(self, user, event_with):
        event = event_with()
        send([user], event, {"numbers": {0, 8}}, idempotency_key="order-7")
        assert send([user], event, {"numbers": {8, 0}}, idempotency_key="order-7").duplicate

    def test_the_offset_from_utc_is_no_content(self, user, event_with):
        at = datetime(2100, 1, 1, 12, tzinfo=UTC)
        also_at = at.astimezone(timezone.get_fixed_timezone(60))
        for moment in (at, also_at):
            times = {"send_at": moment, "expires_at": moment + timedelta(days=1)}
            result = send([user], event_with(), {"begins": [moment]}, idempotency_key="order-7", **times)
        assert result.duplicate
        with pytest.raises(IdempotencyConflict):
            send([user], event_with(), {"begins": [at.replace(hour=13)]}, idempotency_key="order-7", **times)

    def test_a_channel_that_the_site_has_added_since_is_no_content(self, user, event_with, settings):
        event = event_with(channels=["email", "sms"])
        send([user], event, {}, idempotency_key="order-7")
        settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"BACKEND": "notifications.channels.log.LogChannel"}}}
        assert send([user], event, {}, idempotency_key="order-7").duplicate

    def test_two_clusters_may_use_the_same_key(self, user):
        for cluster in (ClusterFactory(members=[user]), ClusterFactory(members=[user])):
            assert not send_newsletter([user], cluster, idempotency_key="order-7").duplicate
        assert Notification.objects.count() == 2

    def test_two_events_may_use_the_same_key(self, user):
        assert not send([user], idempotency_key="order-7").duplicate
        assert not send_newsletter([user], idempotency_key="order-7").duplicate

    @pytest.mark.parametrize("none", [None, ""])
    def test_without_a_key_everything_is_new(self, user, none):
        assert not send([user], idempotency_key=none).duplicate
        assert not send([user], idempotency_key=none).duplicate

    def test_a_repeat_goes_on_in_the_callers_transaction(self, user):
        with transaction.atomic():
            send([user], idempotency_key="order-7")
            send([user], idempotency_key="order-7")
            UserFactory()
        assert User.objects.count() == 2

    def test_a_call_that_failed_does_not_use_up_its_key(self, user):
        with pytest.raises(InvalidRecipient):
            send(["bob"], idempotency_key="order-7")
        assert not send([user], idempotency_key="order-7").duplicate

    def test_a_repeat_wakes_nobody(self, user, heard, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            send([user], idempotency_key="order-7")
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            send([user], idempotency_key="order-7")
        assert len(heard) == 1
        assert callbacks == []


class TestTransaction:
    def test_a_commit_is_told_once_with_the_id(self, user, heard, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            result = send([user, UserFactory()])
            assert heard == []
        assert heard == [result.notification_id]

    def test_where_nothing_was_queued_nobody_is_woken(self, user, heard, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            send([user], cluster=ClusterFactory())
            send([])
        assert callbacks == []

    def test_a_receiver_that_fails_does_not_reach_the_caller(self, user, heard, django_capture_on_commit_callbacks):
        def broken(**kwargs):
            raise RuntimeError

        notifications_queued.connect(broken)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                send([user])
        finally:
            notifications_queued.disconnect(broken)
        assert len(heard) == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_rollback_leaves_no_row_and_wakes_nobody(self, heard):
        user, stranger = UserFactory(), UserFactory()
        cluster = ClusterFactory(members=[user])
        with rolled_back():
            assert send_newsletter([user, stranger], cluster).queued == 1
            assert Delivery.objects.exists()
        for model in (Notification, Delivery, NotificationLog):
            assert not model.objects.exists()
        assert heard == []

    @pytest.mark.django_db(transaction=True)
    def test_a_commit_leaves_the_rows_and_wakes(self, heard):
        with transaction.atomic():
            result = send_newsletter([UserFactory()])
            assert heard == []
        assert heard == [result.notification_id]
        assert Delivery.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_rollback_to_a_savepoint_takes_only_its_own(self, heard):
        user = UserFactory()
        with transaction.atomic():
            kept = send_newsletter([user])
            with rolled_back():
                send_newsletter([user])
        assert heard == [kept.notification_id]
        assert Notification.objects.get().pk == kept.notification_id

    @pytest.mark.django_db(transaction=True)
    def test_without_a_transaction_of_the_caller_it_is_still_all_or_nothing(self, heard):
        with pytest.raises(InvalidRecipient):
            send([UserFactory(), "bob"])
        assert not Notification.objects.exists()
        assert heard == []


class TestCost:
    """How many statements a call takes, without its savepoint."""

    @pytest.fixture
    def crowd(self, db):
        users = User.objects.bulk_create(
            User(username=f"crowd{number}", email=f"crowd{number}@example.com") for number in range(1000)
        )
        Cluster.objects.default()
        return users

    @property
    def writes_at_once(self):
        return connection.vendor == "postgresql"

    def statements(self, recipients, **options):
        clock.lately()  # asked once a second at most
        with CaptureQueriesContext(connection) as queries:
            assert send_newsletter(recipients, **options).queued
        return [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]

    def chunks(self, settings, size):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHUNK_SIZE": size}

    def furnished(self, cluster, users):
        """Something to ask of for every gate."""
        UserSettings.objects.bulk_create(UserSettings(user=user, cluster=cluster) for user in users)
        role = Group.objects.create(name="night")
        role.user_set.set(users)
        SharedPreference.objects.create(cluster=cluster, group=role, channels={"email": True})
        Mute.objects.bulk_create(Mute(user=user, cluster=cluster, kind="topic", value="gossip") for user in users)
        Suppression.objects.suppress([("email", "gone@example.com")], Suppression.Why.HARD_BOUNCE, timezone.now())

    def test_one_recipient_on_one_channel_takes_three_statements_or_four(self, crowd):
        assert len(self.statements(crowd[:1])) == (3 if self.writes_at_once else 4)

    def test_a_thousand_take_four(self, crowd):
        assert {len(self.statements(crowd[:size])) for size in (100, 1000)} == {4}

    def test_to_a_handful_nothing_is_written_before_it_is_known_who_gets_it(self, crowd):
        written = [sql.lstrip().startswith("INSERT") or "INTO klaxon" in sql for sql in self.statements(crowd[:3])]
        assert written == ([False, False, True] if self.writes_at_once else [False, False, True, True])

    def test_with_something_to_ask_of_for_every_gate_it_is_five(self, crowd):
        cluster = Cluster.objects.default()
        self.furnished(cluster, crowd)
        assert len(self.statements(crowd[:1], cluster=cluster)) == (4 if self.writes_at_once else 5)
        assert len(self.statements(crowd, cluster=cluster)) == 5
        assert len(self.statements(crowd)) == 6, "the default cluster has to be read as well"

    def windowed(self, event_with, recipients, context):
        """How many, to an event that has a window for repeats as well; and how many are repeats."""
        event, cluster = event_with(dedup_window=900, dedup_keys=("room",)), Cluster.objects.default()
        with CaptureQueriesContext(connection) as queries:
            result = send(recipients, event, context, cluster)
        asked = [query["sql"] for query in queries if not query["sql"].startswith(("BEGIN", "SAVEPOINT", "RELEASE"))]
        return len(asked), result.reasons["duplicate"]

    def test_with_a_window_for_repeats_too_it_is_six_at_most(self, crowd, event_with):
        self.furnished(Cluster.objects.default(), crowd)
        clock.lately()
        statements, repeats = self.windowed(event_with, crowd[:1], {"room": "hall"})
        assert statements <= 6
        assert repeats == 0

    def test_with_a_window_each_chunk_takes_the_same_the_first_time_and_when_repeated(
        self, crowd, event_with, settings
    ):
        self.furnished(Cluster.objects.default(), crowd)
        self.chunks(settings, 100)
        taken = {}
        for room, size in (("hall", 200), ("attic", 500), ("cellar", 800)):
            first, again = (self.windowed(event_with, crowd[:size], {"room": room}) for _ in range(2))
            assert (first[1], again[1]) == (0, size)
            taken[size] = first[0], again[0]
        (first_200, again_200), (first_500, again_500), (first_800, again_800) = taken.values()
        assert first_500 - first_200 == first_800 - first_500 == 3 * 4
        # SQLite writes the rows of the log in four statements, however many they are.
        each = 6 if self.writes_at_once else 9
        assert again_500 - again_200 == again_800 - again_500 == 3 * each

    def test_each_chunk_takes_three(self, crowd, settings):
        cluster = Cluster.objects.default()
        self.furnished(cluster, crowd)
        self.chunks(settings, 100)
        two, five = (len(self.statements(crowd[:size], cluster=cluster)) for size in (200, 500))
        assert five - two == 3 * 3

    def test_members_and_querysets_cost_one_more(self, crowd):
        cluster = Cluster.objects.default()
        assert len(self.statements(Members(cluster))) == len(self.statements(crowd)) + 1
        assert len(self.statements(User.objects.all())) == len(self.statements(crowd)) + 1


class TestOwnAddresses:
    """Those in a user's settings."""

    @pytest.fixture
    def choose(self, user):
        return lambda address: UserSettingsFactory(
            user=user, cluster=Cluster.objects.default(), addresses={"EMAIL": address}
        )

    def notes(self):
        return list(NotificationLog.objects.filter(kind="note").order_by("pk"))

    def sent_to(self):
        return list(Delivery.objects.filter(channel="email").values_list("address", flat=True))

    def test_a_typing_error_does_not_silence_a_critical_mail(self, user, choose):
        choose("ann@example,com")
        result = send([user], ShopEvents.STORE_ON_FIRE, {"place": "Bonn"})
        assert (result.queued, result.dropped, bool(result)) == (2, 0, True)
        assert self.sent_to() == [user.email]
        [note] = self.notes()
        assert (note.reason, note.recipient, note.channel) == ("account_address", user, "email")
        assert note.error_message == "the email address in the settings is malformed"
        assert (note.notification_id, note.address) == (result.notification_id, "a***@example,com")

    @pytest.mark.parametrize("options", [{}, {"idempotency_key": "k"}, {"send_at": NOON + timedelta(days=9999)}])
    def test_that_is_so_however_it_is_queued(self, options, user, choose):
        choose("ann")
        send_newsletter([user], **options)
        assert self.sent_to() == [user.email]
        assert len(self.notes()) == 1
        if "idempotency_key" in options:
            assert send_newsletter([user], **options).as_dict() == {
                "queued": 1, "held": 0, "dropped": 0, "reasons": {},
            }  # fmt: skip

    def test_nor_does_one_that_a_provider_has_called_bad(self, user, choose):
        choose("ann@exmaple.com")
        suppress = Suppression.objects.suppress
        suppress([("email", "ANN@exmaple.com")], Suppression.Why.HARD_BOUNCE, timezone.now())
        assert send_newsletter([user]).queued == 1
        assert self.sent_to() == [user.email]
        [note] = self.notes()
        assert (note.reason, note.address) == ("account_address", "a***@exmaple.com")
        assert note.error_message == "the email address in the settings is suppressed"
        suppress([("email", user.email)], Suppression.Why.HARD_BOUNCE, timezone.now())
        assert send_newsletter([user]).reasons == {Reason.SUPPRESSED: 1}

    def test_many_notes_cost_one_statement(self, db):
        users, cluster = UserFactory.create_batch(30), Cluster.objects.default()
        for user in users:
            UserSettingsFactory(user=user, cluster=cluster, addresses={"email": "typo"})
        send_newsletter(users[:1])  # On PostgreSQL the first send reads the time.
        with CaptureQueriesContext(connection) as few:
            send_newsletter(users[:20])
        with CaptureQueriesContext(connection) as many:
            send_newsletter(users)
        assert len(few) == len(many)
        assert len(self.notes()) == 51

    def test_an_address_that_is_well_formed_is_kept_and_leaves_no_note(self, user, choose):
        choose("work@example.com")
        send_newsletter([user])
        assert self.sent_to() == ["work@example.com"]
        assert self.notes() == []

    def test_where_the_account_has_none_the_drop_says_what_is_wrong(self, user, choose):
        choose("ann")
        User.objects.update(email="")
        assert send_newsletter([user]).reasons == {Reason.INVALID_ADDRESS: 1}
        assert self.notes() == []

    def test_nothing_is_noted_about_what_is_dropped_anyway(self, user, choose):
        row = choose("ann")
        row.set_channel("email", False)
        row.save()
        assert send_newsletter([user]).reasons == {Reason.PREFERENCE: 1}
        assert self.notes() == []


class TestOddThings:
    def test_half_of_a_character_in_an_address_concerns_its_owner_alone(self, db):
        odd, other = UserFactory.create_batch(2)
        UserFactory.create_batch(1)
        bad = Address(email="\ud800a@example.com")
        result = send_newsletter([other, bad])
        assert (result.queued, result.reasons) == (1, {Reason.INVALID_ADDRESS: 1})
        if connection.vendor == "sqlite":  # which stores it as an escape; PostgreSQL refuses it
            cluster = Cluster.objects.default()
            UserSettings.objects.create(user=odd, cluster=cluster, addresses={"email": "\ud800x@example.com"})
            assert send_newsletter([odd, other]).queued == 2, "the account of its owner has another"

    def test_a_key_as_text_is_the_same_user(self, user):
        role = Group.objects.create(name="night")
        user.groups.add(role)
        SharedPreference.objects.create(cluster=Cluster.objects.default(), group=role, channels={"app": False})
        assert send_newsletter([user, User(pk=str(user.pk))]).queued == 1
        with pytest.raises(InvalidRecipient, match="no primary key"):
            send_newsletter([User(pk="ann")])

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about COPY")
    @pytest.mark.parametrize("count", [3, 60])
    def test_an_error_of_the_database_is_djangos_however_many_are_written(self, db, count, monkeypatch):
        users = UserFactory.create_batch(count)
        monkeypatch.setattr("notifications.sending.enqueue.READY", "ready" * 10)
        with pytest.raises(DataError), transaction.atomic():
            send_newsletter(users)


NETWORK = {
    *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"),
    *("socket.gethostbyaddr", "socket.getnameinfo"),
}


@cache
def guard():
    """Refuses the network while it is on, and keeps what was asked of it. What the interpreter audits stays audited."""
    kept = SimpleNamespace(on=False, calls=[])

    def refuse(event, args):
        if kept.on and event in NETWORK:
            kept.calls.append(event)
            raise AssertionError(f"Somebody calls {event}.")

    sys.addaudithook(refuse)
    return kept


class TestNothingLeavesTheProcess:
    RECIPIENTS = {
        "one user": lambda: User.objects.first(),
        "several chunks": lambda: User.objects.all(),
        "members": lambda: Members(None),
        "address": lambda: [Address(email="ann@example.com")],
    }
    OPTIONS = {"plain": {}, "key": {"idempotency_key": "one"}, "later": {"send_at": NOON.replace(year=2099)}}

    @pytest.fixture
    def guarded(self, db):
        """From now on nobody may reach the network. The connection to the test database is open already."""
        connection.ensure_connection()
        guard().calls.clear()
        guard().on = True
        yield guard().calls
        guard().on = False

    @pytest.mark.parametrize("window", [0, 900])
    @pytest.mark.parametrize("options", OPTIONS)
    @pytest.mark.parametrize("recipients", RECIPIENTS)
    def test_send_asks_no_network_whoever_it_is_for_and_whatever_the_channel(
        self, event_with, settings, guarded, recipients, options, window
    ):
        every = {"email": {}, "app": {}, "log": {}}
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": every, "CHUNK_SIZE": 2}
        use_backend(settings)
        UserFactory.create_batch(5)
        event = event_with(channels=tuple(every), dedup_window=window)
        for _ in range(2):
            result = send(self.RECIPIENTS[recipients](), event, {}, **self.OPTIONS[options])
            assert result.queued + result.held or result.reasons["duplicate"]
        assert guarded == []

    @pytest.mark.parametrize(
        "call",
        [
            lambda plain: socket.create_connection(("127.0.0.1", 9)),
            lambda plain: plain.connect_ex(("127.0.0.1", 9)),
            lambda plain: plain.sendto(b"", ("127.0.0.1", 9)),
            lambda plain: socket.getaddrinfo("localhost", 9),
            lambda plain: socket.gethostbyname("localhost"),
        ],
    )
    def test_the_guard_sees_every_way_out(self, guarded, call):
        with socket.socket(type=socket.SOCK_DGRAM) as plain, pytest.raises(AssertionError, match="Somebody calls"):
            call(plain)
        assert guarded


class TestBadCallsThatAreLogged:
    @pytest.fixture(autouse=True)
    def logged(self, settings, caplog):
        settings.NOTIFICATIONS = {"ON_BAD_CALL": "log", "CONTEXT_BYTES": 1000}
        self.log = caplog

    def errors(self):
        return [record.getMessage() for record in self.log.records if record.levelname == "ERROR"]

    @pytest.mark.parametrize("context", [None, {"total": 5}])
    def test_an_unknown_event_sends_nothing_and_is_an_error_in_the_log(self, user, context):
        result = NotificationManager.send("no_such_event", [user], None, context)
        assert (bool(result), result.notification_id, result.queued) == (False, None, 0)
        assert "No notification event is registered as 'no_such_event'" in result.problems[0]
        assert self.errors() == [f"Nothing is sent. {result.problems[0]}"]
        assert not Notification.objects.exists()

    def test_a_context_that_is_no_mapping_sends_nothing_either(self, user, event_with):
        result = send(user, event_with(context={"total": int}), "five")
        assert (bool(result), result.notification_id) == (False, None)
        assert "It must be a mapping, not five." in self.errors()[0]

    @pytest.mark.parametrize(
        ("given", "kept", "told"),
        [
            ({"note": "x"}, {"note": "x"}, "'total' is missing."),
            ({"total": 5, "colour": "red"}, {"total": 5}, "'colour' is not declared (declared: note, total)."),
            ({"total": "5"}, {"total": "5"}, "'total' is the text '5', not int."),
            ({"total": 5, "note": "\0"}, {"total": 5, "note": "\N{REPLACEMENT CHARACTER}"}, "holds a NUL character"),
            ({"total": 5, "note": "x" * 2000}, {"total": 5, "note": ANY}, "'note' is cut after"),
        ],
        ids=["missing", "undeclared", "mistyped", "unstorable", "too large"],
    )
    def test_a_wrong_context_is_sent_with_what_exists(self, user, event_with, given, kept, told):
        result = send(user, event_with(context={"total": int, "note": str | None}), given)
        assert (bool(result), result.queued) == (False, 1)
        assert Notification.objects.get(pk=result.notification_id).context == kept
        assert told in result.problems[-1]
        assert len(self.errors()) == len(result.problems)
        assert told in self.errors()[-1]

    def test_the_result_of_a_critical_event_is_false_too(self, user, event_with):
        critical = event_with(priority=NotificationPriority.CRITICAL, context={"total": int})
        first, again = (send(user, critical, {}, idempotency_key="one") for _ in range(2))
        assert (bool(first), first.queued) == (bool(again), again.queued) == (False, 1)

    def test_a_right_call_logs_nothing(self, user, event_with):
        assert send(user, event_with(context={"total": int}), {"total": 5})
        assert not self.errors()

    def test_other_mistakes_are_raised_all_the_same(self, user, event_with):
        with pytest.raises(InvalidRecipient):
            send("nobody", event_with())
        with pytest.raises(InvalidOption):
            send(user, event_with(), level="loud")


class TestSendNotification:
    def test_free_text_goes_to_all_members_if_they_are_asked_for(self, db, settings):
        members = UserFactory.create_batch(2)
        cluster = ClusterFactory(members=members)
        UserFactory()
        result = NotificationManager.send_notification(
            "The lift is out of order.", cluster=cluster, recipients=Members(cluster)
        )
        assert set(Delivery.objects.values_list("recipient_id", flat=True)) == {user.pk for user in members}
        assert set(Delivery.objects.values_list("channel", flat=True)) == {"app", "email", "log"}
        values = Notification.objects.get(pk=result.notification_id).values
        assert values == {"message": "The lift is out of order.", "title": None}

    def test_without_recipients_and_without_the_setting_it_is_refused(self, user):
        with pytest.raises(InvalidOption, match=r"MESSAGE_RECIPIENTS'\] is not set.*Members\(cluster\)"):
            NotificationManager.send_notification("hi")
        assert not Notification.objects.exists()

    def test_without_recipients_it_goes_to_the_group_that_the_site_names(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": "Dr. Green's team"}
        Group.objects.create(name="Dr. Green's team").user_set.add(user)
        UserFactory()
        result = NotificationManager.send_notification("hi", channels=["app"])
        assert [outcome.recipient_key for outcome in result.outcomes()] == [f"u:{user.pk}"]

    def test_a_group_that_does_not_exist_is_refused_by_its_name(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": "Operators"}
        with pytest.raises(InvalidOption, match="no group named 'Operators'.*MESSAGE_RECIPIENTS"):
            NotificationManager.send_notification("hi")

    def test_without_recipients_it_goes_to_those_whom_the_callable_of_the_site_returns(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.admins_of"}
        admin = UserFactory(is_staff=True)
        cluster = ClusterFactory(members=[user, admin])
        result = NotificationManager.send_notification("hi", channels=["app"], cluster=cluster)
        assert [outcome.recipient_key for outcome in result.outcomes()] == [f"u:{admin.pk}"]

    def test_a_callable_that_returns_nothing_or_is_not_there_is_named(self, user, settings):
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.nobody_of"}
        with pytest.raises(InvalidOption, match="nobody_of.*returned None"):
            NotificationManager.send_notification("hi")
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.missing"}
        with pytest.raises(ImproperlyConfigured, match="MESSAGE_RECIPIENTS.*missing"):
            NotificationManager.send_notification("hi")

    def test_level_channels_title_and_recipients_are_heeded(self, user):
        UserFactory()
        NotificationManager.send_notification(
            "Hello", "warning", ["email"], title="Greeting", recipients=[user], topic="lift"
        )
        delivery = Delivery.objects.get()
        assert (delivery.channel, delivery.recipient, delivery.notification.priority) == ("email", user, 2)
        assert delivery.notification.topic == "lift"

    @pytest.mark.parametrize("how", [{"level": "critical"}, {"priority": NotificationPriority.CRITICAL}])
    def test_a_critical_text_reaches_those_who_opted_out_at_any_hour(self, user, how):
        UserSettingsFactory(
            user=user,
            cluster=Cluster.objects.default(),
            channels={"email": False},
            quiet_from=time(0),
            quiet_until=time(23, 59),
        )
        result = NotificationManager.send_notification("Fire!", channels=["email"], recipients=user, **how)
        assert (result.queued, result.held, result.dropped) == (1, 0, 0)
        told = Notification.objects.get(pk=result.notification_id)
        assert (told.event, told.priority) == ("critical_message", NotificationPriority.CRITICAL)

    @pytest.mark.parametrize("level", ["critical", "warning"])
    def test_the_ordinary_event_lets_no_level_past_an_opt_out(self, user, level):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False})
        result = NotificationManager.send("message", user, None, {"message": "Sale!"}, level=level, channels=["email"])
        assert result.reasons == {Reason.PREFERENCE: 1}

    def test_a_critical_text_needs_the_permission_that_the_site_names(self, user, settings):
        settings.NOTIFICATIONS = {"CRITICAL_MESSAGE_PERMISSION": "auth.change_user"}
        actor = UserFactory()
        for unfit in (None, actor):
            with pytest.raises(NotPermitted, match=r"auth\.change_user"):
                NotificationManager.send_notification("Fire!", "critical", recipients=user, actor=unfit)
        actor.user_permissions.add(Permission.objects.get(codename="change_user"))
        actor = User.objects.get(pk=actor.pk)
        assert NotificationManager.send_notification("Fire!", "critical", recipients=user, actor=actor)
        assert NotificationManager.send_notification("Coffee is ready.", recipients=user)

    @pytest.mark.parametrize("level", ["info", "critical"])
    def test_both_events_use_the_same_templates(self, user, mailoutbox, level):
        with capture_notifications() as captured:
            NotificationManager.send_notification("Hello", level, ["email"], title="Greeting", recipients=user)
        captured.deliver()
        assert [(mail.subject, mail.body) for mail in mailoutbox] == [("Greeting", "Hello\n")]

    def test_a_critical_text_uses_the_sites_own_templates_for_texts_too(self, user, mailoutbox, settings):
        folder = "notifications/message/email"
        files = {f"{folder}.html": "<p>{{ message }}</p>", f"{folder}.de.subject.txt": "Achtung: {{ message }}"}
        files["notifications/critical_message/email.txt"] = "Now: {{ message }}"
        loaders = [("django.template.loaders.locmem.Loader", files), "django.template.loaders.app_directories.Loader"]
        settings.TEMPLATES = [
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
        ]
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), language="de")
        with capture_notifications() as captured:
            NotificationManager.send_notification("Feuer!", "critical", ["email"], recipients=user)
        captured.deliver()
        [mail] = mailoutbox
        assert (mail.subject, mail.body) == ("Achtung: Feuer!", "Now: Feuer!\n")
        assert "<p>Feuer!</p>" in mail.alternatives[0].content

    def test_its_texts_are_as_long_as_they_need_to_be(self, user, mailoutbox):
        with capture_notifications() as captured:
            NotificationManager.send_notification("word <b> & " * 40, channels=["email"], recipients=user)
        captured.deliver()
        [mail] = mailoutbox
        assert len(mail.subject) <= 80
        assert "<b> &" in mail.subject
        assert mail.body.count("word") == 40


class TestCancel:
    def test_it_cancels_what_no_worker_has_taken(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-7")
        send_newsletter([user], cluster, cancel_key="order-7", send_at=datetime(2100, 1, 1, tzinfo=UTC))
        assert NotificationManager.cancel(cluster, "order-7") == 2
        for delivery in Delivery.objects.all():
            assert (delivery.state, delivery.reason, delivery.due_at) == ("cancelled", "cancelled", None)
            assert delivery.settled_at is not None

    @pytest.mark.parametrize("state", ["claimed", "sending", "sent", "dead", "unknown", "dropped"])
    def test_what_was_taken_or_has_ended_stays(self, user, state):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-7")
        Delivery.objects.update(state=state)
        assert NotificationManager.cancel(cluster, "order-7") == 0

    def test_it_is_kept_for_a_worker_that_has_it_and_counts_only_what_it_stopped(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-7")
        Delivery.objects.update(state="claimed")
        assert NotificationManager.cancel(cluster, "order-7") == 0
        first = Notification.objects.get().cancelled_at
        assert first is not None
        Delivery.objects.update(state="retry")
        assert NotificationManager.cancel(cluster, "order-7") == 1
        assert Notification.objects.get().cancelled_at == first

    def test_other_keys_and_other_clusters_stay(self, user):
        cluster, other = ClusterFactory(members=[user]), ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-8")
        send_newsletter([user], cluster)
        send_newsletter([user], other, cancel_key="order-7")
        assert NotificationManager.cancel(cluster, "order-7") == 0
        assert set(Notification.objects.values_list("cancelled_at", flat=True)) == {None}

    def test_a_site_without_clusters_can_cancel(self, user):
        send_newsletter([user], cancel_key="order-7")
        assert NotificationManager.cancel(None, "order-7") == 1

    @pytest.mark.parametrize("no_key", [None, ""])
    def test_no_key_cancels_nothing(self, user, no_key):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster)
        with pytest.raises(InvalidOption):
            NotificationManager.cancel(cluster, no_key)
        assert Delivery.objects.get().state == DeliveryState.READY
