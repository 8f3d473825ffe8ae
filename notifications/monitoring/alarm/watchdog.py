"""Look at the system from outside of the workers, because a worker that has died reports nothing."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, router

from notifications import conf
from notifications.core import clock
from notifications.core.databases import is_missing_migration
from notifications.models import Alarm
from notifications.monitoring.alarm.announcements import Cause, describe
from notifications.monitoring.alarm.task import examine_if_due, get_database_alarm, make_calls, may_send_heartbeat

MISSING_TABLES = "The tables of django-klaxon are missing or not up to date. Run `manage.py migrate` first."


@dataclass
class Look:
    """What one look at the system has found.

    :param alarms: the causes of which there is an alarm now.
    :param faults: why calls of the hook or of the heartbeat have failed.
    :param database_fault: why the database cannot be used; empty if it can.
    """

    alarms: list[Cause] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    database_fault: str = ""


class Watchdog:
    """Looks at the system, once or again and again.

    :param timeout: after so many seconds, a database that has not answered counts as one that cannot be used.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._thread: threading.Thread | None = None
        self._failing_since: float | None = None

    @property
    def is_undecided(self) -> bool:
        """Whether the database has failed, but not yet for long enough to call the hook: it may only be restarting."""
        return self._failing_since is not None and not self._has_failed_for_long

    @property
    def _has_failed_for_long(self) -> bool:
        bad_seconds = conf.current().get_alarm_option("BAD_SECONDS")
        return self._failing_since is not None and time.monotonic() - self._failing_since >= bad_seconds

    def look(self) -> Look:
        """Examine the system, and make the calls that are due.

        :raises ImproperlyConfigured: if the tables of Klaxon are missing.
        """
        found, began = Look(), time.monotonic()
        fault = self._run_within_timeout(lambda: _examine(found))
        if not fault:
            self._failing_since = None
            return found
        if self._failing_since is None:
            self._failing_since = began
        called = ""
        if self._has_failed_for_long:
            called = get_database_alarm().begin(f"The watchdog cannot use the database. {fault}")
        return Look(database_fault=fault, faults=[called] if called else [])

    def _run_within_timeout(self, work: Callable[[], None]) -> str:
        """Run ``work`` in a thread; return why the database cannot be used, or an empty text.

        Waiting for a server that does not answer can take minutes, and nothing can end it. So the thread is left alone.
        """
        errors: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is raised again in the other thread
                errors.append(error)
            finally:
                connections.close_all()

        is_new = self._thread is None or not self._thread.is_alive()
        if is_new:
            self._thread = threading.Thread(target=run, name="klaxon-watchdog", daemon=True)
            self._thread.start()
        thread: Any = self._thread
        thread.join(self.timeout)
        if thread.is_alive() or not is_new:
            # The answer to an earlier look is too late.
            return f"It has not answered within {self.timeout:g} s."
        return describe_error(errors[0]) if errors else ""


def describe_error(error: BaseException) -> str:
    """Return why the database cannot be used. Its own text may contain names of users and hosts.

    :raises ImproperlyConfigured: if the tables of Klaxon are missing.
    :raises BaseException: the error, if it is none of the database.
    """
    if not isinstance(error, Error):
        raise error
    if is_missing_migration(error):
        raise ImproperlyConfigured(MISSING_TABLES) from error
    return f"It has failed with {type(error).__name__}."


def _examine(found: Look) -> None:
    using = router.db_for_write(Alarm)
    now = clock.now(using)
    examine_if_due(using, now)
    found.alarms = [describe(row) for row in Alarm.objects.using(using).degraded()]
    found.faults = make_calls(using, now, may_send_heartbeat(using, now))
