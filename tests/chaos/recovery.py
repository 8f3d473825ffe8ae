"""How long it takes, after a loss, until all that was in flight has come to an end."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import median

from notifications.models import Delivery
from notifications.outcomes import END_STATES
from tests.chaos.figures import Figures, p95
from tests.chaos.scene import Scene

SECONDS_TO_RECOVER = 240.0


@dataclass
class Loss:
    """What was in flight at a moment of the monotonic clock; ``seconds`` once all of it has come to an end."""

    since: float
    rows: frozenset[int]
    seconds: float = 0.0


def in_flight(states: Collection[str] = ("claimed", "sending")) -> frozenset[int]:
    return frozenset(Delivery.objects.filter(state__in=states).values_list("pk", flat=True))


def wait_for(losses: Sequence[Loss], scene: Scene, tend: Callable[[], object]) -> None:
    """Until all are made good, or nobody can believe it any more; ``tend`` is done again and again meanwhile."""
    deadline = time.monotonic() + (2 * scene.patience if scene.lie else SECONDS_TO_RECOVER)
    while time.monotonic() < deadline and not all(loss.seconds for loss in losses):
        tend()
        make_good(losses)
        time.sleep(0.1)


def make_good(losses: Sequence[Loss]) -> None:
    alive = set(Delivery.objects.exclude(state__in=END_STATES).values_list("pk", flat=True))
    for loss in losses:
        if not loss.seconds and not loss.rows & alive:
            loss.seconds = time.monotonic() - loss.since


def told(figures: Figures, losses: Sequence[Loss]) -> Figures:
    """Those that were never made good are forbidden; of the others it is told how long they took."""
    made_good = [loss.seconds for loss in losses if loss.seconds]
    figures.zero["never recovered"] = len(losses) - len(made_good)
    figures.zero["nothing in flight"] = sum(not loss.rows for loss in losses)
    if made_good:
        figures.told["recovery median"] = f"{median(made_good):.1f} s"
        figures.told["p95"] = f"{p95(made_good):.1f} s"
    figures.told["in flight"] = str(sum(len(loss.rows) for loss in losses))
    return figures
