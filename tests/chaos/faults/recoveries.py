"""A worker, the database or the broker is lost: how long until all that was in flight has come to an end.

The full run has the times that a site has which sets none: half a minute's lease, a minute to the first retry, half a
minute between two sweeps. The small run has shorter ones.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connections
from django.test import override_settings

from tests.chaos.failpoints import FailPoint
from tests.chaos.figures import Figures
from tests.chaos.recovery import Loss, in_flight, told, wait_for
from tests.chaos.scene import Scene
from tests.chaos.settings import GROUP
from tests.chaos.workers import Pool
from tests.postgres_server import Server

OF_A_SITE = ("LEASE_SECONDS", "BEAT_SECONDS", "IDLE_SECONDS", "ERROR_PAUSE_SECONDS", "RETRY_DELAYS", "RETRY_JITTER")
WORKERS, THREADS = 2, 2


@contextmanager
def times_of_a_site(scene: Scene) -> Iterator[str]:
    """The defaults, for workers that are started inside; yields what to call them."""
    kept = {key: value for key, value in settings.NOTIFICATIONS.items() if scene.fast or key not in OF_A_SITE}
    with override_settings(NOTIFICATIONS=kept):
        yield "short times" if scene.fast else "default times"


def worker_lost(scene: Scene) -> Figures:
    """3: killed with one group being sent and another claimed: from its death until all of both is recorded."""
    kills = scene.size(10, 4)
    with times_of_a_site(scene) as times, scene.pool() as pool:
        pool.start(scene.worker(), WORKERS)
        losses = [kill_one(scene, pool) for _ in range(kills)]
        wait_for(losses, scene, scene.top_up)
        scene.drain(pool)
    figures = scene.figures("3 recovery: worker killed", f"{kills} kills, {times}", pool, bound=kills * GROUP)
    return told(figures, losses)


def kill_one(scene: Scene, pool: Pool) -> Loss:
    [pid] = pool.start(scene.worker(FailPoint(scene.journal, "marked", 1)))
    while pid in pool.alive:
        scene.top_up()
        pool.reap()
        time.sleep(0.01)
    return Loss(time.monotonic(), frozenset(pk for pk, _ in last_claim_of(scene, pid)))


def last_claim_of(scene: Scene, pid: int) -> tuple[tuple[int, int], ...]:
    return [fact.pairs for fact in scene.journal.facts("claimed") if fact.pid == pid and fact.pairs][-1]


def database_lost(scene: Scene) -> Figures:
    """8: PostgreSQL crashes and comes back: from the crash until all that was claimed or being sent is recorded."""
    crashes, losses = scene.size(3, 2), []
    with times_of_a_site(scene) as times, scene.pool() as pool:
        pool.start(scene.worker(threads=THREADS), WORKERS)
        for _ in range(crashes):
            losses.append(crash_at_work(scene))
            wait_for(losses, scene, scene.top_up)
        scene.drain(pool)
    bound = crashes * WORKERS * THREADS * GROUP
    figures = scene.figures("8 recovery: database crashed", f"{crashes} crashes, {times}", pool, bound=bound)
    return told(figures, losses)


def crash_at_work(scene: Scene) -> Loss:
    scene.enqueue()
    while not (rows := in_flight()):
        time.sleep(0.01)
    loss = Loss(time.monotonic(), rows)
    connections.close_all()
    Server.current.restart()
    return loss
