"""The checks of the alarm: who is informed, and whether that is possible."""

import sys

import pytest
from django.core import checks

from notifications import conf
from notifications.checks import alarm as alarm_checks
from notifications.core import extras
from tests.alarm.test_examination import find_everybody


def run(settings, deploy=False, **value):
    settings.NOTIFICATIONS = value
    found = checks.run_checks(tags=["klaxon"], include_deployment_checks=deploy)
    return [message for message in found if message.id in ("klaxon.E044", "klaxon.E045", "klaxon.E005", "klaxon.W024")]


@pytest.mark.parametrize(
    ("operators", "fault"),
    [
        ("role:", "is not a target"),
        ("email:ops@example.com", "is not a target"),
        ("supervisor", "ESCALATION_TARGETS'] has no 'supervisor'"),
        ("address:ops@example.com", "is not an address"),
        ("address:email=ops", "'ops' is not a valid address of the kind 'email'"),
        (["user:ada", "path:shop.nowhere.find"], "No module named"),
        ("path:tests.alarm.hooks", "tests.alarm.hooks is not a function"),
    ],
)
def test_operators_that_cannot_exist_are_reported(settings, operators, fault):
    [message] = run(settings, OPERATORS=operators)
    assert message.id == "klaxon.E044"
    assert fault in message.msg


def test_operators_of_every_kind_are_accepted(settings):
    path = f"path:{find_everybody.__module__}.{find_everybody.__name__}"
    targets = ["role:Operators", "user:ada", "rota:it", "address:email=ops@example.com", path, "boss"]
    assert run(settings, OPERATORS=targets, ESCALATION_TARGETS={"boss": "user:boss"}) == []
    assert conf.current().operators == tuple(targets)
    assert run(settings, OPERATORS="role:Operators") == []
    assert conf.current().operators == ("role:Operators",)


def test_a_cluster_model_of_the_site_needs_a_cluster(settings, monkeypatch):
    monkeypatch.setattr(alarm_checks, "get_cluster_model", lambda: object)
    [message] = run(settings, OPERATORS="role:Operators")
    assert (message.id, "has no CLUSTER" in message.msg) == ("klaxon.E044", True)
    assert run(settings, OPERATORS="role:Operators", ALARM={"CLUSTER": 3}) == []


def test_a_command_must_exist(settings):
    assert run(settings, ALARM={"HOOK": [sys.executable]}) == []
    [message] = run(settings, ALARM={"HOOK": ["/nowhere/pager", "s3cret"]})
    assert message.id == "klaxon.E045"
    assert "s3cret" not in message.msg


def test_channels_must_be_in_use(settings):
    assert run(settings, ALARM={"CHANNELS": ["Email", "app"]}) == []
    for name in ("sms", "log", "webhook"):
        [message] = run(settings, CHANNELS={"log": {}}, ALARM={"CHANNELS": [name]})
        assert (message.id, repr(name) in message.msg) == ("klaxon.E045", True)


def test_a_url_needs_requests(settings, monkeypatch):
    real = extras.is_installed
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "requests" and real(module))
    for key in ("HOOK", "HEARTBEAT_URL"):
        [message] = run(settings, ALARM={key: "https://hooks.example.com/s3cret"})
        assert (message.id, "django-klaxon[http]" in message.hint) == ("klaxon.E005", True)
        assert "s3cret" not in message.msg


def test_before_a_deployment_somebody_must_be_informed(settings):
    [message] = run(settings, deploy=True)
    assert (message.id, message.msg[:18]) == ("klaxon.W024", "Nobody is informed")
    [message] = run(settings, deploy=True, OPERATORS="role:Operators")
    assert "if no worker runs or the database cannot be used" in message.msg
    assert run(settings, deploy=True, ALARM={"HOOK": [sys.executable]}) == []
    assert run(settings, deploy=False) == []


@pytest.mark.parametrize(
    ("alarm", "fault"),
    [
        ({"HOCK": ""}, "unknown key 'HOCK'"),
        ({"HOOK": "http://hooks.example.com/"}, "['HOOK'] is not valid"),
        ({"HOOK": [""]}, "['HOOK'] is not valid"),
        ({"HOOK": "https://hooks.example.com/s3cret\n"}, "['HOOK'] is not valid"),
        ({"HEARTBEAT_URL": "https://hc.example .com/"}, "['HEARTBEAT_URL'] is not valid"),
        ({"HOOK_TIMEOUT": 0}, "['HOOK_TIMEOUT'] is 0"),
        ({"BAD_SECONDS": -1}, "['BAD_SECONDS'] is -1"),
        ({"GOOD_SECONDS": float("inf")}, "['GOOD_SECONDS'] is inf"),
        ({"IGNORE": "pauses"}, "['IGNORE'] is 'pauses'"),
        ({"LIMITS": {"quue": 5}}, "['LIMITS'] has an unknown key 'quue'"),
        ({"LIMITS": {"queue": "many"}}, "['LIMITS']['queue'] is 'many'"),
        ({"LIMITS": {"success_rate": 90}}, "['LIMITS']['success_rate'] is 90"),
        ({"LIMITS": {"delay": float("nan")}}, "['LIMITS']['delay'] is nan"),
        ({"LIMITS": {"dead_letters_growth": float("inf")}}, "['LIMITS']['dead_letters_growth'] is inf"),
    ],
)
def test_wrong_keys_are_reported(settings, alarm, fault):
    settings.NOTIFICATIONS = {"ALARM": alarm}
    [problem] = conf.problems()
    assert fault in problem.message


def test_the_default_limits_are_those_of_the_settings(settings):
    settings.NOTIFICATIONS = {"ALARM": {"LIMITS": {"queue": 5}, "BAD_SECONDS": 0}}
    current = conf.current()
    assert (current.get_alarm_limit("queue"), current.get_alarm_limit("delay")) == (5, 60)
    assert (current.get_alarm_option("BAD_SECONDS"), current.get_alarm_option("GOOD_SECONDS")) == (0, 120)
