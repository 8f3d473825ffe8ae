"""Quiet hours from send() to the mail: a delivery is held, rechecked and sent once."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.core import mail

from notifications.channels import BaseChannel
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog, UserSettings
from notifications.outcomes import DeliveryState, Reason, Receipt, Verdict
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
# An ordinary night, the night in which daylight saving time begins, and the one in which it ends.
NIGHTS = [
    (datetime(2026, 11, 20, 23, tzinfo=UTC), datetime(2026, 11, 21, 6, tzinfo=UTC)),
    (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 5, tzinfo=UTC)),
    (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 6, tzinfo=UTC)),
]
MIDNIGHT, SEVEN = NIGHTS[0]


@pytest.fixture
def sleeper():
    user = UserFactory()
    night = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"app": False}, **night)
    return user


def send(user, **options):
    return NotificationManager.send(ShopEvents.NEWSLETTER, [user], None, {}, channels=["email"], **options)


def state():
    return Delivery.objects.values_list("state", "reason", "due_at").get()


@pytest.mark.parametrize(("midnight", "seven"), NIGHTS)
def test_a_held_delivery_is_sent_once_after_the_night(midnight, seven, sleeper):
    with travelling(midnight) as clock:
        result = send(sleeper)
        assert (result.queued, result.held) == (0, 1)
        assert state() == (DeliveryState.HELD, Reason.QUIET_HOURS, seven)
        for moment in (midnight, seven - timedelta(seconds=1), seven, seven + timedelta(days=1)):
            clock.to(moment)
            Dispatcher().run_until_idle()
            assert len(mail.outbox) == (moment >= seven)


def test_quiet_hours_set_after_queueing_hold_the_delivery(sleeper):
    settings = UserSettings.objects.get()
    UserSettings.objects.update(quiet_from=None)
    with travelling(MIDNIGHT):
        assert send(sleeper).queued == 1
        settings.save()
        Dispatcher().run_until_idle()
    assert (mail.outbox, state()) == ([], (DeliveryState.HELD, Reason.QUIET_HOURS, SEVEN))
    assert not NotificationLog.objects.exists()


def test_a_delivery_released_by_a_fast_clock_is_held_again(sleeper):
    with travelling(MIDNIGHT):
        send(sleeper)
        Delivery.objects.update(state=DeliveryState.READY, due_at=None)
    with travelling(SEVEN - timedelta(seconds=1)) as clock:
        Dispatcher().run_until_idle()
        assert state() == (DeliveryState.HELD, Reason.QUIET_HOURS, SEVEN)
        clock.to(SEVEN)
        Dispatcher().run_until_idle()
    assert len(mail.outbox) == 1


def test_send_at_is_checked_against_quiet_hours_at_its_own_time(sleeper):
    noon = MIDNIGHT - timedelta(hours=12)
    with travelling(noon):
        send(sleeper, send_at=MIDNIGHT)
        assert state() == (DeliveryState.HELD, Reason.QUIET_HOURS, SEVEN)
    Delivery.objects.all().delete()
    with travelling(MIDNIGHT):
        send(sleeper, send_at=SEVEN + timedelta(hours=1))
        assert state() == (DeliveryState.HELD, Reason.SCHEDULED, SEVEN + timedelta(hours=1))


def test_a_send_at_delivery_that_is_released_too_early_is_held_again(sleeper):
    with travelling(MIDNIGHT):
        send(sleeper, send_at=SEVEN)
        Delivery.objects.update(state=DeliveryState.READY, due_at=None)
    with travelling(SEVEN - timedelta(seconds=1)):
        Dispatcher().run_until_idle()
    assert (mail.outbox, state()) == ([], (DeliveryState.HELD, Reason.QUIET_HOURS, SEVEN))


@pytest.mark.parametrize(("options", "mails"), [({"priority": 1}, 1), ({"ignores": True}, 1), ({}, 0)])
def test_critical_and_exempt_events_are_sent_at_night(options, mails, sleeper):
    event = NotificationEvent(
        name=ShopEvents.NEWSLETTER.value,
        priority=NotificationPriority(options.get("priority", NotificationPriority.HIGH)),
        supported_channels=["email"],
        ignores_quiet_hours=options.get("ignores", False),
    )
    with temporary_events() as events, travelling(MIDNIGHT):
        events[ShopEvents.NEWSLETTER] = event
        send(sleeper)
        Dispatcher().run_until_idle()
    assert len(mail.outbox) == mails


class SlowChannel(BaseChannel):
    """Sends one message at a time, in one minute each."""

    address_kind = "email"
    group_size = 1
    given: list = []
    clock = None

    def prepare(self, delivery, rendered):
        return delivery.pk

    def send(self, messages):
        for message in messages:
            type(self).given.append(message)
            type(self).clock.forward(minutes=1)
            yield Receipt(message, Verdict.ACCEPTED)


def test_a_slow_batch_stops_when_quiet_hours_begin(settings, sleeper):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"BACKEND": f"{__name__}.SlowChannel"}}}
    evening = datetime(2026, 11, 20, 20, 59, 30, tzinfo=UTC)
    with travelling(evening) as clock:
        SlowChannel.clock, SlowChannel.given = clock, []
        for _ in range(2):
            assert send(sleeper).queued == 1
        Dispatcher().run_until_idle()
    assert len(SlowChannel.given) == 1
    assert sorted(Delivery.objects.values_list("state", "due_at")) == [("held", SEVEN), ("sent", None)]
