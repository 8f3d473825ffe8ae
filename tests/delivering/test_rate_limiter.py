"""Limits, rates and floods in a worker."""

from datetime import timedelta

import pytest

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.providers.choice import ramp_rate
from notifications.delivering.workers.worker import Worker
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Bucket, Circuit, Delivery, NotificationLog
from notifications.outcomes import Verdict
from notifications.testing import temporary_events
from tests.delivering.providers.test_choice import DOWN, FakeProvider, clock, configure_providers  # noqa: F401
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def states():
    return sorted(Delivery.objects.values_list("state", "reason", "attempts"))


def refuse_orders(user, count):
    for _ in range(count):
        NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})


def change_settings(settings, **more):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **more}


def test_deliveries_over_a_limit_wait_and_count_no_attempt(configure_providers, clock, settings):  # noqa: F811
    fake_provider = configure_providers()
    change_settings(settings, LIMITS={"user": "3/h"})
    refuse_orders(UserFactory(), 5)
    refuse_orders(UserFactory(), 1)
    assert dict(Dispatcher().run_until_idle()) == {"sent": 4, "held": 2}
    assert states() == [("held", "over_limit", 0)] * 2 + [("sent", "", 1)] * 4
    clock.forward(minutes=45)
    assert Dispatcher().run_until_idle()["sent"] == 2
    assert len(fake_provider.sent) == 6


def test_an_event_can_drop_deliveries_over_its_limit(configure_providers, clock):  # noqa: F811
    fake_provider = configure_providers()
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], limit="1/h", over_limit="drop"
        )
        refuse_orders(UserFactory(), 3)
        assert dict(Dispatcher().run_until_idle()) == {"sent": 1, "dropped": 2}
    assert len(fake_provider.sent) == 1
    drops = NotificationLog.objects.filter(kind="drop").values_list("reason", "error_message")
    assert set(drops) == {("over_limit", "limit: user_event 1/h")}


def test_without_limits_no_bucket_is_used(configure_providers, clock):  # noqa: F811
    configure_providers()
    refuse_orders(UserFactory(), 3)
    Dispatcher().run_until_idle()
    assert not Bucket.objects.exists()


def test_critical_limit_applies_on_a_site_without_limits(configure_providers, clock, settings):  # noqa: F811
    configure_providers()
    change_settings(settings, CRITICAL_LIMIT="2/h")
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_REFUSED] = NotificationEvent("order_refused", NotificationPriority.CRITICAL, ["log"])
        refuse_orders(UserFactory(), 3)
        assert dict(Dispatcher().run_until_idle()) == {"sent": 2, "held": 1}
    assert states() == [("held", "over_limit", 0)] + [("sent", "", 1)] * 2


def test_a_provider_gets_no_more_than_its_rate(configure_providers, clock, settings):  # noqa: F811
    fake_provider = configure_providers("slow", slow={"RATE": "5/s"})
    for user in UserFactory.create_batch(40):
        refuse_orders(user, 1)
    dispatcher, seconds = Dispatcher(), []
    for _ in range(12):
        before = len(fake_provider.sent)
        dispatcher.run_until_idle()
        seconds.append(len(fake_provider.sent) - before)
        clock.forward(seconds=1)
    assert sum(seconds) == 40
    assert max(seconds) <= 5
    assert Delivery.objects.filter(state="sent", attempts=1).count() == 40


def test_a_provider_that_comes_back_gets_more_and_more(configure_providers, clock, settings):  # noqa: F811
    fake_provider = configure_providers()
    change_settings(settings, RAMP_SECONDS=60, RAMP_START=2, BATCH_SIZE=50)
    fake_provider.answers = {"only": DOWN}
    for user in UserFactory.create_batch(200):
        refuse_orders(user, 1)
    dispatcher = Dispatcher()
    dispatcher.run_until_idle()
    fake_provider.answers = {}
    clock.forward(seconds=60)
    fake_provider.sent.clear()
    seconds = []
    for _ in range(60):
        before = len(fake_provider.sent)
        dispatcher.run_until_idle()
        seconds.append(len(fake_provider.sent) - before)
        clock.forward(seconds=1)
    assert seconds[0] <= 3, "the probe and the first two"
    assert sum(seconds[:10]) < 50 < sum(seconds)
    assert sum(seconds[10:20]) > sum(seconds[:10])
    clock.forward(minutes=10)
    dispatcher.run_until_idle()
    assert Delivery.objects.filter(state="sent").count() == 200


