"""A thread that records the answers of a provider while their group is still being handed over."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from django.db import Error, connections

from notifications.core.connections import allow_interrupts, use_own_connections
from notifications.delivering.workers.outage_log import OUTAGE_LOG

logger = logging.getLogger("notifications.dispatch")

CHECK_SECONDS = 0.5
RECORD_AFTER_SECONDS = 1.0
"""An answer that is older is recorded although its group has not ended."""


class RecordableGroup(Protocol):
    def record_final(self, min_age: float) -> bool:
        """Record the answers that are final and have waited for ``min_age`` seconds; return whether there were any."""

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """Return the ids of the deliveries that the provider has, if it has not answered for ``seconds`` seconds."""


class SlowGroupRecorder:
    """A thread of a worker process that records the answers of groups that take long."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._groups: set[RecordableGroup] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="klaxon-recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def watch(self, group: RecordableGroup) -> Iterator[None]:
        """Record the final answers of a group until the block ends."""
        with self._lock:
            self._groups.add(group)
        try:
            yield
        finally:
            with self._lock:
                self._groups.discard(group)

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """Return the ids of the deliveries whose provider has not answered for ``seconds`` seconds."""
        with self._lock:
            groups = list(self._groups)
        return {pk for group in groups for pk in group.get_unanswered_ids(seconds)}

    def _run(self) -> None:
        while not self._end.wait(CHECK_SECONDS):
            with self._lock:
                groups = list(self._groups)
            if groups:
                with use_own_connections():
                    allow_interrupts(self.using)
                    for group in groups:
                        self._record(group)

    def _record(self, group: RecordableGroup) -> None:
        try:
            has_used_database = group.record_final(RECORD_AFTER_SECONDS)
        except Error as error:
            # The writer has kept the answers. The worker's thread writes them before it claims anything.
            OUTAGE_LOG.report_failure(logger, error, "Answers cannot be recorded yet; they are kept.")
            has_used_database = True
        except Exception as error:  # noqa: BLE001 - it is logged
            # A bug in a channel or in the host's code. The worker's thread meets it too; this thread must continue.
            OUTAGE_LOG.report_failure(logger, error, "Answers cannot be recorded before their group ends.")
            has_used_database = True
        if has_used_database:
            connections.close_all()
