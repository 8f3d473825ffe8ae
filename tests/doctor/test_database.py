"""The database is away, its tables are missing or damaged, and its options do not suit several processes."""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction

from notifications.core import clock
from notifications.models import NotificationLog
from notifications.monitoring.doctor import site as doctor_site
from notifications.monitoring.doctor.examinations import EXAMINATIONS
from notifications.storage.sqlite import SQLiteEngine
from tests.doctor.diagnosing import diagnose, find_faults, list_faults
from tests.doctor.test_ten_breaks import execute, run_remedy
from tests.factories import ClusterFactory
from tests.poolers import pgbouncer
from tests.spool.outage import outage

ON_SQLITE, ON_POSTGRES = (
    pytest.mark.skipif(f"connection.vendor == {other!r}", reason="It is about the other database.")
    for other in ("postgresql", "sqlite")
)


@pytest.mark.django_db(transaction=True)
def test_without_the_database_the_rest_is_examined():
    names = ["settings", "database", "migrations", "templates", "rotas", "queue"]
    with outage():
        code, results = diagnose(*names)
    found = {result["examination"]: result for result in results}
    assert (code, list(found)) == (1, names)
    assert found["database"]["status"] == "error"
    assert "DATABASES['default']" in found["database"]["remedy"]
    assert {found[name]["status"] for name in ("migrations", "rotas", "queue")} == {"not checked"}
    assert found["templates"]["status"] == "ok"


@pytest.mark.django_db
def test_a_database_that_does_not_answer_stops_nothing(monkeypatch):
    monkeypatch.setattr(doctor_site, "DATABASE_SECONDS", 0.01)
    monkeypatch.setattr(doctor_site.Site, "_connect", lambda self: clock.time.sleep(0.2))
    found = find_faults("database", "queue")
    assert "did not answer within 0.01 seconds" in found["database"]["detail"]
    assert found["queue"]["status"] == "not checked"


@contextmanager
def renamed(table):
    execute(f"ALTER TABLE {table} RENAME TO klaxon_gone")
    try:
        yield
    finally:
        execute(f"ALTER TABLE klaxon_gone RENAME TO {table}")


@pytest.mark.django_db(transaction=True)
def test_without_a_table_the_rest_is_examined():
    with renamed("klaxon_pause"):
        code, results = diagnose("schema", "pauses", "workers")
    found = {result["name"]: result for result in results}
    assert code == 1
    assert found["table klaxon_pause"]["remedy"].startswith("Run `manage.py migrate`.")
    assert (found["pauses"]["status"], found["pauses"]["remedy"]) == ("not checked", "Run `manage.py migrate`.")
    assert found["workers"]["status"] != "not checked"


@pytest.mark.django_db
def test_a_missing_column_is_reported():
    execute("ALTER TABLE klaxon_pause RENAME COLUMN note TO words")
    assert list(find_faults("schema")) == ["column klaxon_pause.note"]


@pytest.mark.django_db
def test_an_index_of_a_field_is_reported_with_its_sql():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "klaxon_notification")
    names = [name for name, one in found.items() if one["columns"] == ["correlation_id"] and one["index"]]
    for name in names:
        execute(f'DROP INDEX "{name}"')
    [fault] = list_faults("schema")
    assert fault["name"] == "index on klaxon_notification.correlation_id"
    run_remedy(fault["remedy"])
    assert list_faults("schema") == []


@pytest.mark.django_db
@ON_POSTGRES
def test_a_dropped_constraint_is_reported_with_its_sql():
    execute("ALTER TABLE klaxon_delivery DROP CONSTRAINT klaxon_delivery_once")
    [fault] = list_faults("schema")
    assert fault["name"] == "constraint klaxon_delivery_once"
    run_remedy(fault["remedy"])
    assert list_faults("schema") == []


@pytest.mark.django_db
@ON_POSTGRES
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER klaxon_append_only ON klaxon_notificationlog",
        "ALTER TABLE klaxon_notificationlog DISABLE TRIGGER klaxon_append_only",
    ],
)
def test_a_trigger_of_the_log_that_does_nothing_is_reported(statement):
    execute(statement)
    [fault] = list_faults("schema")
    assert fault["name"] == "trigger klaxon_append_only"
    assert "klaxon_notificationlog" in fault["remedy"]
    if "DISABLE" in statement:
        return
    run_remedy(fault["remedy"])
    assert list_faults("schema") == []
    NotificationLog.objects.create(kind="note", event="x", recipient_key="u:1", channel="log", sent_at=clock.now())
    with pytest.raises(Exception, match="added and never changed"), transaction.atomic():
        execute("UPDATE klaxon_notificationlog SET event = 'y'")


