"""A problem of one recipient affects no other."""

import dataclasses
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext_lazy

from notifications.channels import BaseChannel
from notifications.delivering.workers.periodic_tasks import PeriodicTask, Scheduler
from notifications.digests import DigestResult, Section, make_due, send_section_digests
from notifications.digests.grouping import group_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, SharedPreference, UserSettings
from notifications.outcomes import DeliveryState, Reason, Receipt, Verdict
from notifications.testing import temporary_events
from tests.digests.conftest import with_digest, work
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
EIGHT = datetime(2026, 11, 21, 7, tzinfo=UTC)
GIVEN = {}


def sections(cluster, users, digest_kind, since, until):
    return {user.pk: GIVEN[user.username] for user in users if user.username in GIVEN}


@pytest.fixture
def given(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": f"{__name__}.sections"}
    GIVEN.clear()
    return GIVEN


def ship(user, number, **options):
    context = {"order_number": str(number), "eta": None}
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, context, channels=["email"], **options)


@pytest.mark.parametrize("bad", [[Section("x\0y")], [Section("\ud800")], None, 7, [3], [Section("t", 7)]])
@pytest.mark.parametrize("with_items", [True, False])
def test_invalid_sections_of_one_user_affect_no_other_user(bad, with_items, clock, given):
    one, other = with_digest("daily"), with_digest("daily")
    given.update({one.username: bad, other.username: [Section("Points", "120 this week")]})
    for user in (one, other) if with_items else ():
        ship(user, 1)
    clock.to(EIGHT)
    work()
    bodies = {message.to[0]: message.body for message in mail.outbox}
    assert "Points\n  120 this week\n" in bodies[other.email]
    assert (one.email in bodies) is with_items


def test_sections_are_in_the_language_of_the_recipient(clock, given):
    user = with_digest("daily", language="de")
    given[user.username] = [Section(gettext_lazy("Monday"))]
    clock.to(EIGHT)
    work()
    assert "Montag" in mail.outbox[0].body


def test_a_database_error_of_the_host_loses_only_its_sections(clock, reader, settings, caplog):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": f"{__name__}.no_such_table"}
    ship(reader, 1)
    clock.to(EIGHT)
    work()
    assert len(mail.outbox) == 1
    assert "The function of DIGEST_SECTIONS failed" in caplog.text


def no_such_table(*args):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")


def test_a_user_with_quiet_hours_at_the_hour_gets_one_digest(clock, given):
    night = {"quiet_from": time(22), "quiet_until": time(9)}
    user = with_digest("daily", **night)
    given[user.username] = [Section("Points")]
    ship(user, 1)
    for _ in range(23):
        clock.forward(hours=1, minutes=1)
        work()
    assert [message.subject for message in mail.outbox] == ["Your day: 1 notification"]


def test_a_digest_at_an_hour_skipped_by_the_clock_is_sent(clock, given):
    user = with_digest("daily", digest_hour=2)
    given[user.username] = [Section("Points")]
    clock.to(datetime(2027, 3, 26, 12, tzinfo=UTC))
    for _ in range(3 * 24 * 4):
        clock.forward(minutes=15)
        send_section_digests(clock())
    assert UserSettings.objects.get().digest_asked_at.day == 29
    work()
    assert len(mail.outbox) == 3


def test_queries_do_not_grow_with_the_refusals(clock, reader):
    def refused(count):
        for number in range(count):
            ship(reader, number)
        UserSettings.objects.update(channels={"email": False})
        clock.forward(days=1)
        with CaptureQueriesContext(connection) as captured:
            assert make_due() == DigestResult(refused=count)
        UserSettings.objects.update(channels={})
        return len(captured)

    # SQLite writes rows in tens and ones.
    assert refused(12) == refused(42)


def test_an_invalid_hour_in_the_table_stops_no_mail(clock, caplog):
    bad = with_digest("daily", digest_hour=24)
    also_bad = with_digest("weekly", digest_day=9)
    for user in (bad, also_bad):
        assert ship(user, 1).queued == 1
    assert "is ignored" in caplog.text


def test_the_fallback_of_a_batch_is_not_a_second_copy(clock, settings):
    settings.NOTIFICATIONS = {
        **settings.NOTIFICATIONS,
        "CHANNELS": {"email": {"BACKEND": f"{__name__}.Refusing"}},
    }
    user = UserFactory()
    with temporary_events():
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(
            event, batch_window=900, fallback={"email": "app"}, retry_delays=()
        )
        for number in range(2):
            context = {"order_number": str(number), "eta": None}
            NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, context)
        clock.forward(minutes=15)
        work()
    assert set(Delivery.objects.filter(channel="email").values_list("state", flat=True)) == {"merged", "dead"}
    assert InboxItem.objects.count() == 1


