"""A worker is asked to end in the middle of a group, and has only a short time of grace."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.test import override_settings

from tests import sqlite_locks
from tests.chaos.channel import ChaosChannel
from tests.chaos.figures import Figures, p95
from tests.chaos.programs import children_of
from tests.chaos.recovery import in_flight
from tests.chaos.scene import Scene
from tests.chaos.weather import SLOW, Spell
from tests.chaos.workers import Pool

GROUP = 10
PATIENCE = 4.0
THREADS, PROCESSES = 2, 2
MARGIN = 1.5
SECONDS_TO_KILL, MARGIN_TO_KILL = 15.0, 2.0
SECONDS_TO_WAIT = 20.0
LONG = 10**6


def within_a_group(scene: Scene) -> Figures:
    """49: SIGTERM while a provider takes long for each of a group: the worker ends with the message in hand."""
    return stopped(scene, "49 stopped inside a group")


def within_groups_of_children(scene: Scene) -> Figures:
    """49: the same with ``--processes 2``."""
    return stopped(scene, "49 the same, two processes", PROCESSES)


def stopped(scene: Scene, fault: str, processes: int = 1) -> Figures:
    times, seconds, took, left = scene.size(10, 3), scene.size(20, 10) / 10, [], 0
    with slow_provider(scene, seconds), scene.pool() as pool:
        for _ in range(times):
            pid = start_in_a_group(scene, pool, processes, seconds)
            took.append(seconds_to_end(pool, pid))
            left += len(in_flight())
        figures = finished(scene, fault, f"{times} stops, {seconds:g} s a message", pool)
    figures.bound = 0
    figures.zero["left behind"] = left
    figures.zero["too slow to end"] = sum(one > seconds + MARGIN for one in took)
    figures.told["exit p95"] = f"{p95(took):.2f} s"
    figures.told["longest"] = f"{max(took):.2f} s"
    return figures


@contextmanager
def slow_provider(scene: Scene, seconds: float) -> Iterator[None]:
    """It takes so long for each message; groups and batches are of ten."""
    scene.witness.foretell(Spell(LONG, SLOW, seconds))
    ChaosChannel.group_size, ChaosChannel.timeout = GROUP, PATIENCE
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, "BATCH_SIZE": GROUP}):
        yield


def start_in_a_group(scene: Scene, pool: Pool, processes: int, seconds: float) -> int:
    """Start a worker; returns at some moment after its first message was accepted."""
    scene.top_up()
    before = scene.accepted
    [pid] = pool.start(scene.worker(threads=THREADS, processes=processes))
    wait_until(lambda: scene.accepted > before)
    time.sleep(random.uniform(0, 2 * seconds))
    return pid


def wait_until(condition: Callable[[], object]) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def seconds_to_end(pool: Pool, pid: int, most: float = 2 * GROUP * PATIENCE) -> float:
    since = time.monotonic()
    pool.tell(pid, signal.SIGTERM)
    pool.wait_for({pid}, most)
    return time.monotonic() - since


def finished(scene: Scene, fault: str, runs: str, pool: Pool) -> Figures:
    """What is left is delivered by a provider that is well."""
    scene.witness.foretell()
    pool.start(scene.worker(), 2)
    scene.drain(pool)
    return scene.figures(fault, runs, pool)


def frozen_child(scene: Scene) -> Figures:
    """49: one of two children is frozen when their parent is asked to end: the parent names it and kills it."""
    times, took, frozen = scene.size(4, 1), [], []
    with slow_provider(scene, 0.5), scene.pool() as pool:
        for _ in range(times):
            pid = start_in_a_group(scene, pool, PROCESSES, 0.5)
            frozen.append(freeze_a_child_of(pid))
            took.append(seconds_to_end(pool, pid, SECONDS_TO_KILL + 2 * MARGIN_TO_KILL))
            bury(scene, pool, pid, frozen[-1])
        figures = finished(scene, "49 a frozen child", f"{times} stops", pool)
    # It was killed, with a group of each of its threads in hand.
    figures.bound = times * THREADS * GROUP
    figures.zero["not killed in time"] = sum(one > SECONDS_TO_KILL + MARGIN_TO_KILL for one in took)
    figures.zero["not named"] = sum(str(child) not in scene.complaints() for child in frozen)
    figures.told["longest"] = f"{max(took):.1f} s"
    return figures


def freeze_a_child_of(pid: int) -> int:
    """Not one that holds SQLite's only write lock at that moment: nobody could go on without it."""
    wait_until(lambda: len(children_of(pid)) == PROCESSES)
    child = random.choice(children_of(pid))
    freeze(child)
    while connection.vendor == "sqlite" and sqlite_locks.writer(Path(str(connection.settings_dict["NAME"]))) == child:
        os.kill(child, signal.SIGCONT)
        time.sleep(0.05)
        freeze(child)
    return child


def freeze(child: int) -> None:
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: sqlite_locks.is_stopped(child))


def bury(scene: Scene, pool: Pool, pid: int, child: int) -> None:
    """What a killed child held may be taken. One that nobody killed is thawed, so that its parent can end."""
    if pid in pool.alive:
        os.kill(child, signal.SIGCONT)
        pool.wait_for({pid})
    scene.journal.note_death(child)
