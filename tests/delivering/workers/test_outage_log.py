"""A database outage is a few lines in the log of a process, for any number of threads."""

import logging
import threading
from contextlib import contextmanager

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection

from notifications.delivering.workers import outage_log
from notifications.delivering.workers.outage_log import OUTAGE_LOG, OutageLog
from notifications.delivering.workers.worker import Worker
from notifications.models import Heartbeat
from tests.processes import until
from tests.spool.outage import outage

logger = logging.getLogger("notifications.tests")


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock):
    return OutageLog(clock)


def lost():
    error = OperationalError("connection failed:\n  refused")
    error.__cause__ = psycopg.OperationalError("connection failed")
    return error


def fail_every_second(log, clock, seconds):
    for _ in range(seconds):
        log.report_failure(logger, lost(), "The heartbeat failed.")
        log.report_failure(logger, lost(), "A thread failed.")
        clock.time += 1


def test_an_outage_logs_a_line_at_its_start_each_minute_and_at_its_end(log, clock, caplog):
    fail_every_second(log, clock, 150)
    clock.time += 10
    for _ in range(3):
        log.report_success()
    why = "connection failed: refused (The heartbeat failed.)"
    assert caplog.messages == [
        f"The database cannot be used. The worker keeps trying: {why}",
        f"The database has not been usable for 60 seconds (121 failures): {why}",
        f"The database has not been usable for 120 seconds (241 failures): {why}",
        "The database can be used again. It failed for 149 seconds (300 failures).",
    ]
    assert "Traceback" not in caplog.text


def test_a_success_between_failures_does_not_end_the_outage(log, clock, caplog):
    for _ in range(20):
        log.report_failure(logger, lost(), "A thread failed.")
        clock.time += 1
        log.report_success()
    assert len(caplog.messages) == 1


def test_an_old_broken_connection_is_not_another_outage(log, clock, caplog):
    fail_every_second(log, clock, 10)
    clock.time += 10
    log.report_success()
    caplog.clear()
    fail_every_second(log, clock, 1)
    clock.time += 10
    log.report_success()
    assert caplog.messages == []


def test_an_outage_right_after_another_is_logged(log, clock, caplog):
    fail_every_second(log, clock, 10)
    clock.time += 10
    log.report_success()
    caplog.clear()
    fail_every_second(log, clock, 10)
    clock.time += 10
    log.report_success()
    assert [message.split(".")[0] for message in caplog.messages] == [
        "The database cannot be used",
        "The database can be used again",
    ]


def test_every_failure_has_its_traceback_at_debug(log, caplog):
    caplog.set_level(logging.DEBUG)
    try:
        raise lost()
    except OperationalError as error:
        log.report_failure(logger, error, "The periodic task %r failed.", "cleanup")
        log.report_failure(logger, error, "The periodic task %r failed.", "cleanup")
    at_debug = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert [record.getMessage() for record in at_debug] == ["The periodic task 'cleanup' failed."] * 2
    assert all(record.exc_info for record in at_debug)


def test_the_line_says_what_failed(log, caplog):
    error = OperationalError("canceling statement due to statement timeout")
    error.__cause__ = psycopg.errors.QueryCanceled()
    log.report_failure(logger, error, "The periodic task %r failed. It runs again in %g seconds.", "cleanup", 60.0)
    [message] = caplog.messages
    assert message.endswith("statement timeout (The periodic task 'cleanup' failed. It runs again in 60 seconds.)")


def deadlock():
    error = OperationalError("deadlock detected")
    error.__cause__ = psycopg.errors.DeadlockDetected()
    return error


@pytest.mark.parametrize(
    "error", [IntegrityError("a duplicate"), ZeroDivisionError("a bug of the host"), deadlock()], ids=str
)
def test_any_other_error_is_logged_with_its_traceback(log, caplog, error):
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            raise error
        log.report_failure(logger, raised.value, "A thread failed.")
    assert caplog.text.count("Traceback") == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2


def test_an_error_that_an_outage_caused_belongs_to_it(log, caplog):
    error = RuntimeError("the host's own words")
    error.__cause__ = lost()
    log.report_failure(logger, error, "A thread failed.")
    [message] = caplog.messages
    assert message.startswith("The database cannot be used.")


@pytest.fixture
def worker(settings, monkeypatch, transactional_db):
    """A worker with threads that try again constantly, and an empty log of the process."""
    monkeypatch.setattr(outage_log, "RECOVERY_SECONDS", 0.5)
    vars(OUTAGE_LOG).update(vars(OutageLog()))
    settings.NOTIFICATIONS = {"BEAT_SECONDS": 0.05}
    worker = Worker(workers=2, idle=0.05, error_pause=0.05)
    thread = threading.Thread(target=worker.watch)
    worker.begin = thread.start
    yield worker
    worker.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()


def lines(caplog):
    until(lambda: "can be used again" in caplog.text)
    assert "Traceback" not in caplog.text
    return [message.split(".")[0] for message in caplog.messages]


def test_a_worker_that_starts_in_an_outage_waits_for_its_end(worker, caplog):
    with outage():
        worker.begin()
        until(lambda: worker.errors > 3)
    until(Heartbeat.objects.exists)
    assert lines(caplog) == ["The database cannot be used", "The database can be used again"]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no connections to break")
def test_all_threads_that_lose_their_connections_log_two_lines(worker, caplog):
    with outage_of_everybody(worker):
        before = worker.errors
        until(lambda: worker.errors > before + 10)
    assert lines(caplog) == ["The database cannot be used", "The database can be used again"]


@contextmanager
def outage_of_everybody(worker):
    """Break all connections while the worker has some, and allow no new ones."""
    worker.begin()
    until(Heartbeat.objects.exists)
    server = connection.copy()
    server.ensure_connection()
    with outage(), server.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        server.close()
        yield
