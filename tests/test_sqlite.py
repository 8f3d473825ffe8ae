"""The options of SQLite have effect, and the database of a running site can be copied."""

import sqlite3
import threading
from contextlib import closing, contextmanager

import pytest
from django.db import OperationalError, connection, connections
from django.db.utils import ConnectionHandler

from notifications.checks import databases
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.sqlite import tuned
from tests.factories import UserFactory
from tests.processes import finished, smtp_ledger, start
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite")


@pytest.fixture
def open_database(tmp_path):
    """Return a function that opens a file as Django does."""
    handlers = []

    def open_database(**options):
        handlers.append(ConnectionHandler({"default": tuned(tmp_path / "site.sqlite3", **options)}))
        return handlers[-1]["default"]

    yield open_database
    for handler in handlers:
        handler.close_all()


@contextmanager
def begin(database):
    """Begin a transaction as ``atomic()`` does."""
    database.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    yield
    database.commit()
    database.set_autocommit(True)


def pragma(database, name):
    with database.cursor() as cursor:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_the_options_have_effect(open_database, durable, synchronous):
    names = ("journal_mode", "synchronous", "cache_size", "wal_autocheckpoint", "auto_vacuum", "busy_timeout")
    database = open_database(durable=durable)
    assert [pragma(database, name) for name in names] == ["wal", synchronous, -64000, 1000, 2, 20000]


def test_a_transaction_holds_the_lock_from_its_beginning(open_database):
    one, other = open_database(), open_database(busy_seconds=0)
    # Done first, because Django leaves a connection open if setting it up fails.
    other.ensure_connection()
    with begin(one), pytest.raises(OperationalError, match="locked"), begin(other):
        pass


def test_freed_pages_can_be_released(open_database):
    database = open_database()
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE freight (words)")
        cursor.execute("INSERT INTO freight VALUES (zeroblob(1000000))")
        cursor.execute("DELETE FROM freight")
        assert pragma(database, "freelist_count") > 200
    # As the shell does. execute() would stop it after the first page.
    database.connection.executescript("PRAGMA incremental_vacuum")
    assert pragma(database, "freelist_count") == 0


def test_opening_an_existing_file_neither_writes_nor_waits(open_database):
    """The pragma for incremental vacuum would write and wait in each new connection."""
    first = open_database()
    with first.cursor() as cursor:
        cursor.execute("CREATE TABLE freight (words)")
    before = pragma(first, "data_version")
    with begin(first):
        assert pragma(open_database(busy_seconds=0), "journal_mode") == "wal"
    assert pragma(first, "data_version") == before


@pytest.mark.parametrize("name", ["file:memory?mode=memory", ":memory:"])
def test_names_other_than_plain_files_are_accepted(name):
    assert "journal_mode=WAL" in tuned(name)["OPTIONS"]["init_command"]


def test_the_checks_report_nothing():
    assert list(databases._find_missing_options(tuned("db.sqlite3")["OPTIONS"])) == []


def by_vacuum(copy):
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(copy)])


def by_backup(copy):
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


@on_sqlite
@pytest.mark.parametrize("back_up", [by_vacuum, by_backup])
def test_a_copy_of_a_running_site_is_complete_and_a_worker_can_continue_from_it(tmp_path, back_up):
    copy, users = tmp_path / "copy.sqlite3", UserFactory.create_batch(5)
    NotificationManager.send(ShopEvents.NEWSLETTER, users)
    enough = threading.Event()

    def go_on_sending():
        while not enough.is_set():
            NotificationManager.send(ShopEvents.NEWSLETTER, users)
        connections.close_all()

    sender = threading.Thread(target=go_on_sending)
    sender.start()
    back_up(copy)
    enough.set()
    sender.join()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        count = connection.execute("SELECT count(*) FROM klaxon_notification").fetchone()[0]
    assert count >= 1
    ledger = tmp_path / "ledger"
    with smtp_ledger(ledger) as port:
        output = finished(start("dispatch_notifications", port=port, KLAXON_DATABASE_NAME=str(copy)))
    assert f"{count * 5} deliveries: {count * 5} sent." in output, "no notification without its deliveries"
    assert len(ledger.read_text().splitlines()) == count * 5
    assert not Delivery.objects.filter(state="sent").exists(), "the site itself was not touched"
