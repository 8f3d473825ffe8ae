"""While the database is away, the hook is called once by all processes of a machine, and once when it is back."""

import threading

import pytest
from django.db import connection

from notifications.delivering.workers import outage_log
from notifications.delivering.workers.outage_log import OUTAGE_LOG, OutageLog
from notifications.delivering.workers.periodic_tasks import PERIODIC_TASKS, PeriodicTask
from notifications.delivering.workers.worker import Worker
from notifications.models import Heartbeat
from notifications.monitoring.alarm import task
from notifications.monitoring.alarm.without_database import DatabaseAlarm
from tests.processes import until
from tests.spool.outage import outage

pytestmark = [pytest.mark.needs("requests"), pytest.mark.every_database]


@pytest.fixture
def site(settings, hook, tmp_path, monkeypatch):
    settings.NOTIFICATIONS = {
        "ALARM": {"HOOK": hook.url, "BAD_SECONDS": 0.2, "GOOD_SECONDS": 0},
        "STATE_DIR": str(tmp_path / "state"),
        "BEAT_SECONDS": 0.05,
    }
    monkeypatch.setattr(task, "_database_alarms", {})
    return settings


@pytest.fixture
def make_alarm(site):
    """An alarm, as each process has one."""
    return lambda: DatabaseAlarm("default")


def test_several_processes_call_the_hook_once(make_alarm, hook):
    for _ in range(2):
        for process in (make_alarm(), make_alarm()):
            assert process.begin("It is away.") == ""
            process.begin("It is away.")
    assert hook.list_changes() == [("degraded", "database")]
    assert hook.payloads[0]["causes"][0]["detail"] == "It is away."
    for process in (make_alarm(), make_alarm()):
        assert process.is_known is (len(hook.payloads) == 1)
        process.end()
    assert hook.list_changes() == [("degraded", "database"), ("recovered", "database")]
    assert not make_alarm().path.exists()


def test_processes_that_live_on_call_the_hook_once_for_each_outage_and_its_end(make_alarm, hook):
    processes = [make_alarm() for _ in range(3)]
    for number in (1, 2):
        for process in processes:
            process.begin("It is away.")
        for process in processes:
            process.end()
        assert hook.list_changes() == [("degraded", "database"), ("recovered", "database")] * number


def test_processes_that_notice_it_at_the_same_time_call_the_hook_once(make_alarm, hook):
    hook.seconds = 0.2
    threads = [threading.Thread(target=make_alarm().begin, args=["It is away."]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hook.list_changes() == [("degraded", "database")]


def test_a_database_that_fails_again_soon_is_the_same_outage(make_alarm, hook, site):
    site.NOTIFICATIONS = {**site.NOTIFICATIONS, "ALARM": {"HOOK": hook.url, "GOOD_SECONDS": 60}}
    alarm = make_alarm()
    for _ in range(3):
        alarm.begin("It is away.")
        alarm.end()
    assert hook.list_changes() == [("degraded", "database")]


def test_a_call_that_fails_is_made_again_after_a_while(make_alarm, hook, monkeypatch):
    alarm = make_alarm()
    hook.status = 500
    assert "500" in alarm.begin("It is away.")
    assert alarm.begin("It is away.") == "It has failed a moment ago."
    assert len(hook.payloads) == 1
    alarm._next_call = 0.0
    hook.status = 204
    assert alarm.begin("It is away.") == ""
    alarm.begin("It is away.")
    assert len(hook.payloads) == 2


def test_without_a_folder_a_process_calls_the_hook_once(make_alarm, hook, site, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    site.NOTIFICATIONS = {**site.NOTIFICATIONS, "STATE_DIR": str(tmp_path / "file")}
    alarm = make_alarm()
    for _ in range(3):
        alarm.begin("It is away.")
    alarm.end()
    assert hook.list_changes() == [("degraded", "database"), ("recovered", "database")]
    assert "cannot be kept" in caplog.text


def test_a_damaged_file_is_an_empty_one(make_alarm, hook):
    alarm = make_alarm()
    alarm.begin("It is away.")
    alarm.path.write_text('{"since": ')
    make_alarm().begin("It is away.")
    assert len(hook.payloads) == 2


def test_the_state_of_another_database_is_in_another_file(make_alarm, monkeypatch):
    before = make_alarm().path
    monkeypatch.setitem(connection.settings_dict, "NAME", "another")
    assert make_alarm().path != before


def test_a_worker_calls_the_hook_while_the_database_is_away(site, hook, transactional_db, monkeypatch):
    monkeypatch.setattr(outage_log, "RECOVERY_SECONDS", 0.5)
    vars(OUTAGE_LOG).update(vars(OutageLog()))
    monkeypatch.setitem(PERIODIC_TASKS, "alarm", PeriodicTask("alarm", 0.1, task.run_periodically))
    worker = Worker(workers=2, idle=0.05, error_pause=0.05)
    thread = threading.Thread(target=worker.watch)
    with outage():
        thread.start()
        until(lambda: hook.payloads)
        errors = worker.errors
        until(lambda: worker.errors > errors + 20)
        assert hook.list_changes() == [("degraded", "database")]
        assert "A worker has not been able to use the database" in hook.payloads[0]["text"]
    until(Heartbeat.objects.exists)
    until(lambda: len(hook.payloads) > 1)
    worker.stop()
    thread.join(20)
    assert hook.list_changes() == [("degraded", "database"), ("recovered", "database")]
