"""The probes of the alarm, and the texts of its events."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.utils import translation

from notifications.core import clock
from notifications.delivering.workers.worker import Worker
from notifications.events import BuiltInEvents
from notifications.manager import NotificationManager
from notifications.models import Alarm, Circuit, Delivery, InboxItem
from notifications.monitoring.probes.alarms import probe_alarms
from notifications.monitoring.probes.circuits import probe_circuits
from notifications.monitoring.probes.clock import probe_clock
from notifications.monitoring.probes.dead_letters import probe_growth
from notifications.monitoring.probes.queue import probe_queue

pytestmark = pytest.mark.django_db


def look(probe):
    [finding] = probe("default", clock.now())
    return finding


def test_a_circuit_is_bad_after_a_while(settings):
    settings.NOTIFICATIONS = {"ALARM": {"LIMITS": {"circuit_seconds": 60}}}
    now = clock.now()
    assert look(probe_circuits).is_healthy
    Circuit.objects.create(key="email", opened_at=now - timedelta(seconds=30), open_until=now)
    assert look(probe_circuits).is_healthy
    Circuit.objects.create(key="sms/twilio", opened_at=now - timedelta(seconds=90), open_until=now)
    finding = look(probe_circuits)
    assert (finding.is_healthy, finding.detail) == (False, "Not used for 1 min or less: sms/twilio.")
    assert finding.since == now - timedelta(seconds=30)
    Circuit.objects.all().update(open_until=None)
    assert look(probe_circuits).is_healthy


def test_dead_letters_grow(settings, django_user_model):
    settings.NOTIFICATIONS = {"ALARM": {"LIMITS": {"dead_letters_growth": 2}}}
    ann = django_user_model.objects.create_user("ann", "ann@example.com")
    for _ in range(3):
        NotificationManager.send("message", [ann], context={"message": "Hello"}, channels=["email"])
    rows = Delivery.objects.order_by("pk")
    rows.update(state="dead", settled_at=clock.now())
    rows.filter(pk=rows[0].pk).update(settled_at=clock.now() - timedelta(minutes=11))
    assert look(probe_growth).detail == "2 deliveries have died within 10 min."
    rows.update(settled_at=clock.now())
    finding = look(probe_growth)
    assert (finding.is_healthy, finding.detail) == (False, "More than 2 deliveries have died within 10 min.")


def test_the_limits_of_the_queue_are_settings(settings, django_user_model):
    ann = django_user_model.objects.create_user("ann", "ann@example.com")
    NotificationManager.send("message", [ann], context={"message": "Hello"}, channels=["email"])
    now = clock.now() + timedelta(seconds=10)
    assert all(finding.is_healthy for finding in probe_queue("default", now))
    settings.NOTIFICATIONS = {"ALARM": {"LIMITS": {"queue": 1, "delay": 5, "dead_letters": 0}}}
    assert not any(finding.is_healthy for finding in probe_queue("default", now))


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no clock of its own")
@pytest.mark.parametrize(("seconds", "side"), [(60, "ahead of"), (-60, "behind")])
def test_clocks_that_differ(monkeypatch, seconds, side):
    assert look(probe_clock).is_healthy
    real = clock.local_now
    monkeypatch.setattr(clock, "local_now", lambda: real() + timedelta(seconds=seconds))
    finding = look(probe_clock)
    assert not finding.is_healthy
    assert finding.detail.endswith(f"s {side} that of the database.")
    assert 55 < float(finding.detail.split()[6]) <= 61


@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL has a clock of its own")
def test_sqlite_has_one_clock():
    assert look(probe_clock).is_healthy


def test_an_alarm_that_no_channel_sends_is_a_cause(operators, settings):
    settings.NOTIFICATIONS = {"OPERATORS": "role:Operators"}
    context = {"causes": [{"name": "pump"}], "remaining": []}
    now = clock.now() - timedelta(seconds=90)
    ann = User.objects.get(username="op")
    result = NotificationManager.send(BuiltInEvents.SYSTEM_DEGRADED, [ann], context=context)
    Alarm.objects.create(cause="pump", bad_since=now, degraded_at=now, notification_id=result.notification_id)
    finding = look(probe_alarms)
    assert (finding.is_healthy, finding.detail) == (False, "Alarms that no channel has sent: pump.")
    Delivery.objects.filter(channel="app").update(state="sent")
    assert not look(probe_alarms).is_healthy, "nobody may be looking at the inbox"
    Delivery.objects.filter(channel="email").update(state="sent")
    assert look(probe_alarms).is_healthy
    Delivery.objects.filter(channel="email").delete()
    assert look(probe_alarms).is_healthy, "the inbox was the only channel"
    Delivery.objects.all().delete()
    assert look(probe_alarms).is_healthy, "what announced it was purged"


def test_the_texts_name_the_causes_and_their_remedies(operators, settings):
    settings.NOTIFICATIONS = {}
    pump = {"name": "pump", "detail": "It is <loose> & wet.", "remedy": "Fix it.", "since": ""}
    belt = {"name": "belt", "detail": "It is worn.", "remedy": "", "since": ""}
    for event, causes, remaining in (
        (BuiltInEvents.SYSTEM_DEGRADED, [pump, belt], [{**belt, "name": "log seal"}]),
        (BuiltInEvents.SYSTEM_RECOVERED, [pump], [belt]),
        (BuiltInEvents.SYSTEM_RECOVERED, [belt], []),
    ):
        context = {"causes": causes, "remaining": remaining}
        assert NotificationManager.send(event, [User.objects.get(username="op")], context=context).queued == 2
        with translation.override("en"):
            Worker().drain()
    first, second, third = mail.outbox
    assert first.subject == "Alarm: pump (2 causes)"
    assert "pump: It is <loose> & wet.\nFix it.\n\nbelt: It is worn." in first.body
    assert "Not solved from before: log seal" in first.body
    assert (second.subject, third.subject) == ("Solved: pump", "All-clear: belt")
    assert "Not solved yet: belt (It is worn.)" in second.body
    assert "Solved: belt" in third.body
    assert "Not solved" not in third.body
    assert InboxItem.objects.count() == 3
