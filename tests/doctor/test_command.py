"""``notifications_doctor`` as an operator runs it: its output, its options and its exit codes."""

import json

import pytest
from django.core.management import CommandError, call_command

from notifications.monitoring.doctor import examinations
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.examinations import Examination
from notifications.monitoring.findings import Finding
from notifications.monitoring.probes import PROBES
from tests.doctor.diagnosing import diagnose, run

pytestmark = pytest.mark.one_database
LONG = "word " * 40
OK = Diagnosis(Status.OK, "good", "It works.")
WARNING = Diagnosis(Status.WARNING, "poor", f"It works, {LONG}", "Improve NOTIFICATIONS['WORKERS'].")
ERROR = Diagnosis(Status.ERROR, "bad", "It does not work.", f"Correct {LONG}")
UNCHECKED = Diagnosis(Status.UNCHECKED, "unknown", "It cannot be examined.", "Try again.")


@pytest.fixture
def use(monkeypatch):
    """Return a function that replaces all examinations."""

    def use(*diagnoses):
        listed = [Examination(one.name, f"Area of {one.name}", lambda site, one=one: [one]) for one in diagnoses]
        monkeypatch.setattr(examinations, "EXAMINATIONS", tuple(listed))
        for name in list(PROBES):
            monkeypatch.delitem(PROBES, name)

    return use


@pytest.mark.parametrize(
    ("diagnoses", "options", "code"),
    [
        ([OK], [], 0),
        ([OK, WARNING], [], 0),
        ([OK, WARNING], ["--fail-level", "WARNING"], 1),
        ([WARNING, UNCHECKED], [], 2),
        ([OK, UNCHECKED, ERROR], [], 1),
    ],
)
def test_the_exit_code_says_what_was_found(use, diagnoses, options, code):
    use(*diagnoses)
    assert run(*options)[0] == code
    assert run("--json", *options)[0] == code


def test_the_output_fits_into_80_columns(use):
    use(OK, WARNING, ERROR, UNCHECKED)
    _code, output = run()
    lines = output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:2] == ["Area of good", "[ok] good: It works."]
    assert "    -> Improve NOTIFICATIONS['WORKERS']." in lines
    assert lines[-1] == "Result: 1 error, 1 warning, 1 not checked, 1 ok."


def test_a_quiet_run_shows_only_what_is_not_well(use):
    use(OK, ERROR)
    output = run("--verbosity", "0")[1]
    assert "good" not in output
    assert "[error] bad" in output


def test_the_colour_is_only_in_the_label(use, capsys):
    use(ERROR)
    with pytest.raises(SystemExit):
        call_command("notifications_doctor", force_color=True)
    assert "\x1b[31;1m[error]\x1b[0m bad: It does not work." in capsys.readouterr().out


def test_json_has_every_result_and_the_totals(use):
    use(OK, ERROR)
    report = json.loads(run("--json")[1])
    assert (report["errors"], report["warnings"], report["not_checked"]) == (1, 0, 0)
    assert report["results"][0] == {
        "area": "Area of good",
        "examination": "good",
        "status": "ok",
        "name": "good",
        "detail": "It works.",
        "remedy": "",
    }


def test_the_names_are_listed_and_a_misspelled_one_is_refused():
    names = [line.split(" ")[0] for line in run("--list")[1].splitlines()]
    assert {"schema", "channels", "workers"} <= set(names)
    with pytest.raises(CommandError, match="Did you mean 'channels'"):
        run("--only", "chanels")


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_a_timeout_must_be_positive(seconds):
    with pytest.raises(CommandError, match="above 0"):
        run("--timeout", seconds)


@pytest.mark.django_db
def test_an_examination_that_fails_does_not_hide_the_others(monkeypatch, caplog):
    def fail(using, now):
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(PROBES, "broken", fail)
    monkeypatch.setitem(PROBES, "later", lambda using, now: [Finding("later", True, "Good.")])
    code, [broken, later] = diagnose("broken", "later")
    assert (code, broken["status"], later["status"]) == (1, "error", "ok")
    assert "ZeroDivisionError: by zero" in broken["detail"]
    assert "Traceback" in caplog.text


def test_invalid_settings_are_reported_once_and_the_rest_waits(settings):
    settings.NOTIFICATIONS = {"WORKRS": 2}
    code, results = diagnose("settings", "channels", "tasks")
    assert code == 1
    assert "Did you mean 'WORKERS'?" in results[0]["remedy"]
    assert [one["status"] for one in results if one["examination"] == "channels"] == ["not checked"]
