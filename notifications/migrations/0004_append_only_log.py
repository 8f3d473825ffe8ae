"""On PostgreSQL, refuse to change or delete rows of the log outside of ``allow_log_changes()``.

There is no trigger on INSERT, so that adding rows is not slower, and none on TRUNCATE, because ``flush`` uses it.
"""

from django.db import migrations, router

MODELS = ('NotificationLog', 'LogPersonal', 'PreferenceChange')

# The trigger calls the function only to refuse a statement.
FUNCTION = """
CREATE OR REPLACE FUNCTION klaxon_refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are added and never changed.', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege',
        HINT = 'To purge or erase rows, use notifications.models.allow_log_changes().';
END
$$
"""
TRIGGER = """
CREATE TRIGGER klaxon_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW
WHEN (coalesce(current_setting('klaxon.log_changes', true), '') = '')
EXECUTE FUNCTION klaxon_refuse_log_change()
"""


def get_tables(apps, schema_editor):
    """Return the quoted names of the tables in this database, or an empty list if it is not PostgreSQL."""
    connection = schema_editor.connection
    if connection.vendor != 'postgresql':
        return []
    models = [apps.get_model('klaxon', name) for name in MODELS]
    migrated = [model for model in models if router.allow_migrate_model(connection.alias, model)]
    return [schema_editor.quote_name(model._meta.db_table) for model in migrated]


def create_triggers(apps, schema_editor):
    tables = get_tables(apps, schema_editor)
    if tables:
        schema_editor.execute(FUNCTION, params=None)
    for table in tables:
        schema_editor.execute(TRIGGER.format(table=table), params=None)


def drop_triggers(apps, schema_editor):
    tables = get_tables(apps, schema_editor)
    for table in tables:
        schema_editor.execute(f'DROP TRIGGER IF EXISTS klaxon_append_only ON {table}', params=None)
    if tables:
        schema_editor.execute('DROP FUNCTION IF EXISTS klaxon_refuse_log_change()', params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0003_log_related_names'),
    ]

    operations = [
        # The hint is for routers that decide by the name of the model.
        migrations.RunPython(create_triggers, drop_triggers, hints={'model_name': 'notificationlog'}),
    ]
