"""SQLite tuned for an outbox: the values take hold, and a copy can be taken from a running site."""

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
def opened(tmp_path):
    """Open a file as Django does, as often as you like."""
    handlers = []

    def opened(**options):
        handlers.append(ConnectionHandler({"default": tuned(tmp_path / "site.sqlite3", **options)}))
        return handlers[-1]["default"]

    yield opened
    for handler in handlers:
        handler.close_all()


@contextmanager
def begun(database):
    """A transaction, begun as ``atomic()`` begins it."""
    database.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    yield
    database.commit()
    database.set_autocommit(True)


def pragma(database, name):
    with database.cursor() as cursor:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_the_values_take_hold(opened, durable, synchronous):
    names = ("journal_mode", "synchronous", "cache_size", "wal_autocheckpoint", "auto_vacuum", "busy_timeout")
    database = opened(durable=durable)
    assert [pragma(database, name) for name in names] == ["wal", synchronous, -64000, 1000, 2, 20000]


def test_a_transaction_holds_the_lock_from_its_beginning(opened):
    one, other = opened(), opened(busy_seconds=0)
    # Beforehand: Django leaves a connection open that fails while it is set up.
    other.ensure_connection()
    with begun(one), pytest.raises(OperationalError, match="locked"), begun(other):
        pass


def test_what_is_freed_can_be_given_back(opened):
    database = opened()
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE freight (words)")
        cursor.execute("INSERT INTO freight VALUES (zeroblob(1000000))")
        cursor.execute("DELETE FROM freight")
        assert pragma(database, "freelist_count") > 200
    # As the shell does; execute() would end it after the first page.
    database.connection.executescript("PRAGMA incremental_vacuum")
    assert pragma(database, "freelist_count") == 0


def test_opening_a_file_that_exists_writes_nothing_and_waits_for_nobody(opened):
    """The pragma for incremental vacuum would, with every connection."""
    first = opened()
    with first.cursor() as cursor:
        cursor.execute("CREATE TABLE freight (words)")
    before = pragma(first, "data_version")
    with begun(first):
        assert pragma(opened(busy_seconds=0), "journal_mode") == "wal"
    assert pragma(first, "data_version") == before


@pytest.mark.parametrize("name", ["file:memory?mode=memory", ":memory:"])
def test_what_is_no_plain_file_can_be_named_too(name):
    assert "journal_mode=WAL" in tuned(name)["OPTIONS"]["init_command"]


def test_the_checks_have_nothing_to_say_about_it():
    assert list(databases._find_missing_options(tuned("db.sqlite3")["OPTIONS"])) == []


def by_vacuum(copy):
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(copy)])


def by_backup(copy):
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


@on_sqlite
@pytest.mark.parametrize("back_up", [by_vacuum, by_backup])
def test_a_copy_of_a_running_site_is_whole_and_a_worker_can_go_on_from_it(tmp_path, back_up):
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
    with closing(sqlite3.connect(copy)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        count = opened.execute("SELECT count(*) FROM klaxon_notification").fetchone()[0]
    assert count >= 1
    ledger = tmp_path / "ledger"
    with smtp_ledger(ledger) as port:
        said = finished(start("dispatch_notifications", port=port, KLAXON_DATABASE_NAME=str(copy)))
    assert f"{count * 5} deliveries: {count * 5} sent." in said, "no notification without its deliveries"
    assert len(ledger.read_text().splitlines()) == count * 5
    assert not Delivery.objects.filter(state="sent").exists(), "the site itself was not touched"
