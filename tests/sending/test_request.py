"""The validation of the arguments of ``send()``."""

import logging
from datetime import UTC, date, datetime, timedelta
from enum import Enum

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from notifications.events import NotificationChannel, NotificationPriority
from notifications.exceptions import InvalidCluster, InvalidContext, InvalidOption, UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Mute, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Reason
from notifications.recipients import Topic
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory
from tests.sending.calls import NOON, send, send_newsletter
from tests.shop.notification_events import ShopEvents


class Floor(Enum):
    POOL = " Pool "


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

    def test_a_disabled_channel_is_not_configured(self, user, settings):
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
    def test_a_channel_instead_of_a_list_is_an_error(self, user, wrong):
        with pytest.raises(InvalidOption, match="list"):
            send([user], channels=wrong)


class TestPriority:
    def stored(self):
        return Notification.objects.get().priority

    @pytest.mark.parametrize(("level", "priority"), [("critical", 1), ("warning", 2), ("info", 3), ("debug", 4)])
    def test_a_level_sets_the_priority(self, user, level, priority):
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
    def test_a_critical_event_is_sent_with_any_wrong_context(self, user, caplog, context):
        assert send([user], ShopEvents.STORE_ON_FIRE, context).queued == 2
        assert any(record.levelno == logging.ERROR for record in caplog.records)

    @pytest.mark.parametrize("cluster", ["default", 1, User(), Cluster(name="unsaved")])
    def test_a_wrong_cluster_is_an_error(self, user, cluster):
        with pytest.raises(InvalidCluster):
            send([user], cluster=cluster)

    @pytest.mark.parametrize("wrong", [{"send_at": date(2026, 1, 1)}, {"expires_at": "tomorrow"}])
    def test_a_time_must_be_a_datetime(self, user, wrong):
        with pytest.raises(InvalidOption, match=next(iter(wrong))):
            send([user], **wrong)

    @pytest.mark.parametrize("option", ["idempotency_key", "cancel_key", "topic", "campaign", "correlation_id"])
    def test_an_option_that_does_not_fit_is_an_error_that_names_it(self, user, option):
        with pytest.raises(InvalidOption, match=option):
            send([user], **{option: "x" * 300})

    @pytest.mark.parametrize("option", ["idempotency_key", "cancel_key", "topic", "campaign", "correlation_id"])
    def test_an_option_that_cannot_be_stored_is_an_error_that_names_it(self, user, option):
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
    def test_a_topic_that_is_not_a_text_is_an_error(self, user, topic):
        with pytest.raises(InvalidOption, match="topic must be a text"):
            send([user], topic=topic)

    def test_none_is_the_same_as_an_omitted_option(self, user):
        nothing = dict.fromkeys(["idempotency_key", "cancel_key", "topic", "campaign", "correlation_id", "actor"])
        result = send([user], **nothing)
        row = Notification.objects.get(pk=result.notification_id)
        assert (row.topic, row.campaign, row.cancel_key, row.idempotency_key) == ("", "", None, None)
        assert row.correlation_id


class TestClusters:
    def test_a_site_without_clusters_gets_one_default_cluster(self, user):
        send([user])
        send([user])
        assert Cluster.objects.get().open_to_all
        assert set(Notification.objects.values_list("cluster", flat=True)) == {Cluster.objects.get().pk}

    def test_a_notification_belongs_to_the_cluster_it_was_sent_in(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster)
        assert Notification.objects.get().cluster == cluster


class TestTime:
    def test_a_call_with_send_at_is_held(self, user):
        with travelling(NOON):
            result = send_newsletter([user], send_at=NOON + timedelta(hours=1))
        assert (result.queued, result.held) == (0, 1)
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.reason) == (DeliveryState.HELD, Reason.SCHEDULED)
        assert delivery.due_at == NOON + timedelta(hours=1)

    def test_a_call_with_a_past_send_at_is_queued(self, user):
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
