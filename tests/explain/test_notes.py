"""Pauses and missing workers in the notes and summaries of ``explain()``."""

import pytest

from notifications.models import Heartbeat, Pause
from notifications.testing import travelling
from tests.explain.helpers import MIDNIGHT, NIGHT, SEVEN, explain

pytestmark = pytest.mark.django_db


def test_a_due_delivery_has_a_note_if_no_worker_is_running(user, choose, settings):
    none = ("No worker is running now; the delivery waits until one starts.",)
    with travelling(MIDNIGHT):
        assert explain(user).channel("email").notes == none
        assert explain(user, at=SEVEN).channel("email").notes == (), "whether a worker will run is not known"
        Heartbeat.objects.beat("one", "here", 1, MIDNIGHT)
        assert explain(user).channel("email").notes == ()
        Heartbeat.objects.all().delete()
        settings.NOTIFICATIONS = {"DELIVERY": "immediate"}
        assert explain(user).channel("email").notes == ()
        settings.NOTIFICATIONS = {}
        choose(**NIGHT)
        assert explain(user).channel("email").notes == (), "it is not due"


def test_a_delivery_that_needs_a_worker_is_not_sent_immediately(user, settings):
    assert explain(user).channel("email").summary == "It would be sent as soon as a worker runs."
    settings.NOTIFICATIONS = {"DELIVERY": "immediate"}
    assert explain(user).channel("email").summary == "It would be sent immediately."


@pytest.mark.usefixtures("worker")
def test_a_paused_channel_is_a_note_and_no_drop(user):
    Pause.objects.pause("email", "the provider is moving", MIDNIGHT)
    explanation = explain(user)
    [note] = explanation.channel("email").notes
    pause = "The channel email is paused (the provider is moving)"
    assert note == f"{pause}: nothing is sent until resume_notifications is run."
    assert explanation.channel("app").notes == ()
    assert note in str(explanation)
    assert explanation.reaches, "later"


@pytest.mark.usefixtures("worker")
def test_the_summary_takes_a_pause_into_account(user, choose):
    Pause.objects.pause("email", "", MIDNIGHT)
    explanation = explain(user)
    paused = "It would wait until resume_notifications is run, because the channel email is paused."
    assert explanation.channel("email").summary == paused
    assert explanation.channel("app").summary == "It would be sent immediately."
    Pause.objects.pause("*", "", MIDNIGHT)
    everything = "It would wait until resume_notifications is run, because everything is paused."
    assert explain(user).channel("app").summary == everything
    assert "immediately" not in str(explain(user))
    choose(**NIGHT)
    hour = "It would be sent at 07:00 on Sunday 22 November 2026, Europe/Berlin at the earliest, and not before resume"
    assert explain(user, at=MIDNIGHT).channel("email").summary.startswith(hour)


@pytest.mark.usefixtures("worker")
def test_a_dropped_delivery_has_no_note_about_a_pause(user, choose):
    choose(channels={"email": False})
    Pause.objects.pause("*", "", MIDNIGHT)
    explanation = explain(user)
    assert explanation.channel("email").notes == ()
    paused = "Everything is paused: nothing is sent until resume_notifications is run."
    assert explanation.channel("app").notes == (paused,)
