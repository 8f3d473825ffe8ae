"""One worker, the real command, works for long and goes through every trouble that a process can survive."""

import signal
import time
from functools import partial

from tests.chaos import troubles
from tests.chaos.caller import Caller
from tests.chaos.figures import Figures
from tests.chaos.programs import command
from tests.chaos.scene import Scene
from tests.chaos.settings import GROUP
from tests.chaos.vitals import Vitals
from tests.chaos.workers import Pool

SETTINGS = "tests.chaos.soak_settings"
THREADS = 2
SHORTEST_SLOT, LONGEST_SLOT = 10.0, 60.0
SLOTS = 30
MOST_HANDLES_MORE = 4


def soak(minutes: float, rate: float, most_growth: float, scene: Scene) -> Figures:
    """Sends at an even pace; one trouble after the other; at the end all must have arrived, and nothing have grown."""
    until = time.monotonic() + 60 * minutes
    caller = Caller(scene.folder / "caller")
    with scene.pool() as pool, command(scene, settings=SETTINGS) as worker:
        asking = set(pool.start(partial(caller.keep_pace, until, rate)))
        met, vitals = bear(worker.pid, scene, pool, until, slot=60 * minutes / SLOTS)
        pool.wait_for(asking, 120)
        scene.drain(pool)
        worker.send_signal(signal.SIGTERM)
        ended = worker.wait(60)
    figures = scene.figures("soak", f"{minutes:g} min, {rate:g} a minute", pool)
    figures.zero["worker ended badly"] = int(ended != 0)
    figures.zero["accepted but missing"] = caller.accepted_but_missing()
    figures.told["refused"] = str(sum(bool(answer.error) for answer in caller.answers()))
    # It lives on when it has been frozen past its lease.
    figures.told["duplicates of the living"] = str(figures.zero.pop("duplicates of the living"))
    figures.bound += met.lost_contact * THREADS * GROUP
    return judged(figures, met, vitals, most_growth)


def bear(pid: int, scene: Scene, pool: Pool, until: float, slot: float) -> tuple[troubles.Troubles, Vitals]:
    """All troubles in turn, until then; the worker is looked at each second."""
    those = [*troubles.of_the_provider(scene.witness), *troubles.of_the_worker(pid), *troubles.of_the_database()]
    met = troubles.Troubles(those, min(LONGEST_SLOT, max(SHORTEST_SLOT, slot)))
    vitals = Vitals(pid)
    try:
        while time.monotonic() < until:
            met.look_at_the_time()
            vitals.sample_now_and_then()
            pool.reap()
            time.sleep(0.05)
    finally:
        met.be_over()
    return met, vitals


def judged(figures: Figures, met: troubles.Troubles, vitals: Vitals, most_growth: float) -> Figures:
    figures.zero["memory grows"] = int(vitals.memory_slope > most_growth)
    figures.zero["open files grow"] = int(vitals.more_handles > MOST_HANDLES_MORE)
    figures.told["troubles"] = str(met.met.total())
    figures.told["memory"] = vitals.memory
    figures.told["grows"] = f"{vitals.memory_slope:.0f} KB a minute"
    figures.told["open files"] = f"{vitals.handles[-1]:.0f}"
    figures.told["more"] = f"{vitals.handles_slope:.2f} a minute"
    figures.evidence.append(f"troubles: {dict(met.met)}")
    return figures