@pytest.mark.django_db(transaction=True)
@ON_POSTGRES
def test_an_index_whose_creation_has_failed_is_reported():
    ClusterFactory.create_batch(2)
    with pytest.raises(IntegrityError):
        execute("CREATE UNIQUE INDEX CONCURRENTLY klaxon_invalid ON klaxon_cluster (open_to_all)")
    try:
        [fault] = list_faults("schema")
        assert fault["name"] == "index klaxon_invalid"
        assert "REINDEX INDEX CONCURRENTLY klaxon_invalid;" in fault["remedy"]
    finally:
        execute("DROP INDEX klaxon_invalid")


@pytest.mark.django_db
@ON_SQLITE
def test_triggers_of_the_search_are_reported_with_their_sql():
    names = [f"klaxon_inbox_search_{name}" for name in ("add", "change", "remove")]
    read = f"SELECT sql FROM sqlite_master WHERE name IN {tuple(names)} ORDER BY name"
    before = fetch(read)
    for name in names:
        execute(f"DROP TRIGGER {name}")
    found = find_faults("schema")
    assert set(found) == {f"trigger {name}" for name in names}
    for fault in found.values():
        run_remedy(fault["remedy"])
    assert list(map(remove_spaces, fetch(read))) == list(map(remove_spaces, before))


def remove_spaces(text):
    return "".join(text.split())


def fetch(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.django_db
@ON_SQLITE
def test_options_of_sqlite_that_lose_data_or_block_are_reported(monkeypatch):
    assert list_faults("sqlite") == []
    options = {"journal_mode": "delete", "synchronous": 0, "busy_timeout": 100, "foreign_keys": 0}
    monkeypatch.setattr(SQLiteEngine, "read_options", lambda self: options)
    found = find_faults("sqlite")
    assert {name.split()[1]: one["status"] for name, one in found.items()} == {
        "journal_mode": "error",
        "synchronous": "error",
        "busy_timeout": "warning",
        "foreign_keys": "error",
    }
    assert all(one["remedy"] for one in found.values())


@pytest.mark.django_db
@ON_SQLITE
def test_the_options_are_those_of_the_connection():
    execute("PRAGMA busy_timeout = 1")
    try:
        assert list(find_faults("sqlite")) == ["sqlite busy_timeout"]
    finally:
        execute("PRAGMA busy_timeout = 30000")


@pytest.mark.django_db
@ON_POSTGRES
def test_connections_that_run_out_are_reported(monkeypatch):
    from notifications.storage.postgres import PostgresEngine

    assert list_faults("pool") == []
    monkeypatch.setattr(PostgresEngine, "count_connections", lambda self: (95, 100))
    [fault] = list_faults("pool")
    assert (fault["status"], fault["name"]) == ("warning", "connections")
    assert "max_connections" in fault["remedy"]


@pytest.mark.django_db(transaction=True)
@ON_POSTGRES
@pytest.mark.needs_program("pgbouncer")
@pytest.mark.needs("psycopg")
def test_a_pooler_that_loses_notifications_is_reported():
    assert list_faults("listen") == []
    with TemporaryDirectory() as folder, pgbouncer(open_to_others(folder)) as place:
        before = {name: connection.settings_dict[name] for name in place}
        connection.close()
        connection.settings_dict.update(place)
        try:
            [fault] = list_faults("listen")
        finally:
            connection.close()
            connection.settings_dict.update(before)
    assert fault["status"] == "warning"
    assert "session mode" in fault["remedy"]


def open_to_others(folder):
    """Return the path for PgBouncer, which runs as another user."""
    Path(folder).chmod(0o755)
    return Path(folder) / "pooler"


def test_only_what_needs_the_database_waits_for_it():
    assert {one.name for one in EXAMINATIONS if not one.needs_database} == {
        "settings",
        "database",
        "redis",
        "celery",
        "tasks",
        "channels",
        "mail",
        "templates",
    }


@pytest.mark.django_db
def test_settings_of_the_database_without_a_name_stop_nothing(monkeypatch):
    def fail(self):
        raise ImproperlyConfigured("Please supply the NAME.")

    monkeypatch.setattr(doctor_site.Site, "_connect", fail)
    found = find_faults("database", "queue")
    assert "Please supply the NAME." in found["database"]["detail"]
    assert found["queue"]["status"] == "not checked"
