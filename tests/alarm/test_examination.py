"""A cause is announced once, by the event and by the hook, after it was bad for long enough; and its end once, too."""

import json
import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError, connection

from notifications.core import clock
from notifications.models import Alarm, Circuit, HookCall, Notification, Pause
from notifications.monitoring import probes
from notifications.monitoring.alarm import recovery, register_recovery
from notifications.monitoring.findings import Finding
from tests.processes import raced

pytestmark = pytest.mark.needs("requests")


def test_a_cause_is_announced_once_and_so_is_its_end(system, hook):
    system.wait(60)
    assert (hook.payloads, Alarm.objects.count()) == ([], 0)
    system.bad = {"log seal"}
    system.wait(600)
    assert hook.list_changes() == [("degraded", "log seal")]
    system.bad = set()
    system.wait(600)
    assert hook.list_changes() == [("degraded", "log seal"), ("recovered", "log seal")]
    assert system.list_events() == [
        ("system_degraded", "email", "op"),
        ("system_degraded", "app", "op"),
        ("system_recovered", "email", "op"),
        ("system_recovered", "app", "op"),
    ]
    assert HookCall.objects.count() == 0


def test_the_hook_gets_all_that_an_operator_needs(system, hook):
    system.bad = {"pump"}
    system.wait(60)
    [payload] = hook.payloads
    [cause] = payload["causes"]
    assert payload["text"] == "Alarm: pump: The pump is loose."
    assert (cause["detail"], cause["remedy"]) == ("The pump is loose.", "Fix it.")
    assert payload["reaches_operators"] is True
    assert cause["since"] == "2026-11-02T03:00:10+00:00"


def test_an_alarm_comes_within_a_minute_and_not_at_once(system, hook):
    system.wait(30)
    system.bad = {"pump"}
    system.wait(20)
    assert hook.payloads == []
    system.wait(10)
    assert hook.list_changes() == [("degraded", "pump")]


def test_a_cause_that_is_bad_for_a_moment_is_not_announced(system, hook):
    for _ in range(6):
        system.bad = {"pump"}
        system.wait(20)
        system.bad = set()
        system.wait(10)
    assert (hook.payloads, system.list_events()) == ([], [])


def test_an_alarm_that_is_good_for_a_moment_does_not_end(system, hook):
    system.bad = {"pump"}
    system.wait(60)
    for _ in range(3):
        system.bad = set()
        system.wait(100)
        system.bad = {"pump"}
        system.wait(30)
    assert hook.list_changes() == [("degraded", "pump")]


def test_random_flapping_announces_each_change_in_turn(system, hook, settings):
    """Whatever happens, alarm and all-clear of a cause take turns, and an interval lies between them."""
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "OPERATORS": ()}
    chance = random.Random(7)
    for _ in range(60):
        system.bad = set(chance.sample(["pump", "belt"], chance.randrange(3)))
        system.wait(chance.choice([10, 20, 40, 150]))
    for name in ("pump", "belt"):
        changes = [status for status, *names in hook.list_changes() if name in names]
        assert changes == [("degraded", "recovered")[index % 2] for index in range(len(changes))]
        assert len(changes) > 2


def test_several_causes_at_once_are_one_announcement(system, hook):
    system.bad = {"pump", "belt"}
    system.wait(60)
    system.bad = {"belt"}
    system.wait(300)
    system.bad = set()
    system.wait(300)
    assert hook.list_changes() == [("degraded", "belt", "pump"), ("recovered", "pump"), ("recovered", "belt")]
    assert [one["name"] for one in hook.payloads[1]["remaining"]] == ["belt"]
    assert hook.payloads[1]["text"] == "Solved: pump. Not solved yet: belt."
    assert hook.payloads[2]["remaining"] == []


def test_a_cause_whose_start_is_known_need_not_wait(system, hook):
    start = system.now
    probes.register_probe("late", lambda using, now: [Finding("late", False, "It was seen late.", since=start)])
    system.wait(30)
    assert hook.list_changes() == [("degraded", "late")]
    assert hook.payloads[0]["causes"][0]["since"] == start.isoformat()


