"""What both engines must do, tested on real rows of the database of this run."""

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections, transaction

from notifications.models import Bucket, Fingerprint, InboxItem, NotificationLog, UserSettings
from notifications.storage.engine import Column, Engine, InsertTarget, get_engine, prepare_time
from notifications.storage.postgres import COPY_THRESHOLD, PostgresEngine
from notifications.storage.sqlite import BATCH_SIZES, SQLiteEngine
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.spool.outage import outage

pytestmark = pytest.mark.django_db

ATTRIBUTES = sorted(set(Engine.__annotations__) - {"using"})
METHODS = sorted(Engine.__abstractmethods__)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEXTS = ["", "null", "NULL", "a,b", '"', "\\", "{", "}", " x ", "é", "ａ", "tab\t", "line\n", "a'b", "%s", "\\N"]
FINGERPRINTS = InsertTarget(
    "klaxon_fingerprint", ("key", "notification_id", "first_at", "until"), (("recipient_key", ""), ("folded", 0))
)


@pytest.fixture
def engine():
    return get_engine("default")


@pytest.fixture
def buckets():
    return [Bucket.objects.create(key=key, full_at=NOON, seen_at=NOON, promised_at=NOON) for key in "abc"]


def fetch(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def execute(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.rowcount


def fingerprint(number):
    noon = prepare_time(connection, NOON)
    return (f"key{number}", number, noon, noon)


class TestInterface:
    @pytest.mark.parametrize("implementation", [PostgresEngine, SQLiteEngine])
    @pytest.mark.parametrize("name", ATTRIBUTES + METHODS)
    def test_both_engines_implement_everything(self, implementation, name):
        assert hasattr(implementation, name)
        assert name not in implementation.__abstractmethods__

    @pytest.mark.parametrize("name", ATTRIBUTES + METHODS)
    def test_everything_is_tested_here(self, name):
        assert f"engine.{name}" in Path(__file__).read_text()

    def test_it_is_the_engine_of_the_database(self, engine):
        assert type(engine) is {"postgresql": PostgresEngine, "sqlite": SQLiteEngine}[connection.vendor]
        assert engine.connection is connections["default"]
        assert get_engine("default") is engine

    @pytest.mark.usefixtures("mysql_database")
    def test_a_database_of_another_kind_has_no_time_of_its_own(self):
        assert get_engine("default").server_time is None


class TestRows:
    def test_rows_arrive_unchanged_and_in_their_order(self, engine):
        rows = [(number, text, None if number % 2 else "x") for number, text in enumerate(TEXTS)]
        sql, params = engine.row_source(rows, ("bigint", "text", "text"))
        assert fetch(sql, params) == rows

    def test_rows_can_be_joined_with_a_table(self, engine, buckets):
        later = NOON + timedelta(hours=1)
        rows = [("a", prepare_time(connection, later)), ("c", prepare_time(connection, later))]
        sql, params = engine.row_source(rows, ("text", "timestamptz"))
        execute(
            f"WITH given(one, two) AS ({sql}) UPDATE klaxon_bucket SET full_at = two FROM given WHERE key = one", params
        )
        assert dict(Bucket.objects.values_list("key", "full_at")) == {"a": later, "b": NOON, "c": later}

    def test_a_mapping_arrives_in_its_order(self, engine):
        mapping = {f"f{number}": text for number, text in reversed([*enumerate(TEXTS)])}
        sql, params = engine.mapping_source(mapping, "one", "two")
        assert fetch(f"SELECT one, two FROM {sql}", params) == [*mapping.items()]

    def test_a_mapping_can_be_inserted_where_keys_conflict(self, engine, buckets):
        sql, params = engine.mapping_source({"b": "x", "d": "y"}, "one", "two")
        inserted = execute(
            f"""INSERT INTO klaxon_bucket (key, full_at, seen_at, promised_at)
            SELECT one, %s, %s, %s FROM {sql} WHERE 1 = 1 ON CONFLICT (key) DO NOTHING""",
            [*[prepare_time(connection, NOON)] * 3, *params],
        )
        assert (inserted, Bucket.objects.count()) == (1, 4)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("bigint", [1, -2, 2**40]), ("bigint", []), ("text", TEXTS), ("text", ["u:1", "a:f0"]), ("text", [])],
)
class TestArrays:
    def test_values_arrive_unchanged(self, engine, kind, values):
        rows = fetch(engine.array_rows(kind), [engine.array_parameter(values)])
        assert [value for (value,) in rows] == values

    def test_the_condition_is_true_for_the_values_only(self, engine, kind, values):
        candidates = [*values, 7 if kind == "bigint" else "b"]
        source, params = engine.row_source([(value,) for value in candidates], [kind])
        sql = f"WITH given(one) AS ({source}) SELECT one FROM given WHERE one {engine.in_array(kind)}"
        assert [value for (value,) in fetch(sql, [*params, engine.array_parameter(values)])] == values


