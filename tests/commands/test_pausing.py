"""Pausing and resuming at runtime: no delivery is lost, and no attempt is counted."""

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.urls import reverse

from notifications.core.clock import now
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, Heartbeat, Pause, Suppression
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def send():
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), None, {"order_number": "7"})


def dispatch():
    return dict(Dispatcher().run_until_idle())


def test_everything_waits_until_it_is_resumed(capsys):
    call_command("pause_notifications", "--note", "the mail server moves")
    send()
    assert dispatch() == {}
    assert set(Delivery.objects.values_list("state", "attempts")) == {("ready", 0)}
    call_command("resume_notifications")
    assert dispatch() == {"sent": 2}
    output = capsys.readouterr().out
    assert "Everything is paused." in output
    assert "Everything is resumed." in output


def test_one_channel_waits_and_the_others_continue(capsys):
    call_command("pause_notifications", "--channel", "email")
    send()
    assert dispatch() == {"sent": 1}
    assert Delivery.objects.get(state="ready").channel == "email"
    call_command("resume_notifications")
    assert "Still paused: email." in capsys.readouterr().out
    call_command("resume_notifications", "--channel", "email")
    assert dispatch() == {"sent": 1}


def test_pausing_or_resuming_twice_is_reported(capsys):
    call_command("pause_notifications")
    call_command("pause_notifications")
    call_command("resume_notifications")
    call_command("resume_notifications")
    output = capsys.readouterr().out
    assert "is already paused." in output
    assert "Everything was not paused." in output


def test_an_unknown_channel_is_an_error_that_names_the_known_ones():
    with pytest.raises(CommandError, match=r"no channel 'emial'. Configured: app, email, log"):
        call_command("pause_notifications", "--channel", "emial")


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("staff"))
    return client


def test_the_admin_pauses_and_resumes(staff):
    answer = staff.post(reverse("admin:klaxon_pause_add"), {"channel": "email", "note": "moving"})
    assert answer.status_code == 302
    assert Pause.objects.get().note == "moving"
    assert "moving" in staff.get(reverse("admin:klaxon_pause_changelist")).content.decode()
    staff.post(reverse("admin:klaxon_pause_delete", args=["email"]), {"post": "yes"})
    assert not Pause.objects.exists()


def test_the_admin_only_accepts_known_channels(staff):
    answer = staff.post(reverse("admin:klaxon_pause_add"), {"channel": "emial"})
    assert answer.status_code == 200
    assert not Pause.objects.exists()


def test_the_admin_shows_suppressions_and_workers(staff):
    Suppression.objects.suppress([("email", "gone@example.com")], "hard_bounce", now())
    Heartbeat.objects.beat("worker-1", "here", 1, now())
    assert "g***@example.com" in staff.get(reverse("admin:klaxon_suppression_changelist")).content.decode()
    assert "worker-1" in staff.get(reverse("admin:klaxon_heartbeat_changelist")).content.decode()
    assert staff.get(reverse("admin:klaxon_heartbeat_add")).status_code == 403


def test_resuming_closes_open_circuits(capsys):
    for key in ("email", "email/reserve", "emailish"):
        Circuit.objects.record_failures(key, 1, "wrong password", now(), open_immediately=True)
    call_command("resume_notifications", "--channel", "email")
    assert "Workers try these providers again immediately: email, email/reserve." in capsys.readouterr().out
    assert Circuit.objects.get().key == "emailish"
    call_command("resume_notifications")
    assert not Circuit.objects.exists()
