"""Pauses, open circuits, floods and missing workers in the notes and summaries of ``explain()`` and ``why()``."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.events import NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, Heartbeat, Pause
from notifications.testing import travelling
from tests.explain.helpers import MIDNIGHT, NIGHT, SEVEN, explain, send, why
from tests.factories import UserFactory

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


@pytest.fixture
def open_circuit():
    """A function that opens the circuit of a provider for five minutes after midnight."""

    def open_circuit(key):
        values = {"open_until": MIDNIGHT + timedelta(minutes=5), "error": "Connection refused."}
        return Circuit.objects.update_or_create(key=key, defaults=values)[0]

    return open_circuit


CIRCUIT = "00:05 on Sunday 22 November 2026, Europe/Berlin"
PROVIDERS = {"email": {"PROVIDERS": [{"NAME": "first"}, {"NAME": "second"}]}}


@pytest.mark.usefixtures("clock", "worker")
class TestCircuit:
    def test_a_delivery_waits_until_the_circuit_of_its_only_provider_is_half_open(self, user, choose, open_circuit):
        choose(time_zone="Europe/Berlin")
        open_circuit("email")
        explanation = explain(user)
        email = explanation.channel("email")
        reason = "because the circuit of every provider of email is open"
        assert email.summary == f"It would wait until {CIRCUIT}, {reason}."
        note = "The circuit of every provider of email is open (Connection refused): nothing is sent until"
        assert email.notes == (f"{note} {CIRCUIT}.",)
        assert email.arrives_at == MIDNIGHT + timedelta(minutes=5)
        assert explanation.channel("app").summary == "It would be sent immediately."
        channel = why(send(user), user)
        assert channel.summary.startswith(f"It is ready and waits until {CIRCUIT}, because the circuit")
        assert (channel.notes, channel.arrives_at) == (email.notes, email.arrives_at)

    def test_a_half_open_circuit_delays_nothing(self, user, open_circuit):
        open_circuit("email")
        Circuit.objects.update(open_until=MIDNIGHT)
        assert explain(user).channel("email").summary == "It would be sent immediately."
        assert explain(user).channel("email").notes == ()

    def test_another_provider_can_be_used(self, user, settings, open_circuit):
        settings.NOTIFICATIONS = {"CHANNELS": PROVIDERS}
        open_circuit("email/first")
        assert explain(user).channel("email").summary == "It would be sent immediately."
        Circuit.objects.filter(key="email/first").update(open_until=MIDNIGHT + timedelta(minutes=9))
        open_circuit("email/second")
        assert explain(user).channel("email").arrives_at == MIDNIGHT + timedelta(minutes=5)

    def test_a_circuit_that_closes_before_the_delivery_is_due_is_not_mentioned(self, user, choose, open_circuit):
        choose(**NIGHT)
        open_circuit("email")
        email = explain(user).channel("email")
        assert (email.notes, email.arrives_at) == ((), SEVEN)
        assert "circuit" not in email.summary
        Circuit.objects.update(open_until=SEVEN + timedelta(minutes=5))
        email = explain(user).channel("email")
        assert email.summary.startswith(
            "It would be sent at 07:00 on Sunday 22 November 2026, Europe/Berlin at the earliest, and not before 07:05"
        )
        assert email.arrives_at == SEVEN + timedelta(minutes=5)

    def test_pauses_and_circuits_are_read_in_one_statement(self, user):
        with CaptureQueriesContext(connection) as queries:
            explain(user)
        tables = ("klaxon_pause", "klaxon_circuit")
        [statement] = [query["sql"] for query in queries if any(table in query["sql"] for table in tables)]
        assert all(table in statement for table in tables)


FLOOD = (
    "More than THROTTLE_DEPTH deliveries are ready, so workers send only CRITICAL and HIGH ones and, from time to "
    "time, the oldest."
)


@pytest.mark.usefixtures("clock", "worker")
class TestFlood:
    @pytest.fixture
    def medium(self, declare):
        return declare()

    def test_a_delivery_waits_while_too_many_are_ready(self, user, medium, settings):
        NotificationManager.send(medium, [UserFactory() for _ in range(3)])
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": 2}
        channel = explain(user, medium, {}).channel("email")
        assert channel.summary == "It would wait until fewer deliveries are ready, or it is one of the oldest."
        assert channel.notes == (FLOOD,)
        assert why(Delivery.objects.last()).notes == (FLOOD,)
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": 3}
        assert explain(user, medium, {}).channel("email").summary == "It would be sent immediately."

    def test_an_urgent_delivery_does_not_wait(self, user, declare, settings):
        event = declare(priority=NotificationPriority.HIGH)
        NotificationManager.send(event, [UserFactory() for _ in range(3)])
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": 2}
        assert explain(user, event, {}).channel("email").notes == ()
        assert why(Delivery.objects.last()).notes == ()

    def test_a_flood_now_says_nothing_about_another_moment(self, user, medium, settings):
        NotificationManager.send(medium, [UserFactory() for _ in range(3)])
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": 2}
        assert explain(user, medium, {}, at=SEVEN).channel("email").notes == ()

    def test_without_a_depth_nothing_is_counted(self, user, medium, settings):
        with CaptureQueriesContext(connection) as without:
            explain(user, medium, {})
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": 2}
        with CaptureQueriesContext(connection) as counted:
            explain(user, medium, {})
        assert len(counted) == len(without) + 1
