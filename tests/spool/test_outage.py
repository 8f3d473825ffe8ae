"""``send()`` while the database cannot be reached: the call is spooled, or the error is raised."""

import sqlite3
from datetime import UTC, date, datetime
from types import SimpleNamespace

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections, transaction

from notifications.core.databases import is_in_transaction
from notifications.exceptions import InvalidContext, KlaxonError, UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Notification
from notifications.recipients import Members
from notifications.storage.engine import get_engine
from notifications.storage.postgres import PostgresEngine
from notifications.storage.sqlite import SQLiteEngine
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SHIPPED = {"order_number": "7", "eta": date(2026, 11, 20)}


def send(recipients, event=ShopEvents.ORDER_SHIPPED, context=SHIPPED, cluster=None, **options):
    return NotificationManager.send(event, recipients, cluster, context, **options)


@pytest.fixture
def user():
    return UserFactory()


class TestResult:
    def test_a_spooled_result_is_true(self, spool, user):
        with outage():
            result = send([user])
        assert (result.spooled, result.notification_id, bool(result)) == (True, None, True)
        assert (result.queued, result.held, result.dropped, list(result.outcomes())) == (0, 0, 0, [])

    def test_the_result_names_an_unconfigured_channel(self, spool, user, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"app": {"ENABLED": False}}}
        with outage():
            result = send([user], channels=["email", "app"])
        assert result.refused_channels == ("app",)
        assert not result

    def test_a_wrong_context_is_spooled_and_the_result_is_false_if_it_is_logged(self, spool, user, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ON_BAD_CALL": "log"}
        with outage():
            result = send([user], context={"eta": None})
        assert (result.spooled, bool(result), result.problems) == (True, False, ("'order_number' is missing.",))

    def test_nothing_is_spooled_while_the_database_is_available(self, spool, spooled, user):
        result = send([user])
        assert (result.spooled, result.duplicate, result.queued) == (False, False, 2)
        assert spooled() == []

    def test_a_spooled_call_is_logged(self, spool, user, caplog):
        with outage():
            send([user])
        [record] = [record for record in caplog.records if record.name == "notifications.spool"]
        assert "'order_shipped' is spooled" in record.getMessage()


class TestNotSpooled:
    def test_without_a_folder_the_error_is_raised(self, user):
        with outage(), pytest.raises(OperationalError):
            send([user])

    def test_in_a_transaction_the_error_is_raised(self, spool, spooled, user):
        def lose_the_connection_halfway():
            with transaction.atomic():
                UserFactory()
                connection.connection.close()
                send([user])

        with pytest.raises(DatabaseError):
            lose_the_connection_halfway()
        connection.close()
        assert spooled() == []
        assert User.objects.count() == 1

    def test_a_transaction_that_the_host_manages_counts(self, monkeypatch):
        User.objects.exists()
        assert not is_in_transaction("default")
        connection.set_autocommit(False)
        assert is_in_transaction("default")
        connection.set_autocommit(True)
        assert not is_in_transaction("default")
        connection.close()
        assert not is_in_transaction("default")
        monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
        assert is_in_transaction("default"), "whatever it does next"

    @pytest.mark.parametrize(
        ("error", "wrong"),
        [(UnknownEvent, {"event": "order_shiped"}), (InvalidContext, {"context": {}})],
    )
    def test_a_wrong_call_raises_its_error(self, spool, spooled, user, error, wrong):
        with outage(), pytest.raises(error):
            send([user], **wrong)
        assert spooled() == []

    @pytest.mark.parametrize(
        "unknowable",
        [
            lambda user: User.objects.all(),
            lambda user: [user, User.objects.filter(is_staff=True)],
        ],
    )
    def test_recipients_that_need_the_database_raise_its_error(self, spool, spooled, user, caplog, unknowable):
        with outage(), pytest.raises(OperationalError) as raised:
            send(unknowable(user))
        assert "could not be spooled" in raised.value.__notes__[0]
        assert "cannot be spooled" in caplog.text
        assert spooled() == []

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda user: Members(SimpleNamespace(pk=5)),
            lambda user: [user, "ann"],
            lambda user: [User()],
            lambda user: None,
        ],
    )
    def test_wrong_recipients_are_an_error_during_an_outage_too(self, spool, spooled, user, wrong):
        with outage(), pytest.raises(KlaxonError):
            send(wrong(user))
        assert spooled() == []

    def test_a_spool_that_cannot_be_written_raises_the_error_of_the_database(self, user, settings, tmp_path):
        (tmp_path / "file").touch()
        settings.NOTIFICATIONS = {"SPOOL_DIR": str(tmp_path / "file" / "spool")}
        with outage(), pytest.raises(OperationalError) as raised:
            send([user])
        assert "could not be spooled" in raised.value.__notes__[0]

    def test_an_error_of_the_database_is_no_outage(self, spool, spooled, user):
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE klaxon_delivery RENAME TO klaxon_elsewhere")
        try:
            with pytest.raises(DatabaseError):
                send([user])
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE klaxon_elsewhere RENAME TO klaxon_delivery")
        assert spooled() == []


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite")
def test_a_file_that_is_locked_for_too_long_is_an_outage(spool, spooled, user, monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)
    connection.close()
    holder = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert send([user]).spooled
    finally:
        holder.close()
        connection.close()
    assert len(spooled()) == 1


