"""A host with a cluster model and a user model of its own."""

import os
import subprocess
import sys

import pytest
from django.db import connection

pytestmark = pytest.mark.every_database
SETTINGS = "tests.tenant_site.settings"


@pytest.fixture
def empty_database(tmp_path, django_db_blocker):
    """The name of a database that nobody has touched, of the kind that this run is about."""
    if connection.vendor == "sqlite":
        yield str(tmp_path / "site.sqlite3")
        return
    name = f"klaxon_site_{os.getpid()}"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield name
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run(*command, **more):
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, **more},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_migrates_sends_and_delivers(empty_database):
    done = run("-m", "tests.tenant_site.story", KLAXON_DATABASE_NAME=empty_database)
    assert done.stdout.endswith("told\n"), done.stderr


@pytest.mark.parametrize("settings", [SETTINGS, "tests.settings"])
def test_no_migration_is_missing(settings):
    done = run("-m", "django", "makemigrations", "--check", "--dry-run", DJANGO_SETTINGS_MODULE=settings)
    assert done.returncode == 0, done.stdout + done.stderr