class TestJson:
    def test_an_array_contains_the_values_and_texts_of_json(self, engine):
        UserSettingsFactory(channels={"email": [True, 'a "b"']})
        array = engine.json_array("id", "NULL", "'é'", engine.json_column_to_text("channels"))
        [[text]] = fetch(f"SELECT {engine.json_to_text(array)} FROM klaxon_usersettings")
        pk, nothing, letter, channels = json.loads(text)
        assert (pk, nothing, letter) == (UserSettings.objects.get().pk, None, "é")
        assert json.loads(channels) == {"email": [True, 'a "b"']}

    def test_an_aggregate_contains_a_value_for_each_row(self, engine, buckets):
        rows = engine.json_to_text(engine.json_aggregate(engine.json_array("id", "key")))
        [[text]] = fetch(f"SELECT {rows} FROM klaxon_bucket")
        assert sorted(json.loads(text)) == [[bucket.pk, bucket.key] for bucket in buckets]

    def test_an_aggregate_of_no_rows_is_empty_or_null(self, engine):
        [[text]] = fetch(f"SELECT {engine.json_to_text(engine.json_aggregate('id'))} FROM klaxon_bucket")
        assert json.loads(text or "[]") == []

    def test_an_aggregate_within_an_array_is_a_text(self, engine, buckets):
        keys = f"(SELECT {engine.json_to_text(engine.json_aggregate('key'))} FROM klaxon_bucket)"
        [[text]] = fetch(f"SELECT {engine.json_to_text(engine.json_array('1', keys))}")
        number, inner = json.loads(text)
        assert (number, sorted(json.loads(inner))) == (1, ["a", "b", "c"])


class TestInserts:
    def test_a_single_row_is_inserted(self, engine):
        sql = f"INSERT INTO auth_group (name) {engine.single_row('%s')} RETURNING id, name"
        assert fetch(sql, ["night"]) == [(Group.objects.get().pk, "night")]

    @pytest.mark.parametrize("count", [0, 1, COPY_THRESHOLD, COPY_THRESHOLD + 1, sum(BATCH_SIZES) + 1])
    def test_any_number_of_rows_is_inserted_with_the_constants(self, engine, count):
        engine.insert_rows(FINGERPRINTS, [fingerprint(number) for number in range(count)])
        rows = Fingerprint.objects.order_by("notification_id").values_list("key", "first_at", "recipient_key", "folded")
        assert [*rows] == [(f"key{number}", NOON, "", 0) for number in range(count)]

    @pytest.mark.parametrize("count", [1, COPY_THRESHOLD + 1])
    def test_a_conflict_raises_an_error_of_django(self, engine, count):
        rows = [fingerprint(number) for number in range(count)]
        with pytest.raises(IntegrityError), transaction.atomic():
            engine.insert_rows(FINGERPRINTS, [*rows, rows[0]])
        assert not Fingerprint.objects.exists()

    @pytest.mark.parametrize("count", [1, COPY_THRESHOLD + 1])
    def test_texts_arrive_unchanged(self, engine, count):
        target = InsertTarget("auth_group", ("name",))
        engine.insert_rows(target, [(f"{number}{''.join(TEXTS)}",) for number in range(count)])
        assert set(Group.objects.values_list("name", flat=True)) == {f"{n}{''.join(TEXTS)}" for n in range(count)}

    @pytest.mark.parametrize("count", [1, 12, 111])
    def test_rows_get_their_own_details(self, engine, count):
        Group.objects.create(name="before")
        names = [f"group{number}" for number in range(count)]
        permissions = [*Permission.objects.order_by("pk")[:10]]
        wanted = [permissions[number % 10] if number % 3 else None for number in range(count)]
        columns = [Column("name", "varchar(150)", names)]
        details = [Column("permission_id", "integer", [permission and permission.pk for permission in wanted])]
        engine.insert_with_details("auth_group", columns, "auth_group_permissions", "group_id", details)
        groups = Group.objects.exclude(name="before").prefetch_related("permissions")
        assert {group.name: [*group.permissions.all()] for group in groups} == {
            name: [permission] if permission else [] for name, permission in zip(names, wanted, strict=True)
        }
        Group.objects.create(name="after")

    def test_with_may_contain_an_insert_only_if_the_engine_says_so(self, engine):
        sql = "WITH made AS (INSERT INTO auth_group (name) VALUES ('night') RETURNING id) SELECT id::text FROM made"
        if engine.can_write_in_with:
            assert fetch(sql) == [(str(Group.objects.get().pk),)]
        else:
            with pytest.raises(OperationalError), transaction.atomic():
                fetch(sql)


