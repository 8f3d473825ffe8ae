"""The provider fails for now, or is away for long: a breaker that all workers share, one probe, a ramped drain.

All times are the defaults of a site, but for a shorter ramp in the small run. The engine's clock is warped instead: it
runs fast through the outage, and slowly through the minute after it, in which the rate is measured.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import exp, log
from typing import NamedTuple

from django.conf import settings
from django.test import override_settings

from notifications import conf
from notifications.models import Delivery
from tests.chaos.figures import Figures
from tests.chaos.provider import Call
from tests.chaos.recovery import in_flight
from tests.chaos.scene import Scene
from tests.chaos.settings import BATCH
from tests.chaos.warp import Warp, warped
from tests.chaos.weather import BROWN, DOWN, Spell
from tests.chaos.workers import Pool

WORKERS, THREADS = 2, 2
MINUTE, HOUR = 60.0, 3600.0
BRISK = 60
LEFT_TO_DEFAULTS = ("RETRY_DELAYS", "RETRY_JITTER")
# A lease is counted on the warped clock and a heartbeat on the real one; nobody is lost here.
PATIENT = {"LEASE_SECONDS": 24 * HOUR, "IDLE_SECONDS": 0.05}
LONG = 10**6
DOUBLINGS = 6
SHARE_TO_DELIVER, SHARE_OF_RETRIED = 0.999, 0.95


class Voyage:
    """Workers, a provider and a clock that all three go through bad weather."""

    def __init__(self, scene: Scene, pool: Pool, warp: Warp) -> None:
        self.scene, self.pool, self.warp = scene, pool, warp
        pool.start(scene.worker(threads=THREADS), WORKERS)

    def ask(self, until: float, how_many: int) -> None:
        """Spread so many deliveries evenly until then."""
        began, asked = self.warp.seconds, 0
        while self.warp.seconds < until and asked < how_many:
            wanted = round(how_many * (self.warp.seconds - began) / (until - began))
            self.scene.enqueue(wanted - asked)
            asked = max(asked, wanted)
            time.sleep(0.05)
        self.scene.enqueue(how_many - asked)
        self.warp.sleep_until(until)

    def lose_provider(self, hours: float, speed: float, backlog: int) -> "Outage":
        """It goes down in the middle of work, and comes back after so many hours."""
        self.scene.enqueue(BATCH * WORKERS * THREADS * 5)
        self.warp.turn(1)
        began = self.warp.seconds
        self.scene.witness.foretell(Spell(LONG, DOWN))
        self.scene.enqueue(backlog)
        self.wait_until_left_alone()
        left_alone = self.warp.seconds
        self.warp.turn(speed)
        self.warp.sleep_until(began + hours * HOUR - 6 * MINUTE)
        self.warp.turn(2 * BRISK)
        self.warp.sleep_until(began + hours * HOUR)
        self.scene.witness.foretell()
        return Outage(began, left_alone, self.warp.seconds)

    def wait_until_left_alone(self) -> None:
        """Until workers have met the outage, and none has anything in its hands any more."""
        since, quiet = time.monotonic(), 0
        while quiet < 5 and time.monotonic() - since < self.scene.patience:
            time.sleep(0.1)
            quiet = quiet + 1 if self.scene.witness.down and not in_flight() else 0

    def come_back(self, speed: float) -> None:
        """At the first acceptance the clock slows down; and runs again when the ramp has ended."""
        accepted, since = self.scene.accepted, time.monotonic()
        while self.scene.accepted == accepted and time.monotonic() - since < 2 * self.scene.patience:
            time.sleep(0.002)
        self.warp.turn(speed)
        self.warp.sleep_until(self.warp.seconds + conf.current().ramp_seconds + 10)
        self.warp.turn(4 * BRISK)

    def calls(self) -> list[tuple[float, Call]]:
        """Each with the time that the warped clock showed."""
        return [(self.warp.at(call.at), call) for call in self.scene.witness.calls()]


class Outage(NamedTuple):
    """When it began, when the provider was left alone, and when it was back, on the warped clock."""

    began: float
    left_alone: float
    ended: float

    @property
    def hours(self) -> float:
        return round((self.ended - self.began) / HOUR)


@contextmanager
def voyage(scene: Scene) -> Iterator[Voyage]:
    kept = {key: value for key, value in settings.NOTIFICATIONS.items() if key not in LEFT_TO_DEFAULTS}
    ramp = {"RAMP_SECONDS": scene.size(60, 20)}
    with override_settings(NOTIFICATIONS=kept | PATIENT | ramp), warped(BRISK) as warp, scene.pool() as pool:
        yield Voyage(scene, pool, warp)


def day_without(scene: Scene) -> Figures:
    """22: the provider is away for a day. A few tries, then one probe at a time; when it is back, not all at once."""
    with voyage(scene) as here:
        here.ask(2 * MINUTE, scene.size(600, 200))
        # An engine that is broken on purpose shows it in two hours as well.
        outage = here.lose_provider(2 if scene.lie else 24, scene.size(1440, 8640), scene.size(3000, 600))
        here.come_back(scene.size(1, 3))
        scene.drain(here.pool)
        figures = scene.figures("22 outage of a day", f"{outage.hours} h", here.pool)
        return judged(figures, here, outage)


def brown_out(scene: Scene) -> Figures:
    """22: for ten minutes three of ten calls fail, then comes an hour without: nearly all arrives, and once."""
    with voyage(scene) as here:
        scene.witness.foretell(Spell(LONG, BROWN, 0.3))
        here.ask(10 * MINUTE, scene.size(3000, 1000))
        outage = here.lose_provider(1, scene.size(240, 1200), scene.size(2000, 400))
        here.come_back(scene.size(1, 3))
        scene.drain(here.pool)
        figures = scene.figures("22 brown-out, then an outage", "10 min, 1 h", here.pool)
        figures.zero.pop("quarantined")
        return judged(told_of_arrivals(figures, here), here, outage)


def told_of_arrivals(figures: Figures, here: Voyage) -> Figures:
    """How many of all arrived, and of those that needed more than one try."""
    tries = Counter(call.delivery for _, call in here.calls() if call.delivery)
    sent = set(Delivery.objects.filter(state="sent").values_list("pk", flat=True))
    every = set(Delivery.objects.values_list("pk", flat=True))
    retried = {pk for pk, count in tries.items() if count > 1}
    delivered, arrived = len(sent) / len(every), len(sent & retried) / max(1, len(retried))
    figures.zero["too few delivered"] = int(delivered < SHARE_TO_DELIVER)
    figures.zero["too few of the retried"] = int(not retried or arrived <= SHARE_OF_RETRIED)
    figures.told["delivered"] = f"{delivered:.2%}"
    figures.told["of the retried"] = f"{arrived:.2%} of {len(retried)}"
    return figures


def judged(figures: Figures, here: Voyage, outage: Outage) -> Figures:
    """What the provider was asked while it was away, and how fast it was asked afterwards."""
    calls = here.calls()
    asked = [at for at, call in calls if call.answer == "down"]
    probes = [at for at in asked if at > outage.left_alone]
    side_by_side = sum(later - earlier < conf.current().breaker_seconds for earlier, later in pairwise(probes))
    until_open = len(asked) - len(probes)
    figures.zero["tries of a dead provider"] = max(0, until_open - at_most_until_open())
    figures.zero["never left alone"] = int(not probes)
    figures.zero["probes side by side"] = side_by_side
    figures.told |= {"calls until it opened": str(until_open), "probes": str(len(probes))}
    return told_of_ramp(figures, [at for at, call in calls if call.answer == "accepted" and at >= outage.ended], outage)


def at_most_until_open() -> int:
    """The failures that open it, and what each thread had claimed by then."""
    return conf.current().breaker_failures + WORKERS * THREADS * BATCH


def told_of_ramp(figures: Figures, accepted: list[float], outage: Outage) -> Figures:
    """How fast the backlog came; at no moment more may have come than the ramp allows until then."""
    figures.zero["nothing after the outage"] = int(not accepted)
    if not accepted:
        return figures
    ramp, back = conf.current().ramp_seconds, accepted[0]
    passed = [at - back for at in accepted if at - back < ramp]
    figures.zero["too fast for the ramp"] = sum(count > allowed(at) for count, at in enumerate(passed, 1))
    each_second = Counter(map(int, passed))
    figures.told["back after"] = f"{back - outage.ended:.0f} s"
    figures.told["in the first 5 s"] = str(sum(each_second[second] for second in range(5)))
    figures.told["most in a second"] = f"{max(each_second.values())} of the ramp's {len(passed)}"
    return figures


def allowed(passed: float) -> float:
    """The probe, a full bucket, and what has come into it: ten a second at first, doubled six times on the ramp."""
    configured = conf.current()
    growth = DOUBLINGS * log(2) / configured.ramp_seconds
    rate = configured.ramp_start * exp(growth * passed)
    return 1 + rate + (rate - configured.ramp_start) / growth
