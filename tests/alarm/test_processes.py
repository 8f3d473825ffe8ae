"""Real workers and a real watchdog: each cause is provoked, announced on a path that works, and ends once.

With ``KLAXON_ALARM_SECONDS=real``, the alarm has its default seconds, and the tests take minutes.
"""

import json
import os
import signal
import socket
import time
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from notifications.core import clock
from notifications.management.commands.notifications_watchdog import describe
from notifications.manager import NotificationManager
from notifications.models import Alarm, Circuit, Delivery, Heartbeat, InboxItem, Pause
from notifications.monitoring.alarm import task
from notifications.monitoring.alarm.watchdog import Look, Watchdog
from tests.channels.servers import post_office
from tests.ports import find_free_port
from tests.processes import start, until
from tests.spool.outage import outage

pytestmark = [pytest.mark.needs("requests", "aiosmtpd"), pytest.mark.every_database]

IS_REAL = os.environ.get("KLAXON_ALARM_SECONDS") == "real"
PATIENCE = 300 if IS_REAL else 120
QUICK = {} if IS_REAL else {"BAD_SECONDS": 1, "GOOD_SECONDS": 1}
QUICK_WORKERS = {} if IS_REAL else {"LEASE_SECONDS": 3, "BEAT_SECONDS": 0.5, "ERROR_PAUSE_SECONDS": 0.5}


@pytest.fixture
def make_site(hook, tmp_path, monkeypatch):
    """Set the settings of the processes of a test."""

    def make(seconds=QUICK_WORKERS, **alarm):
        value = {
            "OPERATORS": "role:Operators",
            "CHANNELS": {"log": {}},
            "BREAKER_FAILURES": 1,
            "BREAKER_SECONDS": 1,
            "BREAKER_MOST_SECONDS": 1,
            "STATE_DIR": str(tmp_path / "state"),
            "ALARM": {"HOOK": hook.url, **QUICK, **alarm},
            **seconds,
        }
        monkeypatch.setenv("KLAXON_NOTIFICATIONS", json.dumps(value))
        return value

    return make


@contextmanager
def running(*command, port=25):
    process = start(*command, port=port)
    try:
        yield process
    finally:
        process.terminate()
        process.output = process.communicate(timeout=PATIENCE)[0]


def count_announcements(hook):
    """How often each cause was announced, by status."""
    found = {}
    for payload in hook.payloads:
        for cause in payload["causes"]:
            key = (payload["status"], cause["name"])
            found[key] = found.get(key, 0) + 1
    return found


PROVOKED = {"queue", "delay", "dead letters growing", "circuits"}
# These depend on how many attempts there are until the mail server is back.
IGNORED = ["pauses", "providers", "dead letters", "success", "channels"]


@pytest.mark.django_db(transaction=True)
def test_each_cause_is_announced_by_channels_that_work_and_ends_once(make_site, hook, operators, django_user_model):
    limits = {"queue": 5, "delay": 2, "dead_letters_growth": 3, "circuit_seconds": 1, "alarm_seconds": 600}
    # On a busy machine, heartbeats may be late.
    make_site(seconds={}, LIMITS=limits, IGNORE=IGNORED, **({} if IS_REAL else {"GOOD_SECONDS": 15}))
    ann = django_user_model.objects.create_user("ann", "ann@example.com")

    def send(number, *channels):
        for _ in range(number):
            NotificationManager.send("message", [ann], context={"message": "Hello"}, channels=channels)

    # A worker that runs would notice the pause a moment later.
    Pause.objects.create(channel="log", since=clock.now())
    send(10, "log")
    port = find_free_port()
    with running("dispatch_notifications", "--watch", port=port):
        until(Heartbeat.objects.exists, PATIENCE)
        began = time.time()
        # No mail server listens on the port, so each connection is refused.
        send(1, "email")
        until(Circuit.objects.filter(key="email", open_until__isnull=False).exists, PATIENCE)
        send(5, "app")
        until(lambda: Delivery.objects.filter(channel="app", state="sent").count() == 5, PATIENCE)
        Delivery.objects.filter(channel="app").update(state="dead", settled_at=clock.now())
        expect(hook, {("degraded", cause): 1 for cause in PROVOKED})
        assert max(payload["received"] for payload in hook.payloads) - began < 60
        assert all(payload["reaches_operators"] for payload in hook.payloads)
        until(lambda: InboxItem.objects.filter(recipient__username="op").exists(), PATIENCE)
        Pause.objects.all().delete()
        Delivery.objects.filter(state="dead").delete()
        with post_office(port=port):
            announced = {(status, cause): 1 for status in ("degraded", "recovered") for cause in PROVOKED}
            expect(hook, announced)
            # Nothing flaps afterwards.
            time.sleep(60 if IS_REAL else 3)
            expect(hook, announced)
        assert not Alarm.objects.degraded().exists()
        assert hook.payloads[-1]["remaining"] == []


def expect(hook, announced):
    """Wait until each of these was announced so many times, and nothing else."""
    deadline = time.monotonic() + PATIENCE
    while count_announcements(hook) != announced and time.monotonic() < deadline:
        time.sleep(0.1)
    assert count_announcements(hook) == announced


