"""Whether the tables are those that the models describe: migrations, columns, indexes and triggers."""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model

from notifications.models.append_only import AppendOnly
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.site import Site
from notifications.storage.engine import Engine, get_engine

APP = "klaxon"
MAX_NAMED = 5


def examine_migrations(site: Site) -> Iterator[Diagnosis]:
    """Compare the migrations that exist with those that the database has recorded."""
    executor = MigrationExecutor(connections[site.using])
    loader = executor.loader
    targets = [node for node in loader.graph.leaf_nodes() if node[0] == APP]
    missing = [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(targets)]
    unknown = sorted(name for app, name in loader.applied_migrations if app == APP and not _is_known(loader, name))
    option = "" if site.using == "default" else f" --database {site.using}"
    if missing:
        detail = f"Not applied: {_list_names(missing)}. Statements that need them fail."
        yield Diagnosis(Status.ERROR, "migrations", detail, f"Run `manage.py migrate{option}`.")
    if unknown:
        detail = (
            f"The database has migrations that this version of django-klaxon does not have: {_list_names(unknown)}."
        )
        remedy = (
            "Install the version that the database was migrated with, or migrate back with it before you use this one."
        )
        yield Diagnosis(Status.WARNING, "migrations", detail, remedy)
    if not missing and not unknown:
        count = sum(app == APP for app, _name in loader.graph.nodes)
        yield Diagnosis(Status.OK, "migrations", f"All migrations of {APP} are applied ({count}).")


def _is_known(loader: Any, name: str) -> bool:
    replaced = {pair for migration in loader.disk_migrations.values() for pair in migration.replaces}
    return (APP, name) in loader.disk_migrations or (APP, name) in replaced


def _list_names(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def examine_schema(site: Site) -> Iterator[Diagnosis]:
    """Look for each column, index, constraint and trigger that the tables must have."""
    faults = list(_find_faults(site.using))
    yield from faults
    if not faults:
        yield Diagnosis(Status.OK, "schema", "All tables, columns, indexes and triggers exist and are valid.")


def _find_faults(using: str) -> Iterator[Diagnosis]:
    engine = get_engine(using)
    models = [
        model
        for model in apps.get_app_config(APP).get_models(include_auto_created=True)
        if model._meta.managed and router.allow_migrate_model(using, model)
    ]
    with engine.connection.cursor() as cursor:
        tables = set(engine.connection.introspection.table_names(cursor))
        for model in models:
            table = model._meta.db_table
            if table in tables:
                yield from _compare_table(engine, model, cursor)
            else:
                yield _miss("table", table, "", f"Run `manage.py migrate`. If it finds nothing to do, {RESTORE}")
    yield from _compare_own_objects(engine, models, tables)
    for name, table in engine.list_invalid_indexes():
        detail = f"PostgreSQL does not use this index of {table}: its creation has failed or has not finished."
        yield Diagnosis(Status.ERROR, f"index {name}", detail, f"Run this SQL: REINDEX INDEX CONCURRENTLY {name};")


RESTORE = "restore the table from a backup."


def _compare_table(engine: Engine, model: type[Model], cursor: Any) -> Iterator[Diagnosis]:
    introspection, table = engine.connection.introspection, model._meta.db_table
    # Faster than get_table_description(), which parses the SQL of each table of SQLite.
    cursor.execute(f"SELECT * FROM {engine.connection.ops.quote_name(table)} WHERE 1 = 0")  # noqa: S608 - a table
    columns = {column[0] for column in cursor.description}
    for field in model._meta.local_concrete_fields:
        if field.column not in columns:
            yield _miss("column", f"{table}.{field.column}", "", "Run `manage.py migrate`.")
    found = introspection.get_constraints(cursor, table)
    for kind, name, write in _list_expected(engine, model):
        if name not in found:
            yield _miss(kind, name, table, _run_sql(engine, write))
    for field in model._meta.local_concrete_fields:
        if not _has_field_index(field, found.values()):
            name = f"{table}.{field.column}"
            yield _miss("index", f"on {name}", table, _run_sql(engine, partial(_index, field)))


def _list_expected(engine: Engine, model: type[Model]) -> Iterator[tuple[str, str, Callable[[Any], Any]]]:
    """Yield the kind and the name of each index and constraint of a model, with a function that writes its SQL."""
    for index in model._meta.indexes:
        yield "index", index.name, partial(index.create_sql, model, **engine.index_options)
    for constraint in model._meta.constraints:
        yield "constraint", constraint.name, partial(constraint.create_sql, model)


def _has_field_index(field: Any, found: Any) -> bool:
    """Return whether a field has the index that ``unique`` or ``db_index`` requires."""
    if field.primary_key or not (field.unique or field.db_index):
        return True
    key = "unique" if field.unique else "index"
    return any(one["columns"] == [field.column] and (one[key] or one["unique"]) for one in found)


def _index(field: Any, editor: Any) -> Any:
    if field.unique:
        return editor._create_unique_sql(field.model, [field])
    return editor._create_index_sql(field.model, fields=[field])


def _compare_own_objects(engine: Engine, models: list[type[Model]], tables: Collection[str]) -> Iterator[Diagnosis]:
    """Look for what migrations create by SQL of their own."""
    append_only = [model._meta.db_table for model in models if issubclass(model, AppendOnly)]
    existing = engine.list_schema_objects()
    for wanted in engine.list_wanted_objects(append_only):
        is_missing = (wanted.kind, wanted.name, wanted.table) not in existing
        # A table that is missing as a whole is reported already.
        if is_missing and (wanted.table in tables or wanted.kind == "table"):
            yield _miss(wanted.kind, wanted.name, wanted.table, f"Run this SQL: {wanted.statement}")


def _run_sql(engine: Engine, write: Callable[[Any], Any]) -> str:
    return f"Run this SQL: {write(engine.connection.schema_editor(collect_sql=True))};"


CONSEQUENCES = {
    "table": "It is missing.",
    "column": "It is missing.",
    "index": "It is missing from {table}, so statements read the whole table.",
    "constraint": "It is missing from {table}, so nothing refuses rows that must not exist.",
    "trigger": "It is missing from {table}, so the database does not do what the code relies on.",
}


def _miss(kind: str, name: str, table: str, remedy: str) -> Diagnosis:
    return Diagnosis(Status.ERROR, f"{kind} {name}", CONSEQUENCES[kind].format(table=table), remedy)
