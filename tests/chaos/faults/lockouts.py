"""The database is locked for longer than a lease, and its workers live through it.

On SQLite another program holds the only write lock. On PostgreSQL another session holds a lock on the table of
deliveries; whoever reads may go on, as a worker that looks for lost ones does.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import override_settings

from tests.chaos.databases import impatient
from tests.chaos.figures import Figures
from tests.chaos.recovery import in_flight
from tests.chaos.scene import Scene
from tests.chaos.troubles import LockHolder
from tests.chaos.weather import SLOW, Spell

SHORT_LEASE = {"LEASE_SECONDS": 1.5, "BEAT_SECONDS": 0.4}
# Statements that fail one after the other while it lasts, and statements that wait until it is over.
LOCK_PATIENCE = (1.0, 20.0)
SECONDS_LOCKED = 4.0
SECONDS_FOR_ONE = 0.05
SECONDS_BETWEEN = 1.0
# The lock may come just when a worker has recorded one batch and not yet claimed the next.
MOST_TRIES = 20
LONG = 10**6
TAKEN_OVER = "another worker took over"


def alone(scene: Scene) -> Figures:
    """47: the only worker is locked out for longer than its lease: it takes nothing back from itself."""
    figures = locked_out(scene, "47 locked past the lease", workers=1)
    figures.zero["taken from the living"] = int(figures.told.pop("taken from the living"))
    figures.zero["said to be taken over"] = scene.complaints().count(TAKEN_OVER)
    return figures


def together(scene: Scene) -> Figures:
    """47: two workers are locked out together, and both live: nothing is sent twice."""
    return locked_out(scene, "47 two locked past the lease", workers=2)


def locked_out(scene: Scene, fault: str, workers: int) -> Figures:
    times, idle = scene.size(4, 1), 0
    scene.witness.foretell(Spell(LONG, SLOW, SECONDS_FOR_ONE))
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, **SHORT_LEASE}), scene.pool() as pool:
        for patience in LOCK_PATIENCE:
            with impatient(patience):
                pool.start(scene.worker(), workers)
                idle += sum(lock(scene) for _ in range(times))
                pool.stop()
        scene.witness.foretell()
        pool.start(scene.worker())
        scene.drain(pool)
    figures = scene.figures(fault, f"{times * len(LOCK_PATIENCE)} times {SECONDS_LOCKED:g} s", pool)
    figures.bound = 0
    figures.zero["nothing in hand"] = idle
    return figures


def lock(scene: Scene) -> bool:
    """Lock the workers out for a while, at a moment when they have deliveries in hand; or else it proves nothing.

    Returns whether there was no such moment.
    """
    scene.top_up()
    time.sleep(SECONDS_BETWEEN)
    for _ in range(MOST_TRIES):
        with locked():
            if in_flight():
                time.sleep(SECONDS_LOCKED)
                return False
        time.sleep(SECONDS_FOR_ONE)
    return True


@contextmanager
def locked() -> Iterator[None]:
    """Inside, nobody can write a delivery."""
    holder: Any = LockHolder(str(connection.settings_dict["NAME"])) if connection.vendor == "sqlite" else TableLock()
    holder.take()
    try:
        yield
    finally:
        holder.let_go()


class TableLock:
    """Another session of PostgreSQL that lets nobody write deliveries."""

    def take(self) -> None:
        self.connection = connection.copy()
        with self.connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE klaxon_delivery IN EXCLUSIVE MODE")

    def let_go(self) -> None:
        self.connection.close()