@pytest.mark.django_db(transaction=True)
def test_the_watchdog_notices_within_a_minute_that_all_workers_were_killed(make_site, hook, operators):
    make_site()
    port = find_free_port()
    # The mail server gets the emails to operators; without it, their channel would be another cause.
    with (
        post_office(port=port),
        running("notifications_watchdog", "--watch", "--every", "5" if IS_REAL else "0.5") as watchdog,
    ):
        workers = start("dispatch_notifications", "--watch", "--processes", "2", port=port)
        until(lambda: Heartbeat.objects.count() == 2, PATIENCE)
        pids = [workers.pid, *Heartbeat.objects.values_list("pid", flat=True)]
        began = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        workers.communicate(timeout=PATIENCE)
        until(lambda: hook.list_changes(), PATIENCE)
        assert hook.list_changes() == [("degraded", "workers")]
        assert hook.payloads[0]["received"] - began < 60
        with running("dispatch_notifications", "--watch", port=port):
            until(lambda: len(hook.payloads) > 1, PATIENCE)
            assert hook.list_changes() == [("degraded", "workers"), ("recovered", "workers")]
    assert watchdog.output.splitlines()[0] == "All is well."
    assert "workers: 0 workers are alive." in watchdog.output


def run_watchdog(*options):
    """The exit code and the output of one look in this process."""
    output = StringIO()
    try:
        call_command("notifications_watchdog", *options, stdout=output)
    except SystemExit as ended:
        return ended.code, output.getvalue().strip()
    return 0, output.getvalue().strip()


@pytest.mark.django_db(transaction=True)
def test_the_watchdog_calls_the_hook_once_while_the_database_is_away(settings, hook, tmp_path, monkeypatch):
    settings.NOTIFICATIONS = {
        "DELIVERY": "immediate",
        "ALARM": {"HOOK": hook.url, "BAD_SECONDS": 0.5, "GOOD_SECONDS": 0},
        "STATE_DIR": str(tmp_path / "state"),
    }
    monkeypatch.setattr(task, "_database_alarms", {})
    assert run_watchdog() == (0, "All is well.")
    with outage():
        for _ in range(2):
            code, output = run_watchdog("--every", "0.2")
            assert (code, output) == (2, "The database cannot be used. It has failed with OperationalError.")
    assert hook.list_changes() == [("degraded", "database")]
    assert run_watchdog() == (0, "All is well.")
    assert hook.list_changes() == [("degraded", "database"), ("recovered", "database")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server that can be silent")
@pytest.mark.django_db(transaction=True)
def test_a_database_that_never_answers_does_not_stop_the_watchdog(make_site, hook, monkeypatch):
    make_site(BAD_SECONDS=0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("KLAXON_DATABASE_MORE", json.dumps({"HOST": "127.0.0.1", "PORT": silent.getsockname()[1]}))
        watchdog = start("notifications_watchdog", "--timeout", "1", "--json")
        output, _ = watchdog.communicate(timeout=PATIENCE)
    assert watchdog.returncode == 2
    assert json.loads(output.splitlines()[-1])["database_fault"] == "It has not answered within 1 s."
    assert hook.list_changes() == [("degraded", "database")]


@pytest.mark.django_db(transaction=True)
def test_one_look_says_what_is_wrong(settings, hook, tmp_path):
    settings.NOTIFICATIONS = {"ALARM": {"HOOK": hook.url, "BAD_SECONDS": 0}, "STATE_DIR": str(tmp_path)}
    code, output = run_watchdog()
    assert (code, output.splitlines()[0][:28]) == (1, "workers: 0 workers are alive")
    code, output = run_watchdog("--json")
    [cause] = json.loads(output)["alarms"]
    assert (code, cause["name"]) == (1, "workers")
    assert hook.list_changes() == [("degraded", "workers")]


def test_json_stays_json_while_notifications_are_off(settings):
    settings.NOTIFICATIONS = {"ENABLED": False}
    code, output = run_watchdog("--json")
    assert code == 0
    assert list(json.loads(output)) == ["off"]


def test_a_watchdog_that_fails_itself_does_not_look_like_an_alarm(monkeypatch):
    def fail(self):
        raise RuntimeError("No more threads.")

    monkeypatch.setattr(Watchdog, "look", fail)
    with pytest.raises(CommandError, match="The watchdog has failed: RuntimeError") as caught:
        run_watchdog()
    assert caught.value.returncode == 2


@pytest.mark.django_db(transaction=True)
def test_a_call_that_fails_is_said_and_changes_the_exit_code(settings, hook, tmp_path):
    hook.status = 503
    settings.NOTIFICATIONS = {"ALARM": {"HOOK": hook.url, "BAD_SECONDS": 0}, "STATE_DIR": str(tmp_path)}
    code, output = run_watchdog()
    assert code == 2
    assert "The hook or the heartbeat has failed. The answer was 503 Service Unavailable." in output


def test_all_faults_of_a_look_are_described():
    cause = {"name": "pump", "detail": "It is loose.", "remedy": "Fix it.", "since": ""}
    found = Look([cause], ["The answer was 500."], "It has failed.")
    assert describe(found) == [
        "The database cannot be used. It has failed.",
        "pump: It is loose. Fix it.",
        "The hook or the heartbeat has failed. The answer was 500.",
    ]
