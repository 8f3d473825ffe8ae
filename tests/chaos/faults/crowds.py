"""Many workers on one outbox, and one message that kills whoever touches it."""

import os
import time
from collections import Counter

from notifications.models import Delivery
from tests.chaos import history
from tests.chaos.channel import ChaosChannel, Parcel
from tests.chaos.figures import Figures
from tests.chaos.scene import Scene
from tests.chaos.workers import Pool

PROCESSES = 16
POISON = "poison"
POISONED = 2


def many_claim(scene: Scene) -> Figures:
    """6: sixteen processes on one outbox: every claim has one owner, every delivery one copy."""
    deliveries = scene.size(100_000, 2_000)
    scene.enqueue(deliveries)
    with scene.pool() as pool:
        since = time.monotonic()
        pool.start(scene.worker(), PROCESSES)
        scene.drain(pool)
        seconds = time.monotonic() - since
    figures = scene.figures("6 many claim", f"{PROCESSES} processes, {deliveries} rows", pool)
    claims = Counter(pair for fact in scene.journal.facts("claimed") for pair in fact.pairs)
    figures.zero["double claims"] = sum(count - 1 for count in claims.values())
    figures.told["busy processes"] = str(len({fact.pid for fact in scene.journal.facts("claimed") if fact.pairs}))
    figures.told["per second"] = f"{deliveries / seconds:.0f}"
    return figures


def poison_when_sent(scene: Scene) -> Figures:
    """14: a message that kills the worker that hands it over is quarantined after three; the others go through."""
    ChaosChannel.on_begin = abort_at_poison
    return poisoned(scene, "14 poison kills the sender")


def poison_when_prepared(scene: Scene) -> Figures:
    """14: the same with one that kills while it is rendered, when all of the batch is claimed and nothing sent."""
    ChaosChannel.on_prepare = abort_at_words
    return poisoned(scene, "14 poison kills the renderer")


def poisoned(scene: Scene, fault: str) -> Figures:
    others = scene.size(600, 150)
    scene.enqueue(POISONED, POISON)
    scene.enqueue(others)
    bad = set(Delivery.objects.order_by("pk").values_list("pk", flat=True)[:POISONED])
    with scene.pool() as pool:
        since = time.monotonic()
        seconds = supervise(scene, pool, bad) - since
    figures = scene.figures(fault, f"{POISONED} poisoned, {others} others", pool, bound=scene.oracle().duplicates)
    return judged(figures, bad, pool, others / seconds)


def judged(figures: Figures, bad: set[int], pool: Pool, throughput: float) -> Figures:
    """Only the poisoned may be quarantined, and all of them must be; each after three workers."""
    dead = set(Delivery.objects.filter(state="dead", reason="strikes").values_list("pk", flat=True))
    figures.zero["quarantined"] = len(dead - bad)
    figures.zero["poison at large"] = len(bad - dead)
    figures.evidence += [history.life_of(pk) for pk in sorted(dead - bad)]
    figures.told["workers killed"] = str(pool.ended["SIGABRT"])
    figures.told["others per second"] = f"{throughput:.0f}"
    return figures


def supervise(scene: Scene, pool: Pool, bad: set[int]) -> float:
    """Replace whoever dies, as systemd would, until all is done; returns when the last of the others was."""
    done, alive, deadline = time.monotonic(), True, time.monotonic() + 180
    while alive and time.monotonic() < deadline:
        pool.reap()
        pool.start(scene.worker(), 2 - len(pool.alive))
        alive = set(Delivery.objects.exclude(state__in=("sent", "dead")).values_list("pk", flat=True))
        done = time.monotonic() if alive - bad else done
        time.sleep(0.1)
    return done


def abort_at_words(words: str) -> None:
    if words.strip() == POISON:
        os.abort()


def abort_at_poison(parcels: list[Parcel], accepted: int) -> None:
    for parcel in parcels:
        abort_at_words(parcel.words)
