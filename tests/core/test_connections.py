"""Connections and pools: long-lived threads use no pooled connection, and a pool limits the number of threads."""

import sqlite3
import threading

import psycopg
import pytest
from django.db import InternalError, OperationalError, ProgrammingError, connection, connections, transaction

from notifications.checks import run_checks
from notifications.core.connections import (
    copy_without_pool,
    get_pool_size,
    limit_threads_to_pool,
    return_connections_to_pools,
    use_own_connections,
)
from notifications.core.databases import is_temporary_failure
from notifications.delivering.workers.worker import Worker
from notifications.manager import NotificationManager
from notifications.models import Delivery, Heartbeat
from tests.factories import UserFactory
from tests.processes import until
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)

only_postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has pools")


def get_server_process():
    """Return the id of the server process of this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def is_open(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone()[0] == 1


def run_in_thread(work):
    """Return the result of ``work`` in a new thread, and close the connections of the thread."""
    results = []

    def run():
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=20)
    [value] = results
    return value


@pytest.fixture
def set_pool_size():
    """Return a function that gives the test database a pool of a size."""
    before = connection.settings_dict["OPTIONS"]

    def set_pool_size(size):
        connection.close()
        connection.settings_dict["OPTIONS"] = {**before, "pool": {"min_size": 1, "max_size": size, "timeout": 1.0}}

    yield set_pool_size
    connection.close()
    connection.close_pool()
    connection.settings_dict["OPTIONS"] = before


@only_postgres
@pytest.mark.parametrize(
    ("pool", "size"),
    [
        (None, None),
        (False, None),
        ({}, None),
        (True, 4),
        ({"timeout": 5}, 4),
        ({"min_size": 1}, 1),
        ({"min_size": 1, "max_size": 2}, 2),
        ({"max_size": 8}, 8),
        ({"min_size": 2, "max_size": None}, 2),
    ],
)
def test_the_size_of_a_pool_follows_its_options_as_in_psycopg(monkeypatch, pool, size):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {} if pool is None else {"pool": pool})
    assert get_pool_size("default") == size
    assert size is None or connection.pool.max_size == size
    if size is not None:
        connection.close_pool()


@only_postgres
def test_a_connection_without_a_pool_uses_no_pooled_one_and_closes_its_socket(set_pool_size):
    set_pool_size(1)
    get_server_process()  # this thread uses the only connection
    own = copy_without_pool("default")
    with own.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    assert is_open(pid)
    own.close()
    until(lambda: not is_open(pid))
    assert connection.settings_dict["OPTIONS"]["pool"], "the site's own settings stay as they are"


@only_postgres
def test_a_thread_with_its_own_connections_uses_none_of_the_pool(set_pool_size):
    set_pool_size(1)
    pooled = get_server_process()
    with use_own_connections():
        own = get_server_process()
        assert own != pooled
        assert run_in_thread(get_server_process) == pooled, "entering gave the pooled one back"
    until(lambda: not run_in_thread(lambda: is_open(own)))
    assert get_server_process() == pooled


@only_postgres
def test_a_connection_inside_a_transaction_is_kept(set_pool_size):
    set_pool_size(2)
    with transaction.atomic():
        pooled = get_server_process()
        with use_own_connections():
            assert get_server_process() == pooled
        return_connections_to_pools()
        assert get_server_process() == pooled


def test_connections_without_a_pool_are_kept():
    connection.ensure_connection()
    before = connection.connection
    with use_own_connections():
        assert connection.connection is before
    return_connections_to_pools()
    assert connection.connection is before


@only_postgres
def test_a_waiting_thread_can_return_its_connection(set_pool_size):
    set_pool_size(1)
    pooled = get_server_process()
    return_connections_to_pools()
    assert run_in_thread(get_server_process) == pooled


@only_postgres
def test_a_worker_starts_at_most_as_many_threads_as_the_pool_has_connections_and_logs_the_setting(
    set_pool_size, caplog
):
    set_pool_size(2)
    assert Worker(workers=5).threads == 2
    [warning] = caplog.messages
    assert "DATABASES['default']['OPTIONS']['pool']['max_size']" in warning
    assert "NOTIFICATIONS['WORKERS']" in warning


@only_postgres
def test_only_the_pool_of_klaxons_database_limits_the_threads(set_pool_size, monkeypatch, settings):
    set_pool_size(5)
    reports = {**connections.settings["default"], "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}}}
    monkeypatch.setitem(connections.settings, "reports", reports)
    settings.NOTIFICATIONS = {"WORKERS": 5}
    # In a thread, because connections belong to threads: no later test gets the connection to this database.
    assert run_in_thread(lambda: limit_threads_to_pool(5)) == 5
    assert "klaxon.W004" not in {message.id for message in run_in_thread(lambda: run_checks(None))}


@only_postgres
def test_nothing_is_logged_if_the_pool_is_large_enough(set_pool_size, caplog):
    set_pool_size(2)
    assert limit_threads_to_pool(2) == 2
    assert caplog.messages == []


@only_postgres
@pytest.mark.parametrize("size", [1, 2])
def test_a_worker_beats_waits_and_delivers_with_the_smallest_pools(set_pool_size, settings, caplog, size):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "BEAT_SECONDS": 0.1, "IDLE_SECONDS": 0.1}
    users = UserFactory.create_batch(20)
    set_pool_size(size)
    worker = Worker(workers=2)
    thread = threading.Thread(target=worker.watch)
    thread.start()
    try:
        beats = outside_pool(lambda: Heartbeat.objects.values_list("beat_at", flat=True).first())
        began = until(beats)
        for user in users:
            outside_pool(lambda user=user: NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {}))()
        until(outside_pool(lambda: Delivery.objects.filter(state="sent").count() == 20))
        until(lambda: beats() > began)
    finally:
        worker.stop()
        thread.join(timeout=20)
    assert not thread.is_alive()
    assert "PoolTimeout" not in caplog.text
    assert worker.errors == 0


def outside_pool(work):
    """Return a function that runs ``work`` outside of the pool, so that the worker keeps its connections."""

    def run():
        with use_own_connections():
            return work()

    return run


def sqlite_error(code):
    cause = sqlite3.OperationalError()
    cause.sqlite_errorcode = code
    return cause


@pytest.mark.parametrize(
    ("error", "cause", "is_temporary"),
    [
        (OperationalError, psycopg.OperationalError("the connection is closed"), True),
        (OperationalError, psycopg.errors.AdminShutdown(), True),
        (OperationalError, psycopg.errors.TooManyConnections(), True),
        (OperationalError, psycopg.errors.DeadlockDetected(), True),
        (OperationalError, psycopg.errors.LockNotAvailable(), True),
        (OperationalError, psycopg.errors.QueryCanceled(), False),
        (ProgrammingError, psycopg.errors.UndefinedTable(), False),
        (ProgrammingError, psycopg.ProgrammingError("wrong number of parameters"), False),
        (InternalError, psycopg.errors.InFailedSqlTransaction(), False),
        (OperationalError, sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (OperationalError, sqlite_error(sqlite3.SQLITE_LOCKED), True),
        (OperationalError, sqlite_error(sqlite3.SQLITE_CANTOPEN), True),
        (OperationalError, sqlite_error(sqlite3.SQLITE_ERROR), False),
        (OperationalError, None, False),
    ],
)
def test_errors_of_the_database_and_of_the_statement_are_distinguished(error, cause, is_temporary):
    raised = error("x")
    raised.__cause__ = cause
    assert is_temporary_failure(raised) is is_temporary