def test_a_probe_that_fails_is_a_cause_and_hides_no_other(system, hook, caplog):
    def fail(using, now):
        raise OSError("https://pump.example.com/?key=s3cret is gone")

    probes.register_probe("broken", fail)
    probes.register_probe("a text", lambda using, now: ["loose"])
    probes.register_probe("long", lambda using, now: [Finding("x" * 101, False, "")])
    probes.register_probe("query", lambda using, now: list(connection.cursor().execute("SELECT * FROM nowhere")))
    system.bad = {"pump"}
    # On PostgreSQL, the statement that fails would end the transaction of the test.
    if connection.vendor == "postgresql":
        del probes.PROBES["query"]
    system.wait(40)
    own = {"query"} if connection.vendor == "sqlite" else set()
    [(status, *causes)] = hook.list_changes()
    assert (status, set(causes)) == ("degraded", {"a text", "broken", "long", "pump"} | own)
    assert "OSError" in hook.payloads[0]["causes"][1]["detail"]
    assert "s3cret" not in str(hook.payloads)
    assert "The probe 'broken' has failed." in caplog.text


def test_a_statement_that_takes_too_long_hides_no_other_cause(system, hook):
    def time_out(using, now):
        raise OperationalError("canceling statement due to statement timeout") from QueryCanceled()

    probes.register_probe("slow", time_out)
    system.bad = {"pump"}
    system.wait(40)
    assert hook.list_changes() == [("degraded", "pump", "slow")]


def test_a_part_whose_probe_fails_is_not_solved(system, hook):
    system.bad = {"pump"}
    system.wait(40)
    probes.register_probe("machine", lambda using, now: 1 / 0)
    system.wait(300)
    assert (hook.list_changes(), system.degraded) == (
        [("degraded", "pump"), ("degraded", "machine")],
        {"pump", "machine"},
    )
    system.bad = set()
    probes.register_probe("machine", system.probe)
    system.wait(300)
    assert (hook.list_changes()[-1], system.degraded) == (("recovered", "machine", "pump"), set())


class QueryCanceled(Exception):
    """What psycopg raises."""

    sqlstate = "57014"


def test_a_name_that_is_ignored_is_that_of_a_finding_and_not_of_a_probe(system, hook, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ALARM": {"HOOK": hook.url, "IGNORE": ["machine", "belt"]}}
    system.bad = {"pump", "belt"}
    system.wait(40)
    assert hook.list_changes() == [("degraded", "pump")]


def test_a_healthy_part_does_not_hide_another_one_of_its_name(system, hook):
    probes.register_probe("machine", lambda using, now: [Finding("fan", number != 2, "") for number in (1, 2, 3)])
    system.wait(40)
    assert hook.list_changes() == [("degraded", "fan")]


def test_a_cause_that_is_ignored_or_no_longer_examined_ends(system, hook, settings):
    system.bad = {"pump", "belt"}
    system.wait(40)
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ALARM": {"HOOK": hook.url, "IGNORE": ["pump"]}}
    system.wait(300)
    assert system.degraded == {"belt"}
    del probes.PROBES["machine"]
    system.wait(300)
    assert (system.degraded, hook.list_changes()[-1]) == (set(), ("recovered", "belt"))


@pytest.mark.parametrize("how", ["circuit", "pause"])
def test_an_alarm_goes_on_channels_that_work(system, hook, how):
    if how == "circuit":
        until = system.now + timedelta(minutes=5)
        Circuit.objects.create(key="email", open_until=until, opened_at=system.now)
    else:
        Pause.objects.create(channel="email", since=system.now)
    system.bad = {"pump"}
    system.wait(60)
    assert system.list_events() == [("system_degraded", "app", "op")]
    assert hook.payloads[0]["reaches_operators"] is True


def test_a_circuit_that_is_half_open_does_not_keep_an_alarm_from_being_sent(system, hook):
    """On an idle site, it stays so until something is sent."""
    Circuit.objects.create(key="email", open_until=system.now, opened_at=system.now - timedelta(minutes=1))
    system.bad = {"pump"}
    system.wait(60)
    assert ("system_degraded", "email", "op") in system.list_events()


def test_without_a_channel_that_works_the_hook_says_so(system, hook, caplog):
    Pause.objects.create(channel="*", since=system.now)
    system.bad = {"pump"}
    system.wait(60)
    assert (system.list_events(), hook.payloads[0]["reaches_operators"]) == ([], False)
    assert "The alarm reaches no operator. None of its channels works" in caplog.text


@pytest.mark.parametrize(
    ("targets", "fault"),
    [
        ("role:Nobody", "There is no group 'Nobody'"),
        ("path:tests.alarm.test_examination.fail", "ZeroDivisionError"),
        ("path:tests.alarm.test_examination.find_nobody", "has returned nobody"),
        ("path:tests.alarm.test_examination.read_nowhere", "nowhere"),
    ],
)
def test_wrong_operators_do_not_keep_the_hook_from_being_called(system, hook, settings, targets, fault, caplog):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "OPERATORS": targets}
    system.bad = {"pump"}
    system.wait(60)
    assert [(one["status"], one["reaches_operators"]) for one in hook.payloads] == [("degraded", False)]
    assert fault in caplog.text


