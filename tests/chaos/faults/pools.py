"""The database's connections come from a pool, with fewer of them than the worker has things to do."""

import time
from functools import partial
from statistics import median

from notifications.models import Delivery
from tests.chaos.caller import Caller
from tests.chaos.databases import POOL
from tests.chaos.faults.farewells import code_of, end
from tests.chaos.figures import Figures, p95
from tests.chaos.latency import first_acceptances
from tests.chaos.programs import command
from tests.chaos.scene import Scene

THREADS = 2
PER_MINUTE = 240
MOST_SECONDS = 5.0
LAST_SECONDS = 10.0


def of_two(scene: Scene) -> Figures:
    """53: a pool of two connections, and a worker with two threads."""
    return pooled(scene, 2)


def of_four(scene: Scene) -> Figures:
    """53: the same with four, which is what ``{"pool": True}`` means."""
    return pooled(scene, 4)


def pooled(scene: Scene, connections: int) -> Figures:
    """Sends come evenly for longer than a worker could go on without its heartbeat."""
    seconds, caller = scene.size(75, 25), Caller(scene.folder / "caller")
    with command(scene, "--workers", str(THREADS), **{POOL: str(connections)}) as worker, scene.pool() as pool:
        asking = set(pool.start(partial(caller.keep_pace, time.monotonic() + seconds, PER_MINUTE)))
        pool.wait_for(asking, seconds + LAST_SECONDS)
        stopped = time.time()
        scene.drain(pool)
        end(worker)
        code = code_of(worker)
    figures = scene.figures(f"53 pool of {connections}", f"{seconds} s", pool)
    figures.bound = 0
    figures.zero["worker ended badly"] = int(code != 0)
    return told_of_waits(scene, figures, stopped)


def told_of_waits(scene: Scene, figures: Figures, stopped: float) -> Figures:
    accepted = first_acceptances(scene)
    queued = dict(Delivery.objects.values_list("pk", "notification__created_at"))
    waits = [at - queued[pk].timestamp() for pk, at in accepted.items()]
    figures.zero["nothing sent at last"] = int(not any(0 <= stopped - at < LAST_SECONDS for at in accepted.values()))
    figures.zero["waited too long"] = sum(wait > MOST_SECONDS for wait in waits)
    if waits:
        figures.told["wait median"] = f"{median(waits):.2f} s, p95 {p95(waits):.2f} s, longest {max(waits):.2f} s"
    return figures
