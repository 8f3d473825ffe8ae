"""How long deliveries waited from ``send()`` to the provider, apart for the phases of a story."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from notifications.models import Delivery
from tests.chaos.figures import p95
from tests.chaos.scene import Scene


class Phases:
    """Whatever is queued inside a phase counts for it, whenever it arrives."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.spans: list[tuple[str, float, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.time()
        yield
        self.spans.append((name, began, time.time()))

    def waits(self) -> dict[str, list[float]]:
        """Seconds, by phase. Both ends are read from the clock of this machine."""
        found: dict[str, list[float]] = defaultdict(list)
        queued = dict(Delivery.objects.values_list("pk", "notification__created_at"))
        for delivery, at in first_acceptances(self.scene).items():
            since = queued[delivery]
            found[self._phase_of(since)].append(at - since.timestamp())
        return found

    def _phase_of(self, when: datetime) -> str:
        at = when.astimezone(UTC).timestamp()
        return next((name for name, began, ended in self.spans if began <= at < ended), "")

    def told(self) -> dict[str, str]:
        """The 95th percentile of each phase, and the longest."""
        waits = self.waits()
        names = dict.fromkeys(name for name, *_ in self.spans)
        return {f"{name}: wait p95": f"{p95(waits[name]):.2f} s, longest {max(waits[name]):.2f} s" for name in names}


def first_acceptances(scene: Scene) -> dict[int, float]:
    """When the provider took each delivery first."""
    calls = [call for call in scene.witness.calls() if call.answer == "accepted"]
    return {call.delivery: call.at for call in reversed(calls)}
