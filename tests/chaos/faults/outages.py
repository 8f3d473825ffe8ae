"""The database goes away for a while: PostgreSQL crashes and comes back, SQLite is locked by another process."""

import random
import sqlite3
import time

from django.db import connection, connections

from tests.chaos.caller import Caller
from tests.chaos.figures import Figures, p95
from tests.chaos.scene import Scene
from tests.postgres_server import Server

WORKERS, THREADS = 3, 2
SECONDS_TO_RECOVER = 60
LOCK_PATIENCE = 4


def restarts(scene: Scene) -> Figures:
    """8: PostgreSQL is restarted at once, in the middle of everything: the workers go on by themselves."""
    times, took = scene.size(20, 4), []
    with scene.pool() as pool:
        pool.start(scene.worker(threads=THREADS), WORKERS)
        for _ in range(times):
            scene.enqueue(scene.size(1200, 600))
            connections.close_all()
            time.sleep(random.uniform(0.3, 1))
            Server.current.restart()
            took.append(seconds_to_next_acceptance(scene))
        scene.drain(pool)
    figures = scene.figures("8 PostgreSQL restarted", f"{times} restarts", pool)
    # The workers live, and keep what they cannot write.
    figures.bound = 0
    figures.told["recovery p95"] = f"{p95(took):.2f} s"
    return figures


def seconds_to_next_acceptance(scene: Scene) -> float:
    accepted, since = scene.accepted, time.monotonic()
    while scene.accepted == accepted and time.monotonic() - since < SECONDS_TO_RECOVER:
        time.sleep(0.02)
    return time.monotonic() - since


def locked(scene: Scene) -> Figures:
    """9: another process holds SQLite's only write lock: callers wait, and are told clearly when it takes too long."""
    holds = scene.size(3, 2)
    caller, ends = Caller(scene.folder / "caller"), []
    connection.settings_dict["OPTIONS"]["timeout"] = LOCK_PATIENCE
    seconds = (1, 6, 60)[:holds]
    with scene.pool() as pool:
        scene.enqueue()
        pool.start(scene.worker(threads=THREADS), 2)
        asking = pool.start(lambda: caller.ask(time.monotonic() + sum(seconds) + 2 * holds))
        for wanted in seconds:
            time.sleep(1)
            ends.append(hold(wanted))
        pool.wait_for(set(asking))
        scene.drain(pool)
    figures = scene.figures("9 SQLite locked", f"{', '.join(map(str, seconds))} s", pool)
    figures.bound = 0
    return told_of_waiting(figures, caller, ends[0])


def hold(seconds: float) -> float:
    """Hold the lock; returns when it was let go."""
    connections.close_all()
    holder = sqlite3.connect(connection.settings_dict["NAME"], timeout=30, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    holder.execute("ROLLBACK")
    holder.close()
    return time.monotonic()


def told_of_waiting(figures: Figures, caller: Caller, end_of_short_hold: float) -> Figures:
    answers = caller.answers()
    refused = [answer for answer in answers if answer.error]
    figures.zero["accepted but missing"] = caller.accepted_but_missing()
    figures.zero["unclear errors"] = sum("database is locked" not in answer.error for answer in refused)
    figures.zero["refused too early"] = sum(answer.began < end_of_short_hold for answer in refused)
    figures.told["refused clearly"] = str(len(refused))
    figures.told["longest wait"] = f"{max(answer.waited for answer in answers):.1f} s"
    return figures
