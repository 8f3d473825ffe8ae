"""Rows of the log and of the record of changed preferences are added and never changed or deleted."""

from contextlib import suppress
from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import TransactionTestCase

from notifications.exceptions import AppendOnlyViolation
from notifications.manager import NotificationManager
from notifications.models import (
    Cluster,
    Delivery,
    EscalationEntry,
    LogPersonal,
    Mute,
    Notification,
    NotificationLog,
    PreferenceChange,
    allow_log_changes,
)
from notifications.testing import capture_notifications
from tests import emptying
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

MODELS = [NotificationLog, LogPersonal, PreferenceChange]
CONTEXT = {"order_number": "7", "eta": None}
MIGRATION = import_module("notifications.migrations.0001_squashed_0023_http_api")
ESCALATION = import_module("notifications.migrations.0025_escalation")
ON_POSTGRESQL = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has the triggers")
ON_SQLITE = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="it concerns SQLite")

CHANGES = {
    "update()": lambda rows: rows.update(pk=0),
    "bulk_update()": lambda rows: rows.bulk_update(rows.all(), [rows.model._meta.fields[1].name]),
    "update_or_create()": lambda rows: rows.update_or_create(pk=rows.get().pk),
    "bulk_create(update_conflicts=True)": lambda rows: rows.bulk_create(
        rows.all(), update_conflicts=True, unique_fields=["pk"], update_fields=[rows.model._meta.fields[1].name]
    ),
    "delete()": lambda rows: rows.all().delete(),
    "_raw_delete()": lambda rows: rows.all()._raw_delete("default"),
    "save() of a stored row": lambda rows: rows.get().save(),
    "delete() of a row": lambda rows: rows.get().delete(),
}
SQL = ["UPDATE {table} SET {key} = {key}", "DELETE FROM {table}"]


@pytest.fixture
def user():
    return write_rows()


def write_rows():
    """Add a row to each of the tables, as the library does."""
    user = UserFactory()
    Mute(user=user, cluster=Cluster.objects.default(), kind="topic", value="sale").save(by=user)
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, CONTEXT, channels=["email"])
    captured.deliver()
    return user


def stored():
    return {model: list(model.objects.order_by("pk").values()) for model in MODELS}


def execute(sql, model=NotificationLog):
    with connection.cursor() as cursor:
        cursor.execute(sql.format(table=model._meta.db_table, key=model._meta.pk.column))
        return cursor.rowcount


def read_setting():
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('klaxon.log_changes', true), '')")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("change", CHANGES)
def test_the_models_refuse_every_change(user, change, model):
    before = stored()
    with pytest.raises(AppendOnlyViolation, match=r"allow_log_changes\(") as refused:
        CHANGES[change](model.objects)
    assert str(refused.value).startswith(f"{change.removesuffix(' of a row')} is refused: rows of {model.__name__}")
    assert stored() == before


@pytest.mark.parametrize("model", MODELS)
def test_the_base_managers_refuse_changes(user, model):
    with pytest.raises(AppendOnlyViolation):
        model._base_manager.update(pk=0)


def test_related_rows_refuse_changes(user):
    with pytest.raises(AppendOnlyViolation):
        LogPersonal.objects.get().log.delete()


@pytest.mark.parametrize("model", [NotificationLog, PreferenceChange])
def test_a_new_row_never_overwrites_another_with_its_key(user, model):
    before = stored()
    again = model(**model.objects.values().get())
    with pytest.raises(IntegrityError), transaction.atomic():
        again.save()
    with pytest.raises(AppendOnlyViolation):
        again.save(force_update=True)
    assert stored() == before


@ON_POSTGRESQL
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sql", SQL)
def test_postgresql_refuses_every_statement(user, sql, model):
    before = stored()
    message = "is refused: its rows are added and never changed"
    with pytest.raises(DatabaseError, match=message) as refused, transaction.atomic():
        execute(sql, model)
    assert "allow_log_changes()" in str(refused.value)
    assert stored() == before


