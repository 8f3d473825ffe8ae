"""One row of the table. It knows nothing of Django, so that the process that prints it need not either."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Figures:
    """One figure on one database, what it must be, and what it was made of.

    ``unit`` is ``"x"`` for a ratio or ``"ms"``; ``at_least`` says on which side of ``target`` it must lie. ``told`` is
    how it was measured, and the absolute figures, which only this machine at that time can mean something by.
    """

    what: str
    database: str
    figure: float
    unit: str
    target: float
    at_least: bool
    told: str

    @property
    def held(self) -> bool:
        return self.figure >= self.target if self.at_least else self.figure <= self.target


def percentile(values: Sequence[float], hundredth: int) -> float:
    """The value that so many of a hundred do not exceed."""
    return sorted(values)[max(0, -(-len(values) * hundredth // 100) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of one side's value over the other's in the same round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
