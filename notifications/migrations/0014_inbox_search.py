"""Full-text search of inbox items: a generated column on PostgreSQL, an FTS5 table with triggers on SQLite.

On SQLite, a later migration that makes Django rebuild the table drops its triggers and must create them again.
"""

import sqlite3

from django.db import migrations, router

# Punctuation becomes spaces, so that the parser finds words and no addresses or paths. The first lexeme names the
# recipient, so that the index finds the items of one user among those of all. No word begins with its first character.
POSTGRES_CREATE = (
    r"""
    ALTER TABLE klaxon_inboxitem ADD COLUMN search tsvector GENERATED ALWAYS AS (
        array_to_tsvector(ARRAY['@' || recipient_id::text]) || to_tsvector('simple'::regconfig, translate(
            title || ' ' || left(body, 20000), $$!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~$$, repeat(' ', 32)
        ))
    ) STORED
    """,
    'CREATE INDEX klaxon_inbox_search ON klaxon_inboxitem USING gin (search)',
)
POSTGRES_DROP = (
    'DROP INDEX IF EXISTS klaxon_inbox_search',
    'ALTER TABLE klaxon_inboxitem DROP COLUMN IF EXISTS search',
)

ADD = 'INSERT INTO klaxon_inboxsearch (rowid, title, body, recipient_id) VALUES (new.id, new.title, new.body, new.recipient_id)'
REMOVE = """
INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch, rowid, title, body, recipient_id)
VALUES ('delete', old.id, old.title, old.body, old.recipient_id)
"""
# Older versions keep the words of deleted items in the index until they merge its parts.
SQLITE_SECURE_DELETE = (
    ("INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch, rank) VALUES ('secure-delete', 1)",)
    if sqlite3.sqlite_version_info >= (3, 42)
    else ()
)
SQLITE_CREATE = (
    """
    CREATE VIRTUAL TABLE klaxon_inboxsearch USING fts5(
        title, body, recipient_id, content='klaxon_inboxitem', content_rowid='id',
        tokenize='unicode61 remove_diacritics 0'
    )
    """,
    *SQLITE_SECURE_DELETE,
    "INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch) VALUES ('rebuild')",
    f'CREATE TRIGGER klaxon_inbox_search_add AFTER INSERT ON klaxon_inboxitem BEGIN {ADD}; END',
    f'CREATE TRIGGER klaxon_inbox_search_remove AFTER DELETE ON klaxon_inboxitem BEGIN {REMOVE}; END',
    'CREATE TRIGGER klaxon_inbox_search_change AFTER UPDATE OF title, body, recipient_id ON klaxon_inboxitem '
    f'BEGIN {REMOVE}; {ADD}; END',
)
SQLITE_DROP = (
    'DROP TRIGGER IF EXISTS klaxon_inbox_search_add',
    'DROP TRIGGER IF EXISTS klaxon_inbox_search_remove',
    'DROP TRIGGER IF EXISTS klaxon_inbox_search_change',
    'DROP TABLE IF EXISTS klaxon_inboxsearch',
)
STATEMENTS = {'postgresql': (POSTGRES_CREATE, POSTGRES_DROP), 'sqlite': (SQLITE_CREATE, SQLITE_DROP)}


def execute(apps, schema_editor, number):
    connection = schema_editor.connection
    if router.allow_migrate_model(connection.alias, apps.get_model('klaxon', 'InboxItem')):
        for statement in STATEMENTS[connection.vendor][number]:
            schema_editor.execute(statement, params=None)


def create_index(apps, schema_editor):
    execute(apps, schema_editor, 0)


def drop_index(apps, schema_editor):
    execute(apps, schema_editor, 1)


class Migration(migrations.Migration):

    dependencies = [
        ('klaxon', '0013_inbox_feed'),
    ]

    operations = [
        migrations.RunPython(create_index, drop_index, hints={'model_name': 'inboxitem'}),
    ]
