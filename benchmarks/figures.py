"""One row of the table.

This module does not import Django, because the process that prints the table does not need it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Figures:
    """A figure of one database, its target and how it was measured.

    ``unit`` is ``"x"`` for a ratio, or a unit such as ``"ms"``. ``at_least`` says whether ``target`` is a minimum or a
    maximum. ``details`` says how the figure was measured, with absolute figures, which only apply to this run.
    """

    what: str
    database: str
    figure: float
    unit: str
    target: float
    at_least: bool
    details: str

    @property
    def is_met(self) -> bool:
        """Whether the figure meets its target."""
        return self.figure >= self.target if self.at_least else self.figure <= self.target


def percentile(values: Sequence[float], hundredth: int) -> float:
    """Return the value that this percentage of the values does not exceed."""
    return sorted(values)[max(0, -(-len(values) * hundredth // 100) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of two sides' values in the same round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
