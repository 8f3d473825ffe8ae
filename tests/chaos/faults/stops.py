"""Workers are stopped: asked to end, as in a rolling restart, or frozen past their lease and woken again."""

import signal
import time
from pathlib import Path

from django.db import connection

from notifications.models import Delivery
from tests import sqlite_locks
from tests.chaos import history
from tests.chaos.failpoints import FailPoint
from tests.chaos.figures import Figures, p95
from tests.chaos.journal import Fact
from tests.chaos.scene import Scene
from tests.chaos.settings import GROUP
from tests.chaos.workers import Pool

ROLLED = 4
FROZEN_AT_ONCE = 8
SECONDS_FOR_TAKEOVER = 60
SECONDS_FOR_RESCUE = 9
# Not inside a transaction: a process that is frozen there holds its locks, on SQLite the only one there is.
MOMENTS = ("accepted", "marked", "prepared", "claimed")


def rolling_restart(scene: Scene) -> Figures:
    """4: SIGTERM to one worker after the other, under load: nothing is lost, sent twice or left in its hands."""
    rolls, took, left_behind = scene.size(200, 20), [], 0
    with scene.pool() as pool:
        workers = pool.start(scene.worker(threads=2), ROLLED)
        for _ in range(rolls):
            scene.top_up()
            workers += pool.start(scene.worker(threads=2))
            oldest = workers.pop(0)
            took.append(seconds_to_end(pool, oldest))
            left_behind += Delivery.objects.filter(owner__contains=f":{oldest}:").count()
        scene.drain(pool)
    figures = scene.figures("4 rolling restart", f"{rolls} rolls", pool)
    figures.zero["left behind"] = left_behind
    figures.told["exit p95"] = f"{p95(took):.2f} s"
    return figures


def seconds_to_end(pool: Pool, pid: int) -> float:
    time.sleep(0.05)
    since = time.monotonic()
    pool.tell(pid, signal.SIGTERM)
    pool.wait_for({pid})
    return time.monotonic() - since


def frozen(scene: Scene) -> Figures:
    """5: SIGSTOP in the middle of a group, past the lease; others take over; SIGCONT: its late outcome is refused."""
    rounds, with_lock = scene.size(12, 1), 0
    with scene.pool() as pool:
        pool.start(scene.worker(), 2)
        for _ in range(rounds):
            with_lock += freeze_and_thaw(scene, pool)
        scene.drain(pool)
    stops = rounds * FROZEN_AT_ONCE
    figures = scene.figures("5 frozen past the lease", f"{stops} stops", pool, bound=stops * GROUP)
    figures.told["sent after thaw"] = str(sent_after_thaw(scene))
    figures.told["thawed at once, for they held the lock"] = str(with_lock)
    return figures


def frozen_in_transaction(scene: Scene) -> Figures:
    """5: one is frozen while it records, with its rows locked; what another left behind is rescued all the same."""
    scene.enqueue()
    with scene.pool() as pool:
        pool.start(scene.worker(FailPoint(scene.journal, "recorded", 1, signal.SIGSTOP)))
        pool.start(scene.worker(FailPoint(scene.journal, "marked", 1)))
        until_struck(scene, 2)
        pool.start(scene.worker(), 2)
        time.sleep(SECONDS_FOR_RESCUE)
        pool.reap()
        orphans = [pk for fact in scene.journal.facts("ended") for pk, _ in last_claim(scene, fact)]
        held_up = Delivery.objects.filter(pk__in=orphans, state__in=("claimed", "sending"), fence=1).count()
        pool.tell_all(pool.alive, signal.SIGCONT)
        scene.drain(pool)
    figures = scene.figures("5 frozen while recording", "1 stop, 1 kill", pool)
    figures.zero["not rescued"] = held_up
    figures.evidence += [history.life_of(pk) for pk in orphans]
    return figures


def until_struck(scene: Scene, how_many: int) -> None:
    deadline = time.monotonic() + SECONDS_FOR_TAKEOVER
    while time.monotonic() < deadline and len(list(scene.journal.facts("struck"))) < how_many:
        time.sleep(0.05)


def freeze_and_thaw(scene: Scene, pool: Pool) -> int:
    """Returns how many were thawed at once, because they held a lock that everybody needs."""
    before, with_lock = len(list(scene.journal.facts("struck"))), 0
    sleepers = {pid for number in range(FROZEN_AT_ONCE) for pid in pool.start(sleeper(scene, number))}
    deadline = time.monotonic() + SECONDS_FOR_TAKEOVER
    while time.monotonic() < deadline and not all_taken_over(scene, before):
        with_lock += thaw_the_writer(pool, sleepers)
        scene.top_up()
        time.sleep(0.2)
    for number in (signal.SIGCONT, signal.SIGTERM):
        pool.tell_all(sleepers, number)
        # Time enough for them to go on with what they believe to be theirs.
        time.sleep(1)
    pool.wait_for(sleepers)
    return with_lock


def thaw_the_writer(pool: Pool, sleepers: set[int]) -> bool:
    """Whether a sleeper was frozen while another of its threads wrote: on SQLite nobody else could then take over."""
    pid = sqlite_locks.writer(Path(str(connection.settings_dict["NAME"]))) if connection.vendor == "sqlite" else None
    if pid not in sleepers or not sqlite_locks.is_stopped(pid):
        return False
    for number in (signal.SIGCONT, signal.SIGTERM):
        pool.tell(pid, number)
    return True


def sleeper(scene: Scene, number: int):
    return scene.worker(FailPoint(scene.journal, MOMENTS[number % len(MOMENTS)], 1 + number % 3, signal.SIGSTOP))


def all_taken_over(scene: Scene, before: int) -> bool:
    """All are asleep, and nothing that they had claimed is still in their hands."""
    struck = list(scene.journal.facts("struck"))[before:]
    held = [pair for fact in struck for pair in last_claim(scene, fact)]
    rows = {pk: (fence, state) for pk, fence, state in fences_of([pk for pk, _ in held])}
    theirs = [pk for pk, fence in held if rows[pk] in ((fence, "claimed"), (fence, "sending"))]
    return len(struck) == FROZEN_AT_ONCE and not theirs


def fences_of(deliveries: list[int]) -> list[tuple[int, int, str]]:
    return list(Delivery.objects.filter(pk__in=deliveries).values_list("pk", "fence", "state"))


def last_claim(scene: Scene, struck: Fact) -> tuple[tuple[int, int], ...]:
    return [fact.pairs for fact in scene.journal.facts("claimed") if fact.pid == struck.pid and fact.pairs][-1]


def sent_after_thaw(scene: Scene) -> int:
    """Handed over by a worker whose claim another had taken meanwhile; within the bound, but not what one hopes for."""
    struck = {fact.pid: set(fact.pairs) for fact in scene.journal.facts("struck")}
    taken = {pair for fact in scene.journal.facts("taken") for pair in fact.pairs}
    theirs = [entry for entry in scene.oracle().entries if entry.pid in struck and entry.pair in taken]
    return sum(entry.pair not in struck[entry.pid] for entry in theirs)