@ON_POSTGRESQL
def test_no_trigger_runs_for_added_rows():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_object_table, event_manipulation FROM information_schema.triggers"
            " WHERE trigger_name = 'klaxon_append_only'"
        )
        found = set(cursor.fetchall())
    assert found == {
        (model._meta.db_table, event) for model in (*MODELS, EscalationEntry) for event in ("UPDATE", "DELETE")
    }


@ON_SQLITE
def test_sqlite_has_no_trigger_on_these_tables():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'")
        assert {name for (name,) in cursor.fetchall()}.isdisjoint(model._meta.db_table for model in MODELS)


class TestAllowing:
    def test_the_block_may_erase_and_purge(self, user):
        with allow_log_changes("erase"):
            LogPersonal.objects.update(address="")
            NotificationLog.objects.update(recipient_key="u:0")
            row = PreferenceChange.objects.get()
            row.subject = "u:0"
            row.save()
        assert (NotificationLog.objects.get().recipient_key, PreferenceChange.objects.get().subject) == ("u:0", "u:0")
        with allow_log_changes("purge"):
            NotificationLog.objects.all().delete()
            PreferenceChange.objects.get().delete()
        assert stored() == {model: [] for model in MODELS}

    @pytest.mark.parametrize("sql", SQL)
    def test_the_block_may_use_raw_sql(self, user, sql):
        with allow_log_changes("purge"):
            assert execute(sql, LogPersonal) == 1

    def test_changes_are_refused_again_after_the_block_within_a_transaction(self, user):
        with transaction.atomic():
            with allow_log_changes("purge"):
                LogPersonal.objects.all().delete()
            self.assert_refused()

    def test_a_block_in_a_block_does_not_end_the_outer_one(self, user):
        with allow_log_changes("purge"):
            with allow_log_changes("erase"):
                LogPersonal.objects.all().delete()
            NotificationLog.objects.all().delete()
        assert not NotificationLog.objects.exists()

    def test_a_failing_block_changes_nothing_and_ends_the_permission(self, user):
        before = stored()
        with suppress(ZeroDivisionError), allow_log_changes("purge"):
            NotificationLog.objects.all().delete()
            raise ZeroDivisionError
        assert stored() == before
        self.assert_refused()

    def test_a_database_error_in_the_block_is_raised_unchanged(self, user):
        with pytest.raises(DatabaseError, match="nowhere"), allow_log_changes("purge"):
            execute("DELETE FROM nowhere")
        self.assert_refused()

    def test_a_transaction_that_the_block_marks_for_rollback_is_rolled_back(self, user):
        before = stored()
        with allow_log_changes("purge"):
            NotificationLog.objects.all().delete()
            transaction.set_rollback(True)
        assert stored() == before
        self.assert_refused()

    def test_the_permission_applies_to_one_database_only(self, user):
        with allow_log_changes("purge"), pytest.raises(AppendOnlyViolation):
            NotificationLog.objects.using("other").all().delete()

    @ON_POSTGRESQL
    def test_the_setting_contains_the_purpose_while_the_block_runs(self):
        with allow_log_changes("purge"):
            with allow_log_changes("erase"):
                assert read_setting() == "erase"
            assert read_setting() == "purge"
        assert read_setting() == ""

    @pytest.mark.parametrize("purpose", ["", "  "])
    def test_a_purpose_is_required(self, purpose):
        with pytest.raises(ValueError, match="needs a purpose"), allow_log_changes(purpose):
            raise AssertionError("The block ran.")

    def assert_refused(self):
        with pytest.raises(AppendOnlyViolation):
            NotificationLog.objects.all().delete()
        if connection.vendor == "postgresql":
            assert read_setting() == ""
            with pytest.raises(DatabaseError), transaction.atomic():
                execute("DELETE FROM {table}")


