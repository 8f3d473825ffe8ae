"""Recording what a provider has answered while its group has not ended."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from django.db import Error, connections

from notifications.core.connections import allow_interrupts, own_connections
from notifications.delivering.workers.outage_log import OUTAGE_LOG

logger = logging.getLogger("notifications.dispatch")

LOOKS_EVERY = 0.5
RECORDS_AFTER = 1.0
"""Seconds after which an answer is recorded although its group has not ended."""


class Group(Protocol):
    def record_final(self, older_than: float) -> bool:
        """Record what is known for so many seconds; returns whether there was anything."""

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """What the provider has been given, if it has answered nothing for so many seconds."""


class Recorder:
    """A thread of a worker process that records the answers of groups that take long."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._under_way: set[Group] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="klaxon-recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def watching(self, group: Group) -> Iterator[None]:
        """Look after a group until the block ends."""
        with self._lock:
            self._under_way.add(group)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(group)

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """What providers have been given, and have answered nothing for so many seconds."""
        with self._lock:
            groups = list(self._under_way)
        return {pk for group in groups for pk in group.get_unanswered_ids(seconds)}

    def _run(self) -> None:
        while not self._end.wait(LOOKS_EVERY):
            with self._lock:
                groups = list(self._under_way)
            if groups:
                with own_connections():
                    allow_interrupts(self.using)
                    for group in groups:
                        self._record(group)

    def _record(self, group: Group) -> None:
        try:
            used = group.record_final(RECORDS_AFTER)
        except Error as error:
            # The writer has kept the answers; the worker's thread writes them before it claims anything.
            OUTAGE_LOG.report_failure(logger, error, "Answers cannot be recorded yet; they are kept.")
            used = True
        except Exception as error:  # noqa: BLE001 - it is logged
            # A bug in a channel or in a host's code. The worker's thread meets it as well; this one must go on.
            OUTAGE_LOG.report_failure(logger, error, "Answers cannot be recorded before their group ends.")
            used = True
        if used:
            connections.close_all()
