"""Workers are killed: after the provider accepted, before it was called, anywhere."""

import random
import signal
import time
from collections.abc import Callable

from tests.chaos.failpoints import AFTER_ACCEPTANCE, BEFORE_CALL, FailPoint
from tests.chaos.figures import Figures
from tests.chaos.scene import Scene
from tests.chaos.settings import GROUP
from tests.chaos.workers import Pool

AT_ONCE = 10
SURVIVORS = 2


def after_acceptance(scene: Scene) -> Figures:
    """1: killed after the provider accepted, before the commit: at most one copy more per kill and group slot."""
    kills = scene.size(1000, 30)
    with scene.pool() as pool:
        kill_at(scene, pool, AFTER_ACCEPTANCE, kills)
        scene.drain(pool)
    return scene.figures("1 killed after acceptance", f"{kills} kills", pool, bound=at_risk(scene))


def after_acceptance_keyed(scene: Scene) -> Figures:
    """1: the same, with a provider that knows the idempotency key: no copy more."""
    kills = scene.size(1000, 30)
    with scene.pool() as pool:
        kill_at(scene, pool, AFTER_ACCEPTANCE, kills)
        scene.drain(pool)
    figures = scene.figures("1 the same, keyed provider", f"{kills} kills", pool)
    figures.bound = 0
    return figures


def before_call(scene: Scene) -> Figures:
    """2: killed before the provider was called: tried again, and not one copy more."""
    kills = scene.size(1000, 30)
    with scene.pool() as pool:
        kill_at(scene, pool, BEFORE_CALL, kills)
        scene.drain(pool)
    return scene.figures("2 killed before the call", f"{kills} kills", pool)


def anywhere(scene: Scene) -> Figures:
    """3: killed at any moment. Here the third strike is possible, and a dead letter is an end: told, not forbidden."""
    kills = scene.size(500, 20)
    with scene.pool() as pool:
        pool.start(scene.worker(), SURVIVORS)
        for _ in range(kills):
            victims = pool.start(scene.worker())
            scene.top_up()
            time.sleep(random.uniform(0.02, 0.2))
            pool.tell(victims[0], signal.SIGKILL)
            pool.reap()
        scene.drain(pool)
    figures = scene.figures("3 killed anywhere", f"{kills} kills", pool, bound=kills * GROUP)
    figures.told["quarantined"] = str(figures.zero.pop("quarantined"))
    return figures


def kill_at(
    scene: Scene, pool: Pool, verbs: tuple[str, ...], kills: int, top_up: Callable[[], None] | None = None
) -> None:
    """Exactly so many workers kill themselves at one of these verbs, some at once, while others live on."""
    pool.start(scene.worker(), SURVIVORS)
    armed: set[int] = set()
    while kills or armed:
        while kills and len(armed) < AT_ONCE:
            fail_point = FailPoint(scene.journal, random.choice(verbs), random.randint(1, 4))
            armed.update(pool.start(scene.worker(fail_point)))
            kills -= 1
        (top_up or scene.top_up)()
        armed -= pool.reap()
        time.sleep(0.02)


def at_risk(scene: Scene) -> int:
    """How many deliveries were accepted and not recorded when their worker was struck.

    Those that another thread of the worker had in hand count whether they were accepted or not: nobody can know.
    """
    return sum(len(fact.pairs) for kind in ("struck", "beside") for fact in scene.journal.facts(kind))