def test_a_batch_of_a_call_with_chosen_channels_goes_to_the_fallback(clock, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"email": {"BACKEND": f"{__name__}.Refusing"}}}
    with temporary_events():
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(
            event, batch_window=900, fallback={"email": "app"}, retry_delays=()
        )
        user = UserFactory()
        for number in range(2):
            ship(user, number)
        clock.forward(minutes=15)
        work()
    [item] = InboxItem.objects.all()
    assert item.title == "Order shipped (2)"
    assert sorted(Delivery.objects.values_list("channel", "state")) == [
        ("app", "sent"), ("email", "dead"), ("email", "merged"), ("email", "merged"),
    ]  # fmt: skip


class Refusing(BaseChannel):
    address_kind = "email"

    def prepare(self, delivery, rendered):
        return rendered

    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.TEMPORARY, error="no")


def test_an_error_for_one_recipient_affects_no_other(clock, monkeypatch, caplog):
    users = [with_digest("daily") for _ in range(3)]
    for user in users:
        ship(user, 1)

    def broken(waiting, using, now):
        found = list(group_due(waiting, using, now))
        assert not any(item.person.user == users[1] for item in found), "broken"
        return found

    monkeypatch.setattr("notifications.digests.make.group_due", broken)
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=2, merged=2, failed=1)
    assert "No digest can be made for" in caplog.text
    assert Delivery.objects.get(state=DeliveryState.HELD).recipient == users[1]


@pytest.mark.parametrize("choice", [{"categories": {"digest": False}}, {"events": {"daily_digest": {"email": False}}}])
def test_a_user_who_turned_digests_off_does_not_get_the_items(clock, reader, choice):
    ship(reader, 1)
    ship(reader, 2)
    UserSettings.objects.update(**choice)
    clock.to(EIGHT)
    work()
    assert mail.outbox == []
    dropped = Delivery.objects.filter(channel="email").values_list("state", "reason")
    assert list(dropped) == [(DeliveryState.DROPPED, Reason.PREFERENCE)] * 2


def test_if_the_cluster_turned_digests_off_the_items_are_sent_one_by_one(clock, reader):
    ship(reader, 1)
    ship(reader, 2)
    SharedPreference(categories={"digest": False}).save()
    clock.to(EIGHT)
    work()
    assert sorted(message.subject for message in mail.outbox) == ["Order 1 is on its way", "Order 2 is on its way"]


def test_more_items_than_fit_into_one_statement(clock, reader, monkeypatch):
    monkeypatch.setattr("notifications.storage.outbox.ROWS_PER_STATEMENT", 3)
    monkeypatch.setattr("notifications.storage.digest_items.ROWS_PER_STATEMENT", 3)
    for number in range(8):
        ship(reader, number)
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=1, merged=8)


def test_a_stopping_worker_makes_no_more_digests(clock, monkeypatch):
    monkeypatch.setattr("notifications.digests.make.RECIPIENTS_PER_TRANSACTION", 1)
    for _ in range(3):
        ship(with_digest("daily"), 1)
    clock.to(EIGHT)
    assert make_due(should_stop=lambda: True) == DigestResult(made=1, merged=1)
    assert make_due() == DigestResult(made=2, merged=2)


def test_digests_come_before_overdue_items_after_hours_without_a_worker(clock, reader):
    ship(reader, 1)
    ship(reader, 2)
    clock.to(EIGHT + timedelta(hours=3))
    work()
    assert [message.subject for message in mail.outbox] == ["Your day: 2 notifications"]


def test_a_slow_periodic_task_continues_in_the_next_round(monkeypatch):
    turns = []
    task = PeriodicTask("long", 3600, lambda now, should_stop: turns.append(should_stop()))
    monkeypatch.setattr("notifications.delivering.workers.periodic_tasks.PERIODIC_TASKS", {"long": task})
    scheduler = Scheduler("default", timeout=-1)
    scheduler.run_due()
    scheduler.run_due()
    assert turns == [True, True]


def test_the_function_is_called_once_for_each_user_with_any_channels(clock, reader, settings):
    settings.NOTIFICATIONS = {
        **settings.NOTIFICATIONS,
        "DIGEST_SECTIONS": f"{__name__}.counted",
        "DIGEST_CHANNELS": ["Email", "app"],
    }
    COUNTED.clear()
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [reader], None, {"order_number": "1", "eta": None})
    leaver = with_digest("daily")
    ship(leaver, 1)
    type(leaver).objects.filter(pk=leaver.pk).update(is_active=False)
    clock.to(EIGHT)
    work()
    assert [reader.pk] == COUNTED
    assert len(mail.outbox) == InboxItem.objects.count() == 1


COUNTED = []


def counted(cluster, users, digest_kind, since, until):
    COUNTED.extend(user.pk for user in users)
    return


def test_preferences_of_a_host_apply_to_section_digests(clock, reader, given, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PREFERENCES": f"{__name__}.NoDigests"}
    given[reader.username] = [Section("Points")]
    clock.to(EIGHT)
    assert send_section_digests() == 0


class NoDigests:
    def load(self, cluster, user_ids):
        return {}


def test_no_section_digest_is_sent_without_a_channel(clock, reader, given, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_CHANNELS": []}
    given[reader.username] = [Section("Points")]
    clock.to(EIGHT)
    assert send_section_digests() == 0
    assert UserSettings.objects.get().digest_asked_at is None
