"""Notifications of an event within a window are one message."""

import dataclasses
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core import mail
from django.core.management import call_command

from notifications.digests import DigestResult, make_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, UserSettings
from notifications.outcomes import DeliveryState, Reason
from notifications.recipients import Address
from tests.digests.conftest import FRIDAY, work
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("batched")]
WINDOW = timedelta(minutes=15)


def ship(user, number, **options):
    context = {"order_number": str(number), "eta": None}
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, context, **options)


def test_five_deliveries_within_the_window_are_one_message_on_each_channel(clock):
    user = UserFactory()
    for number in range(5):
        ship(user, number)
        clock.forward(minutes=3)
    clock.to(FRIDAY + WINDOW - timedelta(seconds=1))
    work()
    assert mail.outbox == []
    clock.to(FRIDAY + WINDOW)
    work()
    [message] = mail.outbox
    assert message.subject == "Order shipped (5)"
    assert InboxItem.objects.get().title == "Order shipped (5)"
    assert Delivery.objects.filter(state=DeliveryState.MERGED).count() == 10


def test_a_single_delivery_is_sent_as_an_ordinary_message(clock):
    ship(UserFactory(), 17)
    clock.forward(minutes=15)
    assert make_due() == DigestResult(single=2)
    work()
    assert "17" in mail.outbox[0].subject + mail.outbox[0].body
    assert "(1)" not in mail.outbox[0].subject


def test_another_window_begins_after_the_first(clock):
    user = UserFactory()
    for _ in range(2):
        ship(user, 1, channels=["email"])
        ship(user, 2, channels=["email"])
        clock.forward(minutes=15)
        work()
    assert [message.subject for message in mail.outbox] == ["Order shipped (2)"] * 2


def test_other_recipients_events_and_clusters_have_other_batches(clock):
    event = NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER]
    NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER] = dataclasses.replace(event, batch_window="default")
    one, two = UserFactory(), UserFactory()
    other = Cluster.objects.create(name="Other", slug="other", open_to_all=True)
    for number in range(2):
        for user in (one, two):
            ship(user, number, channels=["email"])
        context = {"order_number": str(number), "eta": None}
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [one], other, context, channels=["email"])
        NotificationManager.send(ShopEvents.NEWSLETTER, [one], None, {}, channels=["email"])
    clock.forward(hours=1)
    work()
    assert len(mail.outbox) == 4
    assert {message.subject for message in mail.outbox} == {"Order shipped (2)", "Shop newsletter (2)"}


def test_bare_addresses_have_batches(clock):
    guest = Address(email="guest@example.com")
    ship(guest, 1, channels=["email"])
    ship(guest, 2, channels=["email"])
    clock.forward(minutes=15)
    work()
    assert mail.outbox[0].subject == "Order shipped (2)"


def test_a_scheduled_notification_is_in_no_batch(clock):
    user = UserFactory()
    noon = FRIDAY + timedelta(hours=2)
    clock.to(noon - timedelta(minutes=5))
    ship(user, 1, channels=["email"])
    ship(user, 2, channels=["email"], send_at=noon)
    channel = NotificationManager.why(Delivery.objects.last()).channels[0]
    assert (channel.arrives_at, channel.reason) == (noon, Reason.SCHEDULED)
    clock.to(noon)
    work()
    assert [message.subject for message in mail.outbox] == ["Order 2 is on its way"]
    clock.to(noon + timedelta(minutes=10))
    work()
    assert [message.subject for message in mail.outbox[1:]] == ["Order 1 is on its way"]


def test_a_notification_with_a_past_send_at_waits_for_a_batch(clock):
    user = UserFactory()
    for number in range(2):
        ship(user, number, channels=["email"], send_at=FRIDAY - timedelta(hours=1))
    clock.forward(minutes=15)
    work()
    assert [message.subject for message in mail.outbox] == ["Order shipped (2)"]


def test_an_event_can_batch_scheduled_notifications(clock):
    event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(event, batch_scheduled=True)
    user, noon = UserFactory(), FRIDAY + timedelta(hours=2)
    for number in range(2):
        ship(user, number, channels=["email"], send_at=noon)
    clock.to(noon)
    work()
    assert mail.outbox == []
    clock.to(noon + WINDOW)
    work()
    assert [message.subject for message in mail.outbox] == ["Order shipped (2)"]


def test_deliveries_of_quiet_hours_are_one_message_in_the_morning(clock):
    user = UserFactory()
    night = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), **night)
    clock.to(datetime(2026, 11, 20, 22, tzinfo=UTC))
    for number in range(3):
        ship(user, number, channels=["email"])
        clock.forward(hours=2)
    work()
    assert mail.outbox == []
    clock.to(datetime(2026, 11, 21, 6, tzinfo=UTC))
    work()
    assert mail.outbox[0].subject == "Order shipped (3)"


def test_a_batch_can_have_its_own_template(clock, settings):
    own = {
        "notifications/order_shipped/batch/email.subject.txt": "{{ count }} orders",
        "notifications/order_shipped/batch/email.txt": (
            "{% for item in items %}{{ item.values.order_number }};{% endfor %}"
        ),
    }
    loaders = [
        ("django.template.loaders.locmem.Loader", own),
        "django.template.loaders.app_directories.Loader",
    ]
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "OPTIONS": {"loaders": loaders}}]
    user = UserFactory()
    ship(user, 7, channels=["email"])
    ship(user, 8, channels=["email"])
    clock.forward(minutes=15)
    work()
    assert mail.outbox[0].subject == "2 orders"
    assert mail.outbox[0].body.startswith("7;8;\n")


def test_the_preferences_of_its_event_apply_to_a_batch(clock):
    user = UserFactory()
    ship(user, 1, channels=["email"])
    ship(user, 2, channels=["email"])
    clock.forward(minutes=15)
    make_due()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), events={"order_shipped": {"email": False}})
    work()
    assert mail.outbox == []
    assert UserSettings.objects.count() == 1
    assert Delivery.objects.get(state=DeliveryState.DROPPED).reason == Reason.PREFERENCE


def test_deliveries_of_a_removed_event_are_dead_and_not_merged(clock):
    user = UserFactory()
    ship(user, 1, channels=["email"])
    ship(user, 2, channels=["email"])
    clock.forward(minutes=15)
    del NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
    assert make_due() == DigestResult(single=2)
    work()
    assert set(Delivery.objects.values_list("state", "reason")) == {(DeliveryState.DEAD, Reason.UNKNOWN_EVENT)}


def test_the_command_prints_what_it_made(clock, capsys):
    call_command("make_digests")
    user = UserFactory()
    ship(user, 1)
    ship(user, 2, channels=["email"])
    clock.forward(minutes=15)
    call_command("make_digests", dry_run=True)
    call_command("make_digests")
    assert capsys.readouterr().out.splitlines() == [
        "No digest or batch is due.",
        "Digests or batches are due for 1 recipient. Recipients who only have sections are not counted.",
        "Queued: 1 digest or batch of 2 deliveries, 1 single delivery.",
    ]