def fail(cluster):
    return 1 / 0


def read_nowhere(cluster):
    connection.cursor().execute("SELECT * FROM nowhere")


def find_text(cluster):
    return ["op@example.com"]


@pytest.mark.parametrize("name", ["read_nowhere", "find_text"])
def test_a_wrong_target_does_not_keep_the_others_from_being_reached(system, settings, name, caplog):
    targets = [f"path:tests.alarm.test_examination.{name}", "role:Operators"]
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "OPERATORS": targets}
    system.bad = {"pump"}
    system.wait(60)
    assert ("system_degraded", "email", "op") in system.list_events()
    assert f"The alarm does not reach all operators. {targets[0]}: " in caplog.text


def find_nobody(cluster):
    return None


def find_everybody(cluster):
    return list(User.objects.order_by("username"))


def test_operators_can_be_targets_of_any_kind(system, settings):
    User.objects.create_user("night", "night@example.com")
    targets = ["role:Operators", "address:email=desk@example.com", "path:tests.alarm.test_examination.find_everybody"]
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "OPERATORS": targets}
    system.bad = {"pump"}
    system.wait(60)
    assert sorted((channel, name or "desk") for _, channel, name in system.list_events()) == [
        ("app", "night"),
        ("app", "op"),
        ("email", "desk"),
        ("email", "night"),
        ("email", "op"),
    ]


def test_channels_of_alarms_can_be_chosen(system, settings, hook):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ALARM": {"CHANNELS": ["app"], "HOOK": hook.url}}
    system.bad = {"pump"}
    system.wait(60)
    assert system.list_events() == [("system_degraded", "app", "op")]


def test_the_system_that_is_switched_off_is_not_examined(system, settings, hook):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENABLED": False}
    system.bad = {"pump"}
    system.wait(60)
    assert (hook.payloads, Alarm.objects.count()) == ([], 0)


def test_a_recovery_is_tried_while_the_cause_is_bad(system, monkeypatch, caplog):
    monkeypatch.setattr(recovery, "RECOVERIES", {})
    calls = []
    register_recovery("belt", lambda now, should_stop: calls.append(now))
    register_recovery("pump", lambda now, should_stop: 1 / 0)
    system.bad = {"belt", "pump"}
    system.wait(30)
    system.bad = set()
    system.wait(60)
    assert len(calls) == 3
    assert system.degraded == {"belt", "pump"}
    assert "The recovery from 'pump' has failed." in caplog.text


@pytest.mark.django_db(transaction=True)
def test_any_number_of_processes_announces_once(hook, monkeypatch):
    """Four processes decide at the same time, without taking turns: one cause begins, and one ends."""
    group = Group.objects.create(name="Operators")
    User.objects.create_user("op", "op@example.com").groups.add(group)
    value = {"OPERATORS": "role:Operators", "ALARM": {"HOOK": hook.url}}
    monkeypatch.setenv("KLAXON_NOTIFICATIONS", json.dumps(value))
    long_ago = clock.now() - timedelta(hours=1)
    Alarm.objects.create(cause="belt", bad_since=long_ago, degraded_at=long_ago, good_since=long_ago)
    raced(RACE, 4)
    payloads = HookCall.objects.order_by("pk").values_list("payload", flat=True)
    calls = [(payload["status"], cause["name"]) for payload in payloads for cause in payload["causes"]]
    assert sorted(calls) == [("degraded", "pump"), ("recovered", "belt")]
    assert Notification.objects.count() == 2


RACE = """
from notifications.core import clock
from notifications.monitoring import probes
from notifications.monitoring.alarm.examination import examine_system
from notifications.monitoring.findings import Finding
from datetime import timedelta

probes.PROBES.clear()
since = clock.now() - timedelta(minutes=1)
findings = [Finding("pump", False, "It is loose.", since=since), Finding("belt", True, "")]
probes.PROBES["machine"] = lambda using, now: findings
for _ in range(5):
    examine_system("default", clock.now())
"""