class TestServer:
    def test_the_time_of_a_server_passes_within_a_transaction(self, engine):
        assert (engine.server_time is not None) == engine.has_server
        if engine.server_time is None:
            return
        read = [fetch(f"SELECT {engine.server_time}")[0][0] for _ in range(2)]
        assert read[0] < read[1]
        assert abs(read[0] - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_join_is_preferred_only_if_there_is_a_server(self, engine):
        assert engine.prefers_subqueries is not engine.has_server

    def test_texts_are_ordered_as_in_python(self, engine):
        keys = ["b", "a", "B", "Z", "ä", "_", "é", "1"]
        for key in keys:
            Session.objects.create(session_key=key, expire_date=NOON)
        ordered = Session.objects.order_by(engine.python_order("session_key"))
        assert [*ordered.values_list("session_key", flat=True)] == sorted(keys)


@pytest.mark.django_db(transaction=True)
class TestErrors:
    def test_a_database_that_is_away_is_unreachable(self, engine):
        with outage(), pytest.raises(OperationalError) as raised:
            connection.ensure_connection()
        assert engine.is_unreachable(raised.value)

    @pytest.mark.parametrize("sql", ["SELECT * FROM nowhere", "SELEKT", "INSERT INTO auth_group (name) VALUES (NULL)"])
    def test_a_statement_that_is_refused_is_no_sign_of_that(self, engine, sql):
        with pytest.raises(DatabaseError) as raised:
            execute(sql)
        assert not engine.is_unreachable(raised.value)


class TestLogPurpose:
    @pytest.fixture(autouse=True)
    def log_row(self):
        NotificationLog.objects.append([NotificationLog(kind="drop", sent_at=NOON)])

    def is_refused(self):
        """Return whether a hand-written statement may not change the log."""
        try:
            with transaction.atomic():
                execute("UPDATE klaxon_notificationlog SET id = id")
        except DatabaseError:
            return True
        return False

    def test_a_purpose_allows_changes_until_it_is_empty(self, engine):
        # SQLite has no triggers, so only the models refuse changes there.
        refused = [self.is_refused()]
        for purpose in ("test", ""):
            engine.set_log_purpose(purpose)
            refused.append(self.is_refused())
        assert refused == ([True, False, True] if engine.has_server else [False] * 3)


@contextmanager
def other_transaction():
    """A transaction on another connection."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("ROLLBACK")
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
class TestLocks:
    """Clauses that lock rows are empty if only one transaction can write at a time."""

    def test_a_select_leaves_out_locked_rows(self, engine, buckets):
        sql = f"SELECT key FROM klaxon_bucket WHERE key <> 'b' ORDER BY key LIMIT 2 {engine.skip_locked}"
        with other_transaction() as other, transaction.atomic():
            other.execute(f"SELECT key FROM klaxon_bucket WHERE key = 'a' {engine.lock_rows}")
            found = fetch(sql)
        assert found == ([("c",)] if engine.lock_rows else [("a",), ("c",)])
        assert bool(engine.skip_locked) == bool(engine.lock_rows) == engine.has_server

    def test_an_update_leaves_out_locked_rows(self, engine, buckets):
        ids = "SELECT id FROM klaxon_bucket WHERE key <> 'b'"
        condition = engine.unlocked_condition("klaxon_bucket", ids)
        with other_transaction() as other, transaction.atomic():
            other.execute(f"SELECT key FROM klaxon_bucket WHERE key = 'a' {engine.lock_rows}")
            changed = execute(f"UPDATE klaxon_bucket SET key = key WHERE id IN ({ids}) {condition}")
        assert changed == (1 if engine.lock_rows else 2)

    def test_a_statement_does_not_wait_longer_for_a_lock_than_allowed(self, engine, buckets):
        change = "UPDATE klaxon_bucket SET key = key WHERE key = 'a'"
        with other_transaction() as other:
            other.execute(change)
            began = time.monotonic()
            with pytest.raises(OperationalError), engine.limit_lock_waits(0.1):
                execute(change)
            assert time.monotonic() - began < 5
        with engine.limit_lock_waits(0.1):
            assert execute(change) == 1

    def test_a_lock_is_held_until_the_transaction_ends(self, engine):
        other = type(engine)("other")
        connections["other"] = connections.create_connection("default")
        try:
            with transaction.atomic():
                engine.lock_transaction("klaxon.test")
                taken = [other.try_lock_transaction("klaxon.test"), other.try_lock_transaction("klaxon.else")]
            assert taken == [not engine.has_server, True]
            assert other.try_lock_transaction("klaxon.test")
            assert engine.try_lock_transaction("klaxon.test")
        finally:
            connections["other"].close()
            del connections["other"]


class TestMatchInboxText:
    @pytest.mark.parametrize(
        ("words", "count"), [(["fire"], 1), (["fi", "sto"], 1), (["ire"], 0), (["fire", "flood"], 0)]
    )
    def test_it_finds_items_by_the_beginnings_of_words(self, engine, words, count):
        user = UserFactory()
        item = InboxItem(recipient=user, cluster=ClusterFactory(), event="e", priority=3, created_at=NOON)
        item.title = "Fire in the store"
        InboxItem.objects.add_items([item])
        condition, values = engine.match_inbox_text(words, user.pk)
        assert fetch(f"SELECT COUNT(*) FROM klaxon_inboxitem WHERE {condition}", values) == [(count,)]

    @pytest.mark.parametrize("owner", ["o'neill", '"', "\\", "a b", "x:*", "%s"])
    def test_any_primary_key_can_own_items(self, engine, owner):
        condition, values = engine.match_inbox_text(["fire"], owner)
        assert fetch(f"SELECT COUNT(*) FROM klaxon_inboxitem WHERE {condition}", values) == [(0,)]

    @pytest.mark.parametrize(
        ("words", "count"), [(["fire"], 1), (["fi", "sto"], 1), (["ire"], 0), (["fire", "flood"], 0), (["case"], 1)]
    )
    def test_a_row_is_matched_alike(self, engine, words, count):
        item = InboxItem(recipient=UserFactory(), cluster=ClusterFactory(), event="e", priority=3, created_at=NOON)
        item.title, item.body = "Fire in the store", "snake_case"
        InboxItem.objects.add_items([item])
        condition, values = engine.match_inbox_row(words)
        assert fetch(f"SELECT COUNT(*) FROM klaxon_inboxitem WHERE {condition}", values) == [(count,)]


def test_a_preferred_index_exists(engine):
    """SQLite raises an error if the index cannot be used."""
    hint = engine.prefer_index("klaxon_inbox_unread")
    where = "recipient_id = 1 AND read_at IS NULL AND archived_at IS NULL"
    assert fetch(f"SELECT COUNT(*) FROM klaxon_inboxitem {hint} WHERE {where}", []) == [(0,)]


def test_a_search_reads_at_least_the_first_items(engine):
    assert engine.wider_scan >= 1


class TestSchema:
    """What the doctor compares with the database."""

    def test_everything_that_a_migration_creates_by_sql_exists(self, engine):
        wanted = engine.list_wanted_objects(["klaxon_notificationlog"])
        existing = engine.list_schema_objects()
        assert {(one.kind, one.name, one.table) for one in wanted} <= existing
        assert any(one.kind == "trigger" for one in wanted)
        assert engine.list_invalid_indexes() == []

    def test_an_index_can_be_created_while_its_table_is_used(self, engine):
        [index] = [one for one in Bucket._meta.indexes if one.fields == ["full_at"]]
        sql = str(index.create_sql(Bucket, connection.schema_editor(collect_sql=True), **engine.index_options))
        assert ("CONCURRENTLY" in sql) is engine.has_server

    def test_only_sqlite_has_options_and_only_a_server_has_connections(self, engine):
        options, counted = engine.read_options(), engine.count_connections()
        assert (options == {}) is engine.has_server
        assert (counted is not None) is engine.has_server
        if counted:
            assert 0 < counted[0] < counted[1]
        else:
            assert options["journal_mode"] == "wal"


def test_the_size_and_the_file_of_the_database_are_known(engine):
    assert engine.get_data_size() > 100_000
    file = engine.get_data_file()
    assert file is None if engine.has_server else file.is_file()


def test_an_index_is_preferred_only_within_the_transaction(engine):
    engine.prefer_indexes()
    if engine.has_server:
        assert fetch("SHOW enable_seqscan") == [("off",)]


def test_unused_pages_are_not_released_within_a_transaction(engine):
    assert engine.release_pages(10) == 0


def test_what_is_deleted_is_overwritten_on_sqlite(engine):
    engine.overwrite_deleted()
    if not engine.has_server:
        assert fetch("PRAGMA secure_delete") == [(1,)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rewrite", [False, True])
def test_a_vacuum_says_where_bytes_may_be_left(rewrite):
    engine = get_engine("default")
    kept = engine.vacuum(["klaxon_pause"], rewrite)
    assert ("--vacuum full" in kept) == (not rewrite)
