"""Contests between sides that do the same work, measured in turns.

Every setting of every side runs once in a preliminary round. The best setting of each side runs in the counted rounds.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Figures, ratio
from benchmarks.processes import DEFAULTS


@dataclass(frozen=True)
class Entry:
    """One setting of one side. ``measure`` runs it once and returns deliveries per second."""

    side: str
    setting: str
    measure: Callable[[], float]


@dataclass
class Contest:
    """The best setting of each side, its rate in each round, and all rates of the preliminary round."""

    setting: dict[str, str] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    preliminary: dict[str, dict[str, float]] = field(default_factory=dict)

    def ratio(self, ours: str, theirs: str) -> float:
        """Return the median ratio of two sides' rates."""
        return ratio(self.rates[ours], self.rates[theirs])

    def compare_defaults(self, what: str, database: str, side: str) -> Figures:
        """Return the rate of a side with default options, measured in the same rounds as its best setting."""
        figure = self.ratio(f"{side}, {DEFAULTS}", side)
        details = f"{self.describe(f'{side}, {DEFAULTS}')}; {self.describe(side)}"
        return Figures(f"{what}, default options against the best", database, figure, "x", 0.8, True, details)

    def describe(self, side: str) -> str:
        """Return the median rate and the rates of the other settings.

        The format is ``Celery 1,050/s (solo, prefetch 64; tried: prefork: 1,008)``.
        """
        others = [f"{name}: {rate:,.0f}" for name, rate in self.preliminary[side].items() if name != self.setting[side]]
        tried = f"; tried: {', '.join(others)}" if others else ""
        return f"{side} {statistics.median(self.rates[side]):,.0f}/s ({self.setting[side]}{tried})"


def run_contest(entries: Sequence[Entry], rounds: int) -> Contest:
    """Run the preliminary round and the counted rounds. If there are none, the preliminary round counts."""
    result = Contest()
    for entry in entries:
        result.preliminary.setdefault(entry.side, {})[entry.setting] = measure(entry)
    best = {side: max(rates, key=rates.__getitem__) for side, rates in result.preliminary.items()}
    winners = [entry for entry in entries if entry.setting == best[entry.side]]
    for entry in winners:
        result.setting[entry.side] = entry.setting
        result.rates[entry.side] = [] if rounds else [max(result.preliminary[entry.side].values())]
    for _ in range(rounds):
        for entry in winners:
            result.rates[entry.side].append(measure(entry))
    return result


def measure(entry: Entry) -> float:
    rate = entry.measure()
    print(f"    {entry.side}, {entry.setting}: {rate:,.0f}/s", file=sys.stderr, flush=True)
    return rate