class TestContactLost:
    def test_a_connection_that_died_before_is_no_outage(self, spool, spooled, user):
        """As after a restart of the server: the first statement fails, but the next connection works."""
        if connection.vendor == "sqlite":
            pytest.skip("A file has no such connections.")
        User.objects.exists()
        other = connections.create_connection("default")
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
        other.close()
        result = send([user])
        assert (result.spooled, result.queued, result.duplicate) == (False, 2, False)
        assert spooled() == []

    def test_a_call_that_was_committed_although_contact_was_lost_is_queued_once(
        self, spool, spooled, user, monkeypatch
    ):
        """The server commits and its answer is lost. Only a patch can do this at the right moment."""
        wrapper = type(connections["default"])
        commit = wrapper._commit
        errors = {
            "postgresql": psycopg.OperationalError("server closed the connection unexpectedly"),
            "sqlite": sqlite3.OperationalError("disk I/O error"),
        }
        errors["sqlite"].sqlite_errorcode = sqlite3.SQLITE_IOERR
        lost = [errors[connection.vendor]]

        def commit_and_lose_contact(self):
            commit(self)
            if lost:
                with self.wrap_database_errors:
                    raise lost.pop()

        monkeypatch.setattr(wrapper, "_commit", commit_and_lose_contact)
        result = send(one for one in [user])
        if connection.vendor == "postgresql":
            assert (result.spooled, result.duplicate, result.queued) == (False, False, 2), "the second try found it"
        else:
            [record] = spooled()
            assert result.spooled
            assert record["recipients"]["users"] == [user.pk], "the first try had used the generator up"
            assert Notification.objects.get().idempotency_key == record["options"]["idempotency_key"]
        assert Notification.objects.count() == 1

    def test_the_next_send_opens_a_new_connection(self, spool, user):
        with outage():
            assert send([user]).spooled
        assert send([user]).queued == 2


class CodedError(psycopg.OperationalError):
    """An error of the server with its code."""

    def __init__(self, sqlstate):
        super().__init__()
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "away"),
    [
        (None, True),
        ("08006", True),
        ("57P01", True),
        ("57P03", True),
        ("53300", True),
        ("53100", False),
        ("40P01", False),
        ("55P03", False),
        ("57014", False),
    ],
)
def test_postgresql_outages_are_detected_by_error_code(sqlstate, away):
    error = OperationalError()
    error.__cause__ = CodedError(sqlstate)
    assert PostgresEngine("default").is_unreachable(error) is away


@pytest.mark.parametrize(
    ("code", "away"),
    [
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_ERROR, False),
        (sqlite3.SQLITE_READONLY, False),
    ],
)
def test_sqlite_outages_are_detected_by_error_code(code, away):
    error = OperationalError()
    error.__cause__ = sqlite3.OperationalError()
    error.__cause__.sqlite_errorcode = code
    assert SQLiteEngine("default").is_unreachable(error) is away


@pytest.mark.usefixtures("mysql_database")
def test_errors_of_other_databases_are_no_outage():
    assert not get_engine("default").is_unreachable(InterfaceError())
