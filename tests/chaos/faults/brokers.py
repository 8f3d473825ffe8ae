"""The broker is lost, forgets, or delivers a call again and again: the database owns state and time."""

import time
from collections.abc import Callable

from tests.chaos.celery_site import CelerySite, celery_site
from tests.chaos.figures import Figures
from tests.chaos.latency import Phases
from tests.chaos.recovery import Loss, in_flight, told, wait_for
from tests.chaos.scene import Scene
from tests.chaos.weather import SLOW, Spell

AT_ONCE = 2
REDELIVERED = 50
SECONDS_FOR_EACH = 0.1


def lost(scene: Scene) -> Figures:
    """26: Redis forgets everything, then is killed: the sweeps and a worker that polls find it all in the database."""
    times, blind = scene.size(8, 2), scene.lie == "blind"
    phases = Phases(scene)
    with celery_site(scene) as site, scene.pool() as pool:
        site.worker("one")
        if not blind:
            site.beat()
        scene.enqueue(AT_ONCE)
        scene.drain(pool)
        with phases.phase("calm"):
            keep_asking(scene, lambda: None)
        forget(scene, site, phases, times)
        if not blind:
            pool.start(scene.worker())
        kill(scene, site, phases, times)
        scene.drain(pool)
        figures = scene.figures("26 Redis flushed, killed", f"{times} times each", pool)
    figures.told |= phases.told() | {"Celery processes that gave up": str(site.gave_up)}
    return figures


def forget(scene: Scene, site: CelerySite, phases: Phases, times: int) -> None:
    for _ in range(times):
        with phases.phase("flushed"):
            keep_asking(scene, lambda: site.redis.ask("flushall"))


def kill(scene: Scene, site: CelerySite, phases: Phases, times: int) -> None:
    for _ in range(times):
        with phases.phase("killed"):
            keep_asking(scene, site.redis.kill)
        site.redis.start()
        site.supervise()


def keep_asking(scene: Scene, deed: Callable[[], object]) -> None:
    """For two seconds; the deed is done in the middle, when calls are certain to wait in the broker."""
    ask_for_a_second(scene)
    scene.enqueue(scene.size(300, 100))
    deed()
    ask_for_a_second(scene)


def ask_for_a_second(scene: Scene) -> None:
    until = time.monotonic() + 1
    while time.monotonic() < until:
        scene.enqueue(AT_ONCE)
        time.sleep(0.05)


def redelivers(scene: Scene) -> Figures:
    """27: every call that takes longer than a second comes again to another worker: nothing is sent twice."""
    scene.witness.foretell(Spell(600, SLOW, SECONDS_FOR_EACH))
    with celery_site(scene) as site, scene.pool() as pool:
        for name in ("one", "two"):
            site.worker(name, KLAXON_VISIBILITY="1")
        for _ in range(scene.size(10, 1)):
            scene.enqueue(REDELIVERED)
            scene.drain(pool)
        received = site.receipts
        figures = scene.figures("27 broker redelivers", f"{len(set(received))} calls", pool)
    again = len(received) - len(set(received))
    figures.zero["nothing redelivered"] = int(not again)
    figures.told["redelivered"] = f"{again} times"
    return figures


def recovery(scene: Scene) -> Figures:
    """26: the broker is killed and started again, and nobody polls: until all that waited or was in flight is sent."""
    kills, losses = scene.size(4, 2), []
    with celery_site(scene) as site, scene.pool() as pool:
        site.worker("one")
        site.beat(every=scene.size(30, 1))
        for _ in range(kills):
            losses.append(kill_at_work(scene, site))
            wait_for(losses, scene, site.supervise)
        figures = scene.figures("26 recovery: Redis killed", f"{kills} kills, a sweep each {scene.size(30, 1)} s", pool)
    figures.told["Celery processes that gave up"] = str(site.gave_up)
    return told(figures, losses)


def kill_at_work(scene: Scene, site: CelerySite) -> Loss:
    scene.enqueue(300)
    while not in_flight():
        time.sleep(0.01)
    site.redis.kill()
    loss = Loss(time.monotonic(), in_flight(("ready", "claimed", "sending")))
    time.sleep(1)
    site.redis.start()
    site.supervise()
    return loss
