"""Users without notifications get the sections of the host once. Users with notifications get them in the digest."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.management import call_command

from notifications.digests import Section, send_section_digests
from notifications.manager import NotificationManager
from notifications.models import Notification, PreferenceChange, UserSettings
from notifications.testing import simulated
from tests.digests.conftest import with_digest, work
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
EIGHT = datetime(2026, 11, 21, 7, tzinfo=UTC)
ASKED = []


def points(cluster, users, kind, since, until):
    ASKED.extend(user.pk for user in users)
    return {
        user.pk: [Section("Points", [f"{kind} for {user.username}"])] for user in users if "no" not in user.username
    }


@pytest.fixture(autouse=True)
def sections(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": f"{__name__}.points"}
    ASKED.clear()


def test_each_user_gets_one_at_their_hour(clock, reader):
    for moment in (EIGHT - timedelta(seconds=1), EIGHT, EIGHT + timedelta(minutes=30), EIGHT + timedelta(hours=1)):
        clock.to(moment)
        work()
        assert len(mail.outbox) == (moment >= EIGHT)
    [digest] = mail.outbox
    assert (digest.subject, f"daily for {reader.username}" in digest.body) == ("Your day", True)


def test_other_hours_other_days_and_other_kinds_are_not_due(clock):
    with_digest("daily", digest_hour=9)
    with_digest("weekly", digest_day=0)
    with_digest("none")
    elsewhere = with_digest("daily", time_zone="Asia/Kathmandu", digest_hour=13)
    saturday = with_digest("weekly", digest_day=5)
    clock.to(EIGHT + timedelta(minutes=16))
    assert send_section_digests(clock()) == 2
    work()
    assert {message.to[0] for message in mail.outbox} == {elsewhere.email, saturday.email}


def test_a_user_with_notifications_gets_sections_in_the_same_digest(clock, reader):
    NotificationManager.send(ShopEvents.NEWSLETTER, [reader], None, {})
    clock.to(EIGHT)
    work()
    clock.forward(minutes=2)
    work()
    [digest] = mail.outbox
    assert digest.subject == "Your day: 1 notification"
    assert "Points" in digest.body


def test_no_section_digest_is_sent_while_items_wait(clock, reader):
    NotificationManager.send(ShopEvents.NEWSLETTER, [reader], None, {})
    clock.to(EIGHT)
    assert send_section_digests(clock()) == 0


def test_a_user_without_sections_gets_nothing_and_is_processed_once(clock, reader):
    type(reader).objects.update(username="no points")
    clock.to(EIGHT)
    assert [send_section_digests(clock()) for _ in range(3)] == [0, 0, 0]
    assert [reader.pk] == ASKED


def test_two_processes_send_one_digest(clock, reader):
    clock.to(EIGHT)
    assert send_section_digests(clock()) == 1
    # As if the other process had started before this one wrote anything.
    Notification.objects.update(created_at=EIGHT - timedelta(minutes=1))
    UserSettings.objects.update(digest_asked_at=None)
    assert send_section_digests(clock()) == 0
    assert Notification.objects.count() == 1


def test_gates_apply_to_section_digests(clock, reader):
    UserSettings.objects.update(categories={"digest": False})
    clock.to(EIGHT)
    assert send_section_digests(clock()) == 0
    work()
    assert mail.outbox == []


def test_the_command_counts_section_digests(clock, reader, capsys):
    clock.to(EIGHT)
    call_command("make_digests")
    assert capsys.readouterr().out == "Queued: 1 digest with only sections.\n"


def test_no_user_is_queried_without_the_setting(clock, reader, settings, django_assert_num_queries):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": ""}
    with django_assert_num_queries(0):
        assert send_section_digests(EIGHT) == 0


def test_processing_is_no_change_of_preferences(clock, reader):
    settings = UserSettings.objects.get()
    clock.to(EIGHT)
    send_section_digests(clock())
    settings.save()
    assert not PreferenceChange.objects.filter(action="changed").exists()


def test_no_second_digest_is_sent_while_one_waits_for_its_window(reader):
    saturdays = {"email": [["10:00", "12:00", ["sat"]]]}
    UserSettings.objects.filter(user=reader).update(delivery_windows=saturdays)
    with simulated("2026-11-21 13:00", "Europe/Berlin") as timeline:
        timeline.run("2026-12-06 00:00")
        assert [f"{one.at:%d %H:%M}" for one in timeline.arrivals] == ["28 10:00", "05 10:00"]
