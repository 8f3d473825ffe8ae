"""The storage monitor: levels by the setting, the disk of a SQLite file, and pages that are given back."""

import pytest
from django.db import connection

from notifications import conf
from notifications.core.clock import now
from notifications.monitoring.probes import examine
from notifications.monitoring.probes.storage import Usage, measure_storage, probe_storage
from notifications.storage.engine import get_engine


@pytest.mark.one_database
@pytest.mark.every_database
@pytest.mark.parametrize(
    ("used", "level"), [(0, "good"), (79, "good"), (80, "warning"), (89, "warning"), (90, "critical")]
)
def test_levels_follow_the_shares_of_the_setting(used, level):
    assert Usage("database", used, 100).level == level


@pytest.mark.django_db
def test_the_size_of_the_database_is_measured_against_its_limit(settings):
    [usage, *disk] = measure_storage("default")
    assert usage.used > 100_000
    assert usage.limit == 0
    assert len(disk) == (connection.vendor == "sqlite")
    assert str(usage).startswith("The database takes ")
    settings.NOTIFICATIONS = {"STORAGE": {"LIMIT_BYTES": usage.used + 10}}
    [finding] = probe_storage("default", now())
    assert not finding.is_healthy
    assert "That is critical." in finding.detail
    assert "purge_notifications" in finding.remedy


@pytest.mark.django_db
def test_the_storage_is_one_of_the_probes():
    assert "storage" in {finding.name for finding in examine("default", now())}


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("STORAGE", {"LIMIT": 1}, "Did you mean 'LIMIT_BYTES'?"),
        ("STORAGE", {"WARN": 1.5}, "a share above 0 and below 1"),
        ("STORAGE", {"WARN": 0.95}, "Set WARN to at most CRITICAL."),
        ("RETENTION", {"LOGS": 1}, "Did you mean 'LOG'?"),
        ("RETENTION", {"LOG": 0}, "a number of days above 0, or None"),
        ("RETENTION", {"LOG": "90"}, "a number of days above 0, or None"),
        ("RETENTION", {"NOTIFICATIONS": 1}, "at least 2, or None"),
        ("RETENTION", {"ARCHIVE_DIR": "archive"}, "the absolute path"),
    ],
)
def test_wrong_settings_are_reported(settings, setting, value, hint):
    settings.NOTIFICATIONS = {setting: value}
    [problem] = conf.problems()
    assert hint in problem.hint


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL does it by itself")
def test_unused_pages_are_given_back_in_small_steps():
    engine = get_engine("default")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
        cursor.execute("VACUUM")
        cursor.execute("CREATE TABLE ballast (content text)")
        cursor.executemany("INSERT INTO ballast VALUES (%s)", [("x" * 4000,)] * 500)
        cursor.execute("DROP TABLE ballast")
    released = []
    while count := engine.release_pages(100):
        released.append(count)
    assert sum(released) >= 500
    assert max(released) <= 100