@pytest.mark.django_db(transaction=True)
class TestTestsOfAHost:
    """Tests and operators of a site can still process whole tables."""

    def test_a_dump_is_loaded_into_an_empty_database(self, user, tmp_path):
        before = self.count_rows()
        dump = self.dump(tmp_path)
        call_command("flush", interactive=False, verbosity=0)
        assert set(self.count_rows().values()) == {0}
        call_command("loaddata", dump, verbosity=0)
        assert self.count_rows() == before

    @pytest.mark.parametrize("options", [{}, {"use_natural_foreign_keys": True}])
    def test_loading_a_dump_adds_missing_rows_to_existing_ones(self, user, tmp_path, options):
        before = stored()
        dump = self.dump(tmp_path, **options)
        with allow_log_changes("purge"):
            PreferenceChange.objects.all().delete()
        call_command("loaddata", dump, verbosity=0)
        after = stored()
        assert len(after.pop(PreferenceChange)) == len(before.pop(PreferenceChange)) == 1
        assert after == before

    def test_loading_a_dump_does_not_change_a_row(self, user, tmp_path):
        dump = self.dump(tmp_path)
        with allow_log_changes("test"):
            NotificationLog.objects.update(event="another_event")
        before = stored()
        with pytest.raises(AppendOnlyViolation, match=r"\(event\).*dumpdata --exclude klaxon.notificationlog"):
            call_command("loaddata", dump, verbosity=0)
        assert stored() == before

    def test_the_data_of_a_test_run_are_restored(self, user):
        # For serialized_rollback.
        before, data = self.count_rows(), connection.creation.serialize_db_to_string()
        call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
        connection.creation.deserialize_db_from_string(data)
        assert self.count_rows() == before

    def dump(self, folder, **options):
        path = str(folder / "dump.json")
        call_command("dumpdata", "klaxon", "auth.user", output=path, verbosity=0, **options)
        return path

    def count_rows(self):
        return {model: model.objects.count() for model in (*MODELS, Notification, Delivery)}


class TestBetweenTestCases(TransactionTestCase):
    """Both tests find empty tables, in any order, as in a site whose tests Django empties."""

    _fixture_teardown = emptying.flush

    def test_one(self):
        assert stored() == {model: [] for model in MODELS}
        write_rows()

    def test_two(self):
        self.test_one()


class LogElsewhereRouter:
    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return False if model_name in {"notificationlog", "preferencechange"} else None


@ON_POSTGRESQL
class TestTheMigration:
    def test_it_can_be_reversed_and_applied_again(self, user):
        self.run("drop_triggers")
        assert execute("DELETE FROM {table}", PreferenceChange) == 1
        self.run("create_triggers")
        with pytest.raises(DatabaseError, match="is refused"), transaction.atomic():
            execute("DELETE FROM {table}", LogPersonal)

    def test_it_ignores_tables_that_a_router_keeps_in_another_database(self, user, settings):
        self.run("drop_triggers")
        settings.DATABASE_ROUTERS = [LogElsewhereRouter()]
        self.run("create_triggers")
        assert execute("DELETE FROM {table}", PreferenceChange) == 1
        with pytest.raises(DatabaseError, match="is refused"), transaction.atomic():
            execute("DELETE FROM {table}", LogPersonal)

    def test_each_schema_has_its_own_triggers(self, user):
        self.run("drop_triggers")
        execute("CREATE SCHEMA tenant")
        for model in MODELS:
            execute("CREATE TABLE tenant.{table} (LIKE public.{table})", model)
        execute("SET LOCAL search_path = tenant, public")
        self.run("create_triggers")
        execute("INSERT INTO {table} SELECT * FROM public.{table}")
        with pytest.raises(DatabaseError, match="is refused"), transaction.atomic():
            execute("UPDATE {table} SET {key} = {key}")
        with allow_log_changes("purge"):
            assert execute("DELETE FROM {table}") == 1
        self.run("drop_triggers")
        execute("INSERT INTO {table} SELECT * FROM public.{table}")
        assert execute("DELETE FROM {table}") == 1

    def run(self, step):
        # This runs in the transaction of the test, which is rolled back.
        with connection.schema_editor(atomic=False) as editor:
            # A later migration has added a trigger that uses the same function, and is reversed first.
            ESCALATION.drop_trigger(apps, editor)
            getattr(MIGRATION, step)(apps, editor)
