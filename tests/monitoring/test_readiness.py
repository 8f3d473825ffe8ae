"""Ready answers within two seconds, whatever the database does, and asks it with one thread at a time."""

import gc
import socket
import sqlite3
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connection, connections
from django.test import Client

from notifications.monitoring import readiness
from tests.ports import find_free_port
from tests.processes import until

pytestmark = pytest.mark.django_db
LIVE, READY = "/notifications/health/live", "/notifications/health/ready"
on_postgres = pytest.mark.skipif("connection.vendor != 'postgresql'")
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'")


@pytest.fixture(autouse=True)
def fresh_answers():
    readiness.forget_answers()
    yield
    until(lambda: not list_threads(), 10)
    readiness.forget_answers()
    # sqlite3 leaves the object of a connection that it could not open, and Python 3.13 warns when it is collected.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def move_database(monkeypatch):
    """Let new connections lead elsewhere. That of the test is open already."""

    def move(**settings):
        for name, value in settings.items():
            monkeypatch.setitem(connections.settings["default"], name, value)
        readiness.forget_answers()

    return move


def list_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("klaxon-health")]


def ask(path=READY):
    """Return the status and the seconds that it took."""
    begun = time.monotonic()
    status = Client().get(path).status_code
    return status, time.monotonic() - begun


def assert_unavailable():
    status, seconds = ask()
    assert status == 503
    assert seconds < 2
    status, seconds = ask(LIVE)
    assert status == 200
    assert seconds < 0.5


def test_ready_with_a_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert Client().get(LIVE).json() == {"status": "live"}
        assert Client().get(READY).json() == {"status": "ready"}
    assert ask(READY)[0] == 200


def test_only_get_and_head_are_answered_and_nothing_is_kept():
    for path in (LIVE, READY):
        assert Client().post(path).status_code == 405
        head = Client().head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Cache-Control"] == "no-store"


def test_a_site_with_atomic_requests_and_a_login_everywhere(monkeypatch, settings, django_assert_num_queries):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    with django_assert_num_queries(0):
        assert ask(LIVE)[0] == ask(READY)[0] == 200


def test_a_driver_that_hangs_takes_one_thread_and_nobody_waits_longer(monkeypatch):
    released, calls = threading.Event(), []

    def hang(using):
        calls.append(using)
        released.wait(20)

    with monkeypatch.context() as patch:
        patch.setattr(readiness, "read_tables", hang)
        with ThreadPoolExecutor(12) as pool:
            answers = [*pool.map(lambda _: ask(), range(12))]
        assert {status for status, _seconds in answers} == {503}
        assert max(seconds for _status, seconds in answers) < 2
        # It hangs still, so there is nothing to wait for.
        assert ask()[1] < 0.5
        assert (len(calls), len(list_threads())) == (1, 1)
        released.set()
        until(lambda: not list_threads(), 10)
    readiness.forget_answers()
    assert ask()[0] == 200


def test_many_requests_ask_once_a_second(monkeypatch):
    calls, read_tables = [], readiness.read_tables
    monkeypatch.setattr(readiness, "read_tables", lambda using: (calls.append(using), read_tables(using)))
    assert {ask()[0] for _ in range(20)} == {200}
    assert len(calls) <= 2


def test_it_logs_when_the_database_goes_and_when_it_is_back(monkeypatch, caplog):
    caplog.set_level("INFO", "notifications.health")

    def fail(using):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(readiness, "read_tables", fail)
        assert [ask()[0] for _ in range(3)] == [503] * 3
    readiness.forget_answers()
    assert ask()[0] == 200
    assert [(record.levelname, "gone" in record.message) for record in caplog.records] == [
        ("ERROR", True),
        ("INFO", False),
    ]


def test_a_missing_column_is_not_ready(monkeypatch):
    """As on a server with new code, before ``migrate`` has run."""
    from notifications.models import Delivery

    monkeypatch.setattr(Delivery._meta.get_field("fence"), "column", "of_tomorrow")
    assert ask()[0] == 503


@on_postgres
def test_a_server_that_accepts_and_never_answers(move_database):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        move_database(HOST="127.0.0.1", PORT=silent.getsockname()[1])
        assert_unavailable()
        assert len(list_threads()) <= 1
        # The thread ends with the time limit of the connection, and not with the server.
        until(lambda: not list_threads(), 5)


@on_postgres
def test_a_server_that_is_down(move_database):
    move_database(HOST="127.0.0.1", PORT=find_free_port())
    assert_unavailable()


class FreezingProxy:
    """Passes on everything to PostgreSQL until a message contains ``word``, and then nothing."""

    def __init__(self, word):
        self.word, self.is_frozen = word, False
        found = connection.settings_dict
        self.address = f"{found['HOST']}/.s.PGSQL.{found.get('PORT') or 5432}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        for one in self.sockets:
            # A thread that reads would keep it open.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def accept(self):
        with suppress(OSError):
            while True:
                client, _address = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self.sockets += [client, server]
                server.connect(self.address)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    def pass_on(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                self.is_frozen = self.is_frozen or self.word in data
                if not self.is_frozen:
                    target.sendall(data)


@on_postgres
def test_a_server_that_freezes_in_a_statement_is_cut(move_database):
    with FreezingProxy(b"klaxon_delivery") as proxy:
        move_database(HOST="127.0.0.1", PORT=proxy.port, OPTIONS={"sslmode": "disable"})
        assert_unavailable()
        assert proxy.is_frozen
        # Django opens another connection to end the transaction, and that has a time limit.
        until(lambda: not list_threads(), 4)


@on_postgres
def test_a_locked_table_leaves_no_statement_behind_on_the_server():
    import psycopg

    found = connection.settings_dict
    with psycopg.connect(host=found["HOST"], user=found["USER"], dbname=found["NAME"]) as other:
        other.execute("LOCK TABLE klaxon_delivery IN ACCESS EXCLUSIVE MODE")
        assert_unavailable()
        until(lambda: not list_threads(), 5)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        assert other.execute(waiting, [found["NAME"]]).fetchone() == (0,)
        other.rollback()
    readiness.forget_answers()
    assert ask()[0] == 200


@on_sqlite
def test_a_locked_file(move_database, tmp_path):
    with sqlite3.connect(tmp_path / "locked.sqlite3", isolation_level=None) as other:
        other.execute("CREATE TABLE one (id int)")
        other.execute("BEGIN EXCLUSIVE")
        move_database(NAME=tmp_path / "locked.sqlite3")
        assert_unavailable()
    other.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@on_sqlite
def test_a_file_that_cannot_be_opened(move_database, tmp_path):
    move_database(NAME=tmp_path / "nowhere" / "db.sqlite3")
    assert_unavailable()
