"""Connections and pools: what lives long takes none from the pool, and no more threads start than it can serve."""

import sqlite3
import threading

import psycopg
import pytest
from django.db import InternalError, OperationalError, ProgrammingError, connection, connections, transaction

from notifications.checks import run_checks
from notifications.core.connections import (
    copy_without_pool,
    get_pool_size,
    is_temporary_failure,
    limit_threads_to_pool,
    return_connections_to_pools,
    use_own_connections,
)
from notifications.delivering.workers.worker import Worker
from notifications.manager import NotificationManager
from notifications.models import Delivery, Heartbeat
from tests.factories import UserFactory
from tests.processes import until
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)

only_postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has pools")


def server_process():
    """The id of the server process behind the connection of this thread."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def is_open(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone()[0] == 1


def in_a_thread(work):
    """What ``work`` returns in a thread of its own, whose connections are closed afterwards."""
    found = []

    def run():
        try:
            found.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=20)
    [value] = found
    return value


@pytest.fixture
def pool_of():
    """Give the test database a pool of this size."""
    before = connection.settings_dict["OPTIONS"]

    def pool_of(size):
        connection.close()
        connection.settings_dict["OPTIONS"] = {**before, "pool": {"min_size": 1, "max_size": size, "timeout": 1.0}}

    yield pool_of
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
def test_the_size_of_a_pool_is_what_psycopg_makes_of_its_options(monkeypatch, pool, size):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {} if pool is None else {"pool": pool})
    assert get_pool_size("default") == size
    assert size is None or connection.pool.max_size == size
    if size is not None:
        connection.close_pool()


@only_postgres
def test_an_unpooled_connection_takes_none_from_the_pool_and_closes_its_socket(pool_of):
    pool_of(1)
    server_process()  # this thread has the only one
    own = copy_without_pool("default")
    with own.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    assert is_open(pid)
    own.close()
    until(lambda: not is_open(pid))
    assert connection.settings_dict["OPTIONS"]["pool"], "the site's own settings stay as they are"


@only_postgres
def test_a_thread_with_connections_of_its_own_leaves_the_pool_to_the_others(pool_of):
    pool_of(1)
    pooled = server_process()
    with use_own_connections():
        own = server_process()
        assert own != pooled
        assert in_a_thread(server_process) == pooled, "entering gave the pooled one back"
    until(lambda: not in_a_thread(lambda: is_open(own)))
    assert server_process() == pooled


@only_postgres
def test_inside_a_transaction_its_connection_stays(pool_of):
    pool_of(2)
    with transaction.atomic():
        pooled = server_process()
        with use_own_connections():
            assert server_process() == pooled
        return_connections_to_pools()
        assert server_process() == pooled


def test_without_a_pool_connections_stay_as_they_are():
    connection.ensure_connection()
    before = connection.connection
    with use_own_connections():
        assert connection.connection is before
    return_connections_to_pools()
    assert connection.connection is before


@only_postgres
def test_a_waiting_thread_can_give_its_connection_back(pool_of):
    pool_of(1)
    pooled = server_process()
    return_connections_to_pools()
    assert in_a_thread(server_process) == pooled


@only_postgres
def test_a_worker_starts_no_more_threads_than_the_pool_can_serve_and_says_which_setting(pool_of, caplog):
    pool_of(2)
    assert Worker(workers=5).workers == 2
    [warning] = caplog.messages
    assert "DATABASES['default']['OPTIONS']['pool']['max_size']" in warning
    assert "NOTIFICATIONS['WORKERS']" in warning


@only_postgres
def test_only_the_pool_of_our_own_database_limits_the_threads(pool_of, monkeypatch, settings):
    pool_of(5)
    reports = {**connections.settings["default"], "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}}}
    monkeypatch.setitem(connections.settings, "reports", reports)
    settings.NOTIFICATIONS = {"WORKERS": 5}
    # In a thread, because connections belong to threads: no later test meets the one to this database.
    assert in_a_thread(lambda: limit_threads_to_pool(5)) == 5
    assert "klaxon.W004" not in {message.id for message in in_a_thread(lambda: run_checks(None))}


@only_postgres
def test_a_pool_that_is_large_enough_is_not_spoken_of(pool_of, caplog):
    pool_of(2)
    assert limit_threads_to_pool(2) == 2
    assert caplog.messages == []


@only_postgres
@pytest.mark.parametrize("size", [1, 2])
def test_a_worker_beats_waits_and_delivers_with_the_smallest_pools(pool_of, settings, caplog, size):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "BEAT_SECONDS": 0.1, "IDLE_SECONDS": 0.1}
    users = UserFactory.create_batch(20)
    pool_of(size)
    worker = Worker(workers=2)
    thread = threading.Thread(target=worker.watch)
    thread.start()
    try:
        beats = in_own(lambda: Heartbeat.objects.values_list("beat_at", flat=True).first())
        began = until(beats)
        for user in users:
            in_own(lambda user=user: NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {}))()
        until(in_own(lambda: Delivery.objects.filter(state="sent").count() == 20))
        until(lambda: beats() > began)
    finally:
        worker.stop()
        thread.join(timeout=20)
    assert not thread.is_alive()
    assert "PoolTimeout" not in caplog.text
    assert worker.errors == 0


def in_own(work):
    """The same work on a connection outside the pool, so that the test takes none from the worker."""

    def run():
        with use_own_connections():
            return work()

    return run


def sqlite_error(code):
    cause = sqlite3.OperationalError()
    cause.sqlite_errorcode = code
    return cause


@pytest.mark.parametrize(
    ("error", "cause", "unable"),
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
def test_an_error_says_whether_the_database_or_the_statement_is_at_fault(error, cause, unable):
    raised = error("x")
    raised.__cause__ = cause
    assert is_temporary_failure(raised) is unable
