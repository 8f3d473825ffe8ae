"""Sides that do the same work, measured in turns.

A heat lets every setting of every side run once; the best of each side meet in the rounds that count.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.figures import ratio


@dataclass(frozen=True)
class Entry:
    """One setting of one side; ``measure`` runs it once and gives deliveries per second."""

    side: str
    setting: str
    measure: Callable[[], float]


@dataclass
class Contest:
    """The winners' settings and rates by side, one for each round; and every rate of the heat."""

    setting: dict[str, str] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    heat: dict[str, dict[str, float]] = field(default_factory=dict)

    def ratio(self, ours: str, theirs: str) -> float:
        return ratio(self.rates[ours], self.rates[theirs])

    def told(self, side: str) -> str:
        """``Celery 1,050/s (solo, prefetch 64; prefork: 1,008)``: the median, and what else was tried."""
        others = [f"{name}: {rate:,.0f}" for name, rate in self.heat[side].items() if name != self.setting[side]]
        tried = f"; tried: {', '.join(others)}" if others else ""
        return f"{side} {statistics.median(self.rates[side]):,.0f}/s ({self.setting[side]}{tried})"


def contest(entries: Sequence[Entry], rounds: int) -> Contest:
    result = Contest()
    for entry in entries:
        result.heat.setdefault(entry.side, {})[entry.setting] = measured(entry)
    best = {side: max(rates, key=rates.__getitem__) for side, rates in result.heat.items()}
    winners = [entry for entry in entries if entry.setting == best[entry.side]]
    for entry in winners:
        result.setting[entry.side] = entry.setting
        result.rates[entry.side] = []
    for _ in range(rounds):
        for entry in winners:
            result.rates[entry.side].append(measured(entry))
    return result


def measured(entry: Entry) -> float:
    rate = entry.measure()
    print(f"    {entry.side}, {entry.setting}: {rate:,.0f}/s", file=sys.stderr, flush=True)
    return rate
