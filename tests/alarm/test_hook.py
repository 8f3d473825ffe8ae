"""The hook: a URL or a command, with a total deadline, called again if it fails, and without a secret in any log."""

import json
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import override_settings

from notifications.core import clock
from notifications.models import EscalationRun, HookCall
from notifications.monitoring import probes
from notifications.monitoring.alarm.exhausted import announce_exhausted
from notifications.monitoring.alarm.hook import HookFailed, call_hook
from notifications.monitoring.alarm.task import make_calls

PAYLOAD = {"status": "degraded", "text": "Ünïcode"}
needs_requests = pytest.mark.needs("requests")


def use(settings, **alarm):
    settings.NOTIFICATIONS = {"ALARM": alarm}


@needs_requests
@pytest.mark.parametrize("status", [301, 404, 500])
def test_an_answer_that_is_no_success_has_failed(settings, hook, status):
    use(settings, HOOK=hook.url)
    hook.status = status
    with pytest.raises(HookFailed, match=f"The answer was {status}") as failed:
        call_hook(PAYLOAD)
    assert "s3cret" not in str(failed.value)


@needs_requests
def test_a_server_that_is_silent_or_gone_has_failed_within_the_time(settings, hook):
    hook.seconds = 2
    use(settings, HOOK=hook.url, HOOK_TIMEOUT=0.3)
    began = time.monotonic()
    with pytest.raises(HookFailed, match="did not answer in time"):
        call_hook(PAYLOAD)
    use(settings, HOOK="http://127.0.0.1:9/?key=s3cret")
    with pytest.raises(HookFailed, match="There is no connection to 127.0.0.1") as failed:
        call_hook(PAYLOAD)
    assert "s3cret" not in str(failed.value)
    assert time.monotonic() - began < 2


def test_a_command_gets_the_payload_on_its_standard_input(settings, tmp_path):
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    use(settings, HOOK=[sys.executable, "-c", code, str(tmp_path / "alarm"), "; rm -rf nothing"])
    call_hook(PAYLOAD)
    assert json.loads((tmp_path / "alarm").read_text("utf-8")) == PAYLOAD


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ([sys.executable, "-c", "import sys; sys.exit(3)", "s3cret"], "has ended with status 3"),
        ([sys.executable, "-c", "import time; time.sleep(20)", "s3cret"], "has not ended in time"),
        (["/nowhere/pager", "s3cret"], "could not be started: No such file or directory"),
    ],
)
def test_a_command_that_fails(settings, command, fault):
    use(settings, HOOK=command, HOOK_TIMEOUT=1)
    with pytest.raises(HookFailed, match=fault) as failed:
        call_hook(PAYLOAD)
    assert "s3cret" not in str(failed.value)


