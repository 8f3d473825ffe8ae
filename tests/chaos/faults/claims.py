"""Workers die while they have only claimed their deliveries, or because of one of them: the others are innocent."""

import time

from django.conf import settings
from django.db.models import Sum
from django.test import override_settings

from notifications.models import Delivery
from tests.chaos import history
from tests.chaos.channel import ChaosChannel
from tests.chaos.failpoints import FailPoint
from tests.chaos.faults.crowds import POISON, abort_at_words, supervise
from tests.chaos.figures import Figures
from tests.chaos.scene import Scene
from tests.chaos.settings import BATCH
from tests.chaos.workers import Pool

SHORT_LEASE = {"LEASE_SECONDS": 1.0, "BEAT_SECONDS": 0.3}
AT_ONCE = 2
SECONDS_TO_CLAIM = 10
BEFORE_THE_POISON = 4
MOST_DEATHS = 4


def killed_after_claim(scene: Scene) -> Figures:
    """50: worker after worker is killed right after its claim, and always of the same deliveries: none is struck."""
    rounds = scene.size(15, 5)
    scene.enqueue(AT_ONCE * BATCH)
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, **SHORT_LEASE}), scene.pool() as pool:
        kill_them_all(scene, pool, rounds)
        pool.start(scene.worker(), AT_ONCE)
        scene.drain(pool)
    figures = scene.figures("50 killed while only claimed", f"{pool.ended['SIGKILL']} kills", pool)
    figures.bound = 0
    figures.zero["strikes"] = strikes_of(set())
    figures.zero["kills that failed"] = AT_ONCE * rounds - pool.ended["SIGKILL"]
    return figures


def kill_them_all(scene: Scene, pool: Pool, rounds: int) -> None:
    """A round ends when all have claimed something and are dead; early if there is nothing to be claimed."""
    for _ in range(rounds):
        armed = set(pool.start(scene.worker(FailPoint(scene.journal, "claimed", 1, spares=False)), AT_ONCE))
        if not pool.wait_for(armed, SECONDS_TO_CLAIM):
            pool.stop()
            return


def strikes_of(bad: set[int]) -> int:
    """All strikes but those of the bad."""
    return Delivery.objects.exclude(pk__in=bad).aggregate(sum=Sum("strikes"))["sum"] or 0


def poison_among_innocents(scene: Scene) -> Figures:
    """50: one message kills whoever renders it, in the middle of a batch: it is found by itself, and the others go."""
    others = scene.size(600, 60)
    scene.enqueue(BEFORE_THE_POISON)
    scene.enqueue(1, POISON)
    scene.enqueue(others - BEFORE_THE_POISON)
    bad = set(Delivery.objects.order_by("pk").values_list("pk", flat=True)[BEFORE_THE_POISON : BEFORE_THE_POISON + 1])
    ChaosChannel.on_prepare = abort_at_words
    since = time.monotonic()
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, **SHORT_LEASE}), scene.pool() as pool:
        seconds = supervise(scene, pool, bad) - since
    figures = scene.figures("50 poison among innocents", f"1 poisoned, {others} others", pool)
    figures.bound = 0
    figures.told["others sent after"] = f"{seconds:.1f} s"
    return judged(figures, pool, bad)


def judged(figures: Figures, pool: Pool, bad: set[int]) -> Figures:
    the_bad, others = Delivery.objects.filter(pk__in=bad), Delivery.objects.exclude(pk__in=bad)
    figures.zero["quarantined"] = others.filter(state="dead").count()
    figures.zero["poison at large"] = the_bad.exclude(state="dead", reason="strikes").count()
    figures.zero["innocents not sent"] = others.exclude(state="sent").count()
    figures.zero["strikes of innocents"] = strikes_of(bad)
    figures.zero["deaths too many"] = max(0, pool.ended["SIGABRT"] - MOST_DEATHS)
    figures.told["workers killed"] = str(pool.ended["SIGABRT"])
    figures.evidence += [history.life_of(pk) for pk in sorted(bad)]
    return figures
