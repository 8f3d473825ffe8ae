"""Rates: how often something may happen, such as ``"100/h"``, ``"14/s"`` or ``"50/m burst 100"``."""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from math import ceil

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
RATE_PATTERN = re.compile(r"([0-9]{1,9})/([smhd])(?: burst ([0-9]{1,9}))?")
MICROSECONDS = 1_000_000
# In seconds. A longer time is a typing error and could exceed the range of dates.
TEN_YEARS = 315_360_000


@dataclass(frozen=True)
class Rate:
    """A rate limit: how fast a token bucket fills, and how much it holds.

    :param tokens: the number of tokens that are added in ``seconds``, at most a million a second.
    :param burst: the number of tokens that the bucket holds, which can be used at once after an idle time.
    :raises ValueError: if the rate could never allow anything, or the bucket would take more than ten years to fill.
    """

    tokens: float
    seconds: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and 0 < self.tokens <= self.seconds * MICROSECONDS and self.burst >= 1):
            raise ValueError(
                "A rate must allow at least 1 and at most a million a second, and its burst must be at least 1."
            )
        if self.seconds / self.tokens * self.burst > TEN_YEARS:
            raise ValueError("A rate must fill its burst within ten years. Lower the burst.")

    def __str__(self) -> str:
        unit = next((name for name, seconds in UNITS.items() if seconds == self.seconds), f"{self.seconds:g} s")
        burst = "" if self.burst == self.tokens else f" burst {self.burst:g}"
        return f"{self.tokens:g}/{unit}{burst}"

    @cached_property
    def interval(self) -> timedelta:
        """The time until one token is added. Rounded up, so that the rate is never exceeded."""
        return timedelta(microseconds=ceil(self.seconds * MICROSECONDS / self.tokens))

    @cached_property
    def time_to_fill(self) -> timedelta:
        """The time in which an empty bucket becomes full."""
        return self.interval * self.burst


@cache
def parse_rate(text: str) -> Rate:
    """Parse a rate such as ``"100/h"`` (per s, m, h or d) or ``"100/h burst 20"``.

    By default, the burst is the number of tokens of one unit.

    :raises ValueError: if the text is not a rate or the rate is impossible. The message says what to write.
    """
    written = RATE_PATTERN.fullmatch(text) if isinstance(text, str) else None
    if not written:
        raise ValueError(f'{text!r} is not a rate. Write "100/h", or "100/h burst 20", per s, m, h or d.')
    tokens, unit, burst = written.groups()
    return Rate(float(tokens), float(UNITS[unit]), float(burst or tokens))
