"""Call the hook while the database cannot be used, and once more when it has worked again for long enough.

A file in ``STATE_DIR`` says what the hook knows, so that all processes of a machine together call it once.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TextIO

from django.core.files import locks

from notifications import conf
from notifications.core import clock
from notifications.delivering import leftovers
from notifications.monitoring.alarm.announcements import Cause, build_payload
from notifications.monitoring.alarm.hook import HookFailed, call_hook

logger = logging.getLogger("notifications.alarm")

SUFFIX = ".alarm"
CAUSE = "database"
RETRY_SECONDS = 30.0
REMEDY = "Repair the database or the connection to it. Workers continue by themselves; see their log."


class DatabaseAlarm:
    """The alarm of a process about the database.

    :param using: the alias of the database.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self._lock = threading.Lock()
        self._next_call = 0.0
        # What could not be written to the file, so that this process at least calls the hook only once.
        self._kept: dict[str, str] = {}

    @cached_property
    def path(self) -> Path:
        """The file, which stays the same for the life of the process."""
        return leftovers.get_folder() / f"{leftovers.hash_database(self.using)}{SUFFIX}"

    def begin(self, detail: str) -> str:
        """Call the hook unless it knows of the outage; return why the call has failed, or an empty text."""
        if not conf.current().get_alarm_option("HOOK"):
            return ""
        with self._open_state() as state:
            if state is None:
                return ""
            if "since" in state:
                state.pop("good_since", None)
                return ""
            now = clock.local_now()
            since = now.isoformat(timespec="seconds")
            fault = self._call("degraded", {"name": CAUSE, "detail": detail, "remedy": REMEDY, "since": since}, now)
            if fault is None:
                state["since"] = since
            return fault or ""

    def end(self) -> str:
        """Call the hook after ``GOOD_SECONDS`` in which the database has worked, if the hook knows of the outage.

        :return: why the call has failed, or an empty text.
        """
        if not self.is_known:
            return ""
        with self._open_state() as state:
            if not state or "since" not in state:
                return ""
            now = clock.local_now()
            good_since = datetime.fromisoformat(state.setdefault("good_since", now.isoformat()))
            if 0 <= (now - good_since).total_seconds() < conf.current().get_alarm_option("GOOD_SECONDS"):
                return ""
            detail = "The database can be used again."
            cause = {"name": CAUSE, "detail": detail, "remedy": "", "since": state["since"]}
            fault = self._call("recovered", cause, now)
            if fault is None:
                state.clear()
            return fault or ""

    @property
    def is_known(self) -> bool:
        """Whether the hook may know of an outage."""
        return bool(self._kept) or self.path.exists()

    def _call(self, status: str, cause: Cause, now: datetime) -> str | None:
        """Call the hook; return None if it has taken the call, and otherwise why not."""
        if time.monotonic() < self._next_call:
            return "It has failed a moment ago."
        try:
            call_hook(build_payload(status, [cause], [], now) | {"reaches_operators": False})
        except HookFailed as error:
            self._next_call = time.monotonic() + RETRY_SECONDS
            logger.error("The hook of alarms has failed; it is called again. %s", error)  # noqa: TRY400
            return str(error)
        return None

    @contextmanager
    def _open_state(self) -> Iterator[dict[str, str] | None]:
        """Lock the file and yield its content, which is written afterwards. Yield None if others have the lock."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            file = self._open_file()
            if file is None:
                yield self._kept
                return
            with file:
                if not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
                    yield None
                    return
                before = self._read(file)
                state = dict(before) or dict(self._kept)
                yield state
                # What is in the file is kept nowhere else, because another process may change it.
                self._kept = {} if state == before or self._write(file, state) else dict(state)
                if not state:
                    self.path.unlink(missing_ok=True)
        finally:
            self._lock.release()

    def _open_file(self) -> TextIO | None:
        try:
            leftovers.make_folder()
            return os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        except OSError as error:
            logger.warning("What the hook of alarms knows cannot be kept in %s: %s", self.path, error)
            return None

    def _read(self, file: TextIO) -> dict[str, str]:
        try:
            found = json.loads(file.read() or "{}")
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def _write(self, file: TextIO, state: dict[str, str]) -> bool:
        """Write the file; return whether that was possible."""
        try:
            file.seek(0)
            file.truncate()
            file.write(json.dumps(state))
            file.flush()
        except OSError as error:
            logger.warning("What the hook of alarms knows cannot be written to %s: %s", self.path, error)
            return False
        return True
