"""Rates: how often something may happen, written as people say it: ``"100/h"``, ``"14/s"``, ``"50/m burst 100"``."""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from math import ceil

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
RATE_PATTERN = re.compile(r"([0-9]{1,9})/([smhd])(?: burst ([0-9]{1,9}))?")
MICROSECONDS = 1_000_000
# In seconds. What takes longer to fill is a typing error, and would leave the calendar.
TEN_YEARS = 315_360_000


@dataclass(frozen=True)
class Rate:
    """How fast a bucket fills, and how much it holds.

    :param tokens: how many come in ``seconds``, at most a million a second.
    :param burst: how many the bucket holds: what may go at once after a quiet time.
    :raises ValueError: if it could never let anything through, or would take more than ten years to fill.
    """

    tokens: float
    seconds: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and 0 < self.tokens <= self.seconds * MICROSECONDS and self.burst >= 1):
            raise ValueError("A rate lets through and holds at least 1, and at most a million a second.")
        if self.seconds / self.tokens * self.burst > TEN_YEARS:
            raise ValueError("A rate must fill its burst within ten years.")

    def __str__(self) -> str:
        unit = next((name for name, seconds in UNITS.items() if seconds == self.seconds), f"{self.seconds:g} s")
        burst = "" if self.burst == self.tokens else f" burst {self.burst:g}"
        return f"{self.tokens:g}/{unit}{burst}"

    @cached_property
    def interval(self) -> timedelta:
        """The time in which one token comes. Rounded up, so that no rate is ever exceeded."""
        return timedelta(microseconds=ceil(self.seconds * MICROSECONDS / self.tokens))

    @cached_property
    def time_to_fill(self) -> timedelta:
        """How long an empty bucket takes until it is full."""
        return self.interval * self.burst


@cache
def parse_rate(text: str) -> Rate:
    """Read a rate such as ``"100/h"`` (per s, m, h or d) or ``"100/h burst 20"``; the burst is else one unit's worth.

    :raises ValueError: in a sentence, if it cannot be read or makes no sense.
    """
    written = RATE_PATTERN.fullmatch(text) if isinstance(text, str) else None
    if not written:
        raise ValueError(f'{text!r} is no rate. Write "100/h", or "100/h burst 20", per s, m, h or d.')
    tokens, unit, burst = written.groups()
    return Rate(float(tokens), float(UNITS[unit]), float(burst or tokens))