def test_the_ramp_doubles_six_times_and_ends(clock, settings):  # noqa: F811
    settings.NOTIFICATIONS = {"RAMP_SECONDS": 60, "RAMP_START": 10}
    closed_at = clock()
    rates = [ramp_rate(closed_at, closed_at + timedelta(seconds=passed)).tokens for passed in (0, 10, 20, 50)]
    assert rates == [10, 20, 40, 320]
    assert ramp_rate(closed_at, closed_at + timedelta(seconds=60)) is None
    assert ramp_rate(None, closed_at) is None


def test_in_a_flood_only_urgent_deliveries_and_the_oldest_are_sent(configure_providers, clock, settings, caplog):  # noqa: F811
    configure_providers()
    change_settings(settings, THROTTLE_DEPTH=5, BATCH_SIZE=1)
    with temporary_events() as registry:
        registry[ShopEvents.NEWSLETTER] = NotificationEvent("shop_newsletter", NotificationPriority.LOW, ["log"])
        registry[ShopEvents.ORDER_REFUSED] = NotificationEvent("order_refused", NotificationPriority.LOW, ["log"])
        refuse_orders(UserFactory(), 8)
        NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(), None, {}, priority=NotificationPriority.HIGH)
        dispatcher = Dispatcher()
        dispatcher.session.claimer.count = 0  # It starts at random.
        assert dict(dispatcher.run_until_idle()) == {"sent": 2}, "the urgent one, and one of the others"
        for _ in range(20):
            dispatcher.run_batch(1)
        assert Delivery.objects.filter(state="sent").count() == 4
        clock.forward(seconds=1)
        assert dispatcher.run_batch(1)[1] == {"sent": 1}, "one batch a second if nothing is urgent"
        assert dict(Dispatcher().run_until_idle(limit=1)) == {"sent": 1}, "a single run, too"
        assert "Too many deliveries are ready" in caplog.text
        change_settings(settings, THROTTLE_DEPTH=0)
        clock.forward(seconds=2)
        assert dispatcher.run_until_idle()["sent"] == 3


def test_a_circuit_never_opened_means_no_ramp(configure_providers, clock, settings):  # noqa: F811
    fake_provider = configure_providers()
    change_settings(settings, RAMP_SECONDS=60, RAMP_START=1)
    fake_provider.answers = {"only": DOWN}
    refuse_orders(UserFactory(), 1)
    dispatcher = Dispatcher()
    dispatcher.run_until_idle()
    fake_provider.answers = {}
    for user in UserFactory.create_batch(20):
        refuse_orders(user, 1)
    assert dispatcher.run_until_idle()["sent"] == 20
    assert Circuit.objects.get().closed_at is None


def test_tokens_are_taken_once_for_each_delivery(configure_providers, clock, settings):  # noqa: F811
    fake_provider = configure_providers()
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], limit="1/h", over_limit="drop"
        )
        fake_provider.answers = {"only": {**DOWN, "verdict": Verdict.CONFIGURATION}}
        for user in UserFactory.create_batch(4):
            refuse_orders(user, 1)
        dispatcher = Dispatcher()
        dispatcher.run_until_idle()
        fake_provider.answers = {}
        for _ in range(3):
            clock.forward(minutes=3)
            dispatcher.run_until_idle()
    assert states() == [("sent", "", 1)] * 3 + [("sent", "", 2)]


def test_a_single_run_waits_for_the_rate_of_a_provider(configure_providers, settings):  # noqa: F811
    fake_provider = configure_providers("slow", slow={"RATE": "50/s burst 5"})
    for user in UserFactory.create_batch(20):
        refuse_orders(user, 1)
    Worker(workers=1).drain()
    assert len(fake_provider.sent) == 20


def test_a_delivery_that_becomes_due_after_the_last_claim_keeps_the_run_going(configure_providers, clock):  # noqa: F811
    configure_providers()
    claimer = Dispatcher().session.claimer
    claimer.refresh_blocked_channels(clock())
    claimer.rest_channel("log", clock(), 0.5, 0.5)
    claimer.refresh_blocked_channels(clock())
    clock.forward(seconds=1)
    assert claimer.get_rest_seconds(clock()) is not None
    claimer.refresh_blocked_channels(clock())
    assert claimer.get_rest_seconds(clock()) is None