def test_a_command_that_takes_too_long_leaves_no_process(settings, tmp_path):
    path = tmp_path / "pid"
    use(settings, HOOK=["/bin/sh", "-c", f"sleep 60 & echo $! > {path}; wait"], HOOK_TIMEOUT=1)
    with pytest.raises(HookFailed, match="has not ended in time"):
        call_hook(PAYLOAD)
    child = Path("/proc") / path.read_text().strip()
    for _ in range(50):
        # A zombie that its new parent has not collected yet has no memory.
        if not child.exists() or "VmRSS" not in (child / "status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("The child still runs.")


@needs_requests
def test_no_heartbeat_says_that_all_is_well_if_the_examinations_fail(system, hook, settings, monkeypatch):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ALARM": {"HEARTBEAT_URL": hook.url}}
    system.wait(60)
    number = len(hook.heartbeats)
    assert number > 0

    def fail(using, now):
        raise OperationalError("out of memory") from OutOfMemory()

    probes.register_probe("slow", fail)
    for _ in range(60):
        system.now += timedelta(seconds=5)
        with suppress(OperationalError):
            system.run()
    assert len(hook.heartbeats) <= number + 1
    del probes.PROBES["slow"]
    system.wait(120)
    assert len(hook.heartbeats) > number + 1


class OutOfMemory(Exception):
    """What psycopg raises."""

    sqlstate = "53200"


@needs_requests
def test_a_hook_that_fails_is_called_again_every_minute_until_it_succeeds(system, hook, caplog):
    hook.status = 500
    system.bad = {"pump"}
    system.wait(120)
    assert 1 < len(hook.payloads) <= 3
    assert "The hook of alarms has failed; it is called again in a minute. The answer was 500" in caplog.text
    assert "s3cret" not in caplog.text
    hook.reset()
    system.bad = set()
    system.wait(300)
    assert hook.list_changes() == [("degraded", "pump"), ("recovered", "pump")]
    assert HookCall.objects.count() == 0


@needs_requests
def test_the_hook_gets_the_calls_in_their_order_although_one_has_failed(system, hook):
    hook.status = 500
    system.bad = {"pump"}
    system.wait(30)
    hook.reset()
    system.bad = {"pump", "belt"}
    system.wait(40, step=5)
    assert hook.payloads == [], "the second call waits for the next try of the first one"
    system.wait(60, step=5)
    assert hook.list_changes() == [("degraded", "pump"), ("degraded", "belt")]


@needs_requests
def test_a_call_that_another_process_makes_is_not_made_although_it_read_the_clock_later(system, hook):
    HookCall.objects.queue(PAYLOAD, system.now)
    earlier = system.now
    system.now += timedelta(seconds=2)
    [call] = HookCall.objects.due(system.now)
    assert HookCall.objects.take(call, system.now)
    assert HookCall.objects.due(earlier) == []
    make_calls("default", earlier, False)
    assert hook.payloads == []


@needs_requests
def test_a_call_that_the_hook_always_refuses_keeps_others_waiting_for_ten_minutes(system, hook, monkeypatch):
    refused = []

    def call(payload):
        if payload["causes"][0]["name"] == "pump":
            refused.append(payload)
            raise HookFailed("The answer was 400 Bad Request.")
        call_hook(payload)

    monkeypatch.setattr("notifications.monitoring.alarm.calls.call_hook", call)
    system.bad = {"pump"}
    system.wait(60)
    system.bad = {"pump", "belt"}
    system.wait(400)
    assert (hook.payloads, len(refused) > 5) == ([], True)
    system.wait(300)
    assert hook.list_changes() == [("degraded", "belt")]


@needs_requests
def test_a_clock_that_is_set_back_delays_neither_calls_nor_the_end_of_an_alarm(system, hook):
    hook.status = 500
    system.bad = {"pump"}
    system.wait(40)
    system.bad = set()
    system.wait(20)
    hook.reset()
    system.now -= timedelta(hours=3)
    system.wait(200)
    assert hook.list_changes() == [("degraded", "pump"), ("recovered", "pump")]


@needs_requests
def test_a_hook_that_fails_for_a_day_gets_no_old_calls(system, hook, caplog):
    hook.status = 500
    system.bad = {"pump"}
    system.wait(60)
    system.wait(100_000, step=50_000)
    assert HookCall.objects.count() == 0
    assert "has failed for a day. 1 calls are not made any more." in caplog.text


@needs_requests
def test_without_the_setting_no_call_is_queued(system, hook, settings):
    settings.NOTIFICATIONS = {"OPERATORS": "role:Operators"}
    system.bad = {"pump"}
    system.wait(60)
    assert (HookCall.objects.count(), len(system.list_events())) == (0, 2)


@needs_requests
def test_the_heartbeat_is_sent_each_minute_while_all_is_well(system, hook, settings):
    url = hook.url.replace("klaxon", "alive")
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ALARM": {"HOOK": hook.url, "HEARTBEAT_URL": url}}
    system.wait(600)
    assert 10 <= len(hook.heartbeats) <= 13
    assert hook.heartbeats[0] == "/alive?key=s3cret"
    system.bad = {"pump"}
    system.wait(60)
    hook.reset()
    system.wait(300)
    assert hook.heartbeats == []
    system.bad = set()
    system.wait(300)
    assert hook.heartbeats


@needs_requests
def test_a_heartbeat_that_fails_is_logged_without_its_secret(settings, hook, caplog, db, tmp_path):
    hook.status = 404
    settings.NOTIFICATIONS = {"ALARM": {"HEARTBEAT_URL": hook.url}, "STATE_DIR": str(tmp_path)}
    assert make_calls("default", clock.now(), True) == [
        "The heartbeat could not be sent. The answer was 404 Not Found."
    ]
    assert "s3cret" not in caplog.text


@needs_requests
def test_an_escalation_that_nobody_answers_goes_to_operators_and_to_the_hook(system, hook):
    run = EscalationRun(event="shop_alarm", notification_id=7, started_at=system.now)
    announce_exhausted(run=run)
    system.run()
    [payload] = hook.payloads
    assert payload["causes"][0]["name"] == "escalation"
    assert payload["causes"][0]["detail"].startswith("Nobody has answered the escalation of shop_alarm #7")
    assert [event for event, *_ in system.list_events()] == ["system_degraded"] * 2
    system.wait(300)
    assert len(hook.payloads) == 1


def test_neither_repr_nor_problems_show_a_hook():
    from notifications import conf

    with override_settings(NOTIFICATIONS={"ALARM": {"HOOK": "https://hooks.example.com/s3cret"}}):
        assert "s3cret" not in repr(conf.current())
    for alarm in ({"HOOK": "ftp://s3cret"}, {"HEARTBEAT_URL": "s3cret"}, {"HOOK": ["pager", 5, "s3cret"]}):
        with override_settings(NOTIFICATIONS={"ALARM": alarm}):
            [problem] = conf.problems()
            assert "s3cret" not in f"{problem.message} {problem.hint}"
            assert "is not valid." in problem.message
