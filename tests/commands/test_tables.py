"""An unmigrated database: every command reports it in one sentence and exits, in every mode."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from notifications.management import commands
from notifications.management.base import check_tables
from tests.processes import environment

COMMANDS = [
    "archive_notifications",
    "bridge_can --replay nothing.log",
    "create_api_key ann billing --scope inbox:read --all-clusters",
    "dispatch_notifications",
    "dispatch_notifications --watch",
    "dispatch_notifications --processes 2",
    "dispatch_notifications --processes 2 --watch",
    "erase_person --user ann --yes",
    "explain_notification shop_newsletter --user ann",
    "export_person --user ann --output nothing.json",
    "make_digests",
    "make_digests --dry-run",
    "pause_notifications",
    "purge_dead_letters --days 1",
    "purge_notifications",
    "read_bounces nothing.mbox",
    "replay_dead_letters",
    "replay_spool",
    "resume_notifications",
    "revoke_api_key 0123456789ab",
    "rotate_encryption_keys",
    "run_escalations",
    "run_escalations --dry-run",
    "send_test_notification ann",
]
WITHOUT_TABLES = {"check_email_setup", "make_vapid_key", "notifications_doctor", "notifications_watchdog"}
OWN_CODES = {"explain_notification": 2, "replay_spool": 2}
"""Commands whose exit code 1 is a result, such as "the recipient is not reached"."""


@pytest.fixture
def change(transactional_db):
    """Alter a table until the test ends."""
    undo = []

    def change(before, after):
        run(before)
        undo.append(after)

    yield change
    for statement in undo:
        run(statement)


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_every_command_is_in_the_list():
    files = Path(commands.__file__).parent.glob("[a-z]*.py")
    assert {path.stem for path in files} - WITHOUT_TABLES == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_tables_names_migrate_and_ends(command, change, settings, tmp_path):
    settings.NOTIFICATIONS = {"SPOOL_DIR": str(tmp_path)}
    change("ALTER TABLE klaxon_pause RENAME TO klaxon_gone", "ALTER TABLE klaxon_gone RENAME TO klaxon_pause")
    with pytest.raises(CommandError, match=r"klaxon_pause.*Run `manage.py migrate` first\.$") as refused:
        call_command(*command.split())
    assert "\n" not in str(refused.value)
    assert refused.value.returncode == OWN_CODES.get(command.split()[0], 1)


def test_a_missing_column_is_reported_too(change):
    change(
        "ALTER TABLE klaxon_pause RENAME COLUMN note TO words", "ALTER TABLE klaxon_pause RENAME COLUMN words TO note"
    )
    with pytest.raises(CommandError, match="note.*Run `manage.py migrate` first"):
        check_tables()


@pytest.mark.django_db
def test_a_migrated_database_is_not_reported():
    check_tables()


@pytest.mark.django_db
def test_an_empty_database_is_reported_in_one_sentence_and_no_process_is_restarted(tmp_path):
    empty = str(tmp_path / "empty.sqlite3") if connection.vendor == "sqlite" else "postgres"
    command = [sys.executable, "-W", "ignore", "-m", "django", "dispatch_notifications", "--watch", "--processes", "2"]
    env = environment(KLAXON_DATABASE_NAME=empty)
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in ended.stderr
    *_warnings_of_checks, sentence = ended.stderr.splitlines()
    assert sentence.startswith("CommandError: The tables of django-klaxon are missing")
    assert (ended.returncode, ended.stdout) == (1, "")
