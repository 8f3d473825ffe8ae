"""Retry schedules: a list of seconds, or a text such as ``"exponential:60,2,6h"`` that says how the delays grow."""

import re
from collections.abc import Iterator
from typing import Any

from notifications.core.rates import TEN_YEARS, UNITS

NUMBER_PATTERN = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
EXPONENTIAL_PATTERN = re.compile(
    rf"exponential:\s*{NUMBER_PATTERN}([smhd]?)\s*,\s*{NUMBER_PATTERN}\s*,\s*{NUMBER_PATTERN}([smhd]?)\s*"
)
MAX_DELAYS = 100
DELAYS_HINT = 'a list of seconds, or a text such as "exponential:60,2,6h": the first delay, a factor, the longest delay'


def parse_delays(written: Any) -> tuple[float, ...]:
    """Parse a retry schedule and return the seconds before each retry.

    ``"exponential:60,2,6h"`` begins with 60 seconds, doubles, and ends with one delay of six hours. Delays are in
    seconds unless they have a unit: ``s``, ``m``, ``h`` or ``d``.

    :param written: a list or tuple of seconds, or such a text.
    :raises ValueError: if it is not a retry schedule. The message says what it must be.
    """
    if isinstance(written, str):
        return tuple(_parse_exponential(written))
    if not isinstance(written, list | tuple) or not all(_is_delay(item) for item in written):
        raise ValueError(f"It must be {DELAYS_HINT}.")
    return tuple(written)


def find_delays_fault(written: Any) -> str:
    """Return why a value is not a retry schedule, or an empty string if it is one."""
    try:
        parse_delays(written)
    except ValueError as error:
        return str(error)
    return ""


def _is_delay(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool) and 0 <= item <= TEN_YEARS


def _parse_exponential(text: str) -> Iterator[float]:
    match = EXPONENTIAL_PATTERN.fullmatch(text)
    if not match:
        raise ValueError(f"It must be {DELAYS_HINT}.")
    first, first_unit, factor, longest, longest_unit = match.groups()
    delay, growth, last = _to_seconds(first, first_unit), float(factor), _to_seconds(longest, longest_unit)
    _check(delay, growth, last)
    for _ in range(MAX_DELAYS):
        if delay >= last:
            yield last
            return
        yield delay
        delay *= growth
    raise ValueError(f"It must reach the longest delay within {MAX_DELAYS} attempts. Use a larger factor.")


def _check(first: float, factor: float, longest: float) -> None:
    if first <= 0:
        raise ValueError("It must begin with a delay of more than 0 seconds.")
    if factor <= 1:
        raise ValueError("It must have a factor above 1, so that its delays grow.")
    if not first <= longest <= TEN_YEARS:
        raise ValueError("It must end with a delay that is at least the first one and at most ten years.")


def _to_seconds(number: str, unit: str) -> float:
    return float(number) * UNITS[unit or "s"]
