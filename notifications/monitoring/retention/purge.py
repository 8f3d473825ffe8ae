"""The purge: run the steps one after the other, in short transactions with pauses between them.

A purge can be stopped at any time, and the next one goes on, because each transaction leaves the database complete.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import router

from notifications.conf import is_off
from notifications.models import Delivery
from notifications.monitoring.probes.storage import CRITICAL, measure_storage
from notifications.monitoring.retention.plan import build_steps
from notifications.monitoring.retention.steps import Batch, Step
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.retention")

MAX_BATCH, MIN_BATCH = 1000, 10
TARGET_SECONDS, SERVER_TARGET_SECONDS = 0.003, 0.05
"""How long a transaction should take. On SQLite, other writers wait so long; on a server, nobody waits."""
PAUSE_RATIO, SERVER_PAUSE_RATIO = 10.0, 1.0
"""A pause after each transaction is this many times as long, so that others have the database and the processor."""
TASK_SECONDS, CRITICAL_TASK_SECONDS = 0.05, 0.5
REST_SECONDS = 3600.0
STORAGE_SECONDS = 60.0

ShouldStop = Callable[[], bool]


@dataclass
class BatchSize:
    """The number of rows of the next transaction, so that it takes about ``target`` seconds."""

    most: int = MAX_BATCH
    now: int = 100
    target: float = TARGET_SECONDS

    def adapt(self, deleted: int, seconds: float) -> None:
        if seconds > self.target:
            self.now = max(MIN_BATCH, int(self.now * max(self.target / seconds, 0.25)))
        elif deleted >= self.now:
            self.now = int(self.now * 1.5) + 1
        self.now = min(self.now, self.most)


@dataclass
class Purge:
    """A purge that goes on from call to call.

    :param steps: what is left to do; the first one is running.
    """

    steps: list[Step]
    most: int = MAX_BATCH
    deleted: Counter[str] = field(default_factory=Counter)
    unarchived: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        has_server = get_engine(router.db_for_write(Delivery)).has_server
        target = SERVER_TARGET_SECONDS if has_server else TARGET_SECONDS
        self.size = BatchSize(self.most, min(self.most, 100), target)
        self.pause_ratio = SERVER_PAUSE_RATIO if has_server else PAUSE_RATIO

    @property
    def is_finished(self) -> bool:
        return not self.steps

    def run_transaction(self) -> Batch:
        """Run one transaction of the present step."""
        step, began = self.steps[0], time.perf_counter()
        batch = step.delete(self.size.now)
        self.size.adapt(batch.deleted, time.perf_counter() - began)
        self.deleted[step.name] += batch.deleted
        if batch.is_end:
            self.steps.pop(0)
            self.unarchived[step.name] += getattr(step, "unarchived", 0)
            self.size.now = min(self.size.now, 100)
        return batch

    def run(
        self,
        should_stop: ShouldStop = lambda: False,
        pause_ratio: float | None = None,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> bool:
        """Run until nothing is left; return whether that is so, because it may be stopped before.

        :param pause_ratio: how many times as long as a transaction the pause after it is; None for the usual one.
        """
        ratio = self.pause_ratio if pause_ratio is None else pause_ratio
        while not self.is_finished and not should_stop():
            began = time.perf_counter()
            batch = self.run_transaction()
            on_progress(batch.deleted)
            if batch.deleted:
                time.sleep((time.perf_counter() - began) * ratio)
        return self.is_finished


class BackgroundPurge:
    """The purge of a worker process: a few milliseconds in each call, and an hour of rest after each complete one.

    While the storage is critically full, there is no rest, and each call takes longer.
    """

    def __init__(self) -> None:
        self.purge: Purge | None = None
        self._rests_until = 0.0
        self._measured_at = float("-inf")
        self._is_critical = False

    def run(self, now: datetime, should_stop: ShouldStop) -> None:
        """Do a little. The periodic task of workers."""
        if is_off():
            return
        self._watch_storage(now)
        if self.purge is None:
            if time.monotonic() < self._rests_until:
                return
            # If the archive is damaged, this raises an error, which is not logged again at once.
            self._rests_until = time.monotonic() + STORAGE_SECONDS
            self.purge = Purge(build_steps(now))
        until = time.monotonic() + (CRITICAL_TASK_SECONDS if self._is_critical else TASK_SECONDS)
        self.purge.run(lambda: should_stop() or time.monotonic() >= until, pause_ratio=0)
        if self.purge.is_finished:
            self._finish(self.purge)

    def reset(self) -> None:
        """Begin anew at the next call."""
        self.purge, self._rests_until = None, 0.0
        self._measured_at, self._is_critical = float("-inf"), False

    def _finish(self, purge: Purge) -> None:
        self.purge = None
        # Nothing can be done about it before something else has become old.
        seconds = STORAGE_SECONDS if self._is_critical else REST_SECONDS
        self._rests_until = time.monotonic() + seconds
        if total := sum(purge.deleted.values()):
            logger.info("The purge has deleted %d rows: %s.", total, describe(purge.deleted))
        if purge.unarchived.total():
            logger.warning(
                "Rows that are old enough were not deleted, because they are not archived: %s. Run manage.py "
                "archive_notifications.",
                describe(purge.unarchived),
            )

    def _watch_storage(self, now: datetime) -> None:
        if time.monotonic() - self._measured_at < STORAGE_SECONDS:
            return
        self._measured_at = time.monotonic()
        levels = [usage.level for usage in measure_storage(router.db_for_write(Delivery))]
        was_critical, self._is_critical = self._is_critical, CRITICAL in levels
        if self._is_critical and not was_critical:
            self._rests_until = 0.0
            logger.error("The storage is critically full. The purge runs at once.")


BACKGROUND = BackgroundPurge()


def run_periodically(now: datetime, should_stop: ShouldStop) -> None:
    """Do a little of the purge. The periodic task of workers."""
    BACKGROUND.run(now, should_stop)


def describe(counts: Counter[str]) -> str:
    """Return counts by name as a list, such as ``"log rows 3, dead letters 1"``."""
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nothing"
