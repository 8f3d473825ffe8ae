"""Parsing rates."""

from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notifications.core.rates import TEN_YEARS, UNITS, Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "tokens", "seconds", "burst"),
    [
        ("100/h", 100, 3600, 100),
        ("14/s", 14, 1, 14),
        ("50/m", 50, 60, 50),
        ("1000/d", 1000, 86_400, 1000),
        ("100/h burst 20", 100, 3600, 20),
        ("1/s burst 500", 1, 1, 500),
    ],
)
def test_a_rate_is_parsed(text, tokens, seconds, burst):
    assert parse_rate(text) == Rate(tokens, seconds, burst)
    assert str(parse_rate(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "100", "h", "100/y", "100/hour", "-1/h", "1.5/h", "100 / h", "100/h burst", "100/h burst -1", "100/H", "١/h"],
)
def test_a_text_that_is_not_a_rate_is_refused_with_advice(text):
    with pytest.raises(ValueError, match=r"is not a rate\. Write \"100/h\""):
        parse_rate(text)


@pytest.mark.parametrize("value", [100, None, 1.5, ["100/h"]])
def test_a_value_that_is_not_a_text_is_not_a_rate(value):
    with pytest.raises((ValueError, TypeError)):
        parse_rate(value)


@pytest.mark.parametrize("text", ["0/h", "5/h burst 0", "2000000/s"])
def test_a_rate_that_allows_nothing_or_everything_is_refused(text):
    with pytest.raises(ValueError, match="at least 1 and at most a million a second"):
        parse_rate(text)


def test_a_burst_that_takes_more_than_ten_years_to_fill_is_refused():
    with pytest.raises(ValueError, match="ten years"):
        parse_rate("1/d burst 999999999")


@pytest.mark.parametrize("numbers", [(float("nan"), 1, 1), (1, 0, 1), (1, 1, 0.5), (1, float("inf"), 1)])
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="A rate"):
        Rate(*numbers)


@given(tokens=st.integers(1, 1_000_000), unit=st.sampled_from(sorted(UNITS)), burst=st.integers(1, 10_000))
def test_the_time_of_a_token_is_never_too_short_and_less_than_a_microsecond_too_long(tokens, unit, burst):
    assume(UNITS[unit] / tokens * burst <= TEN_YEARS)
    read = parse_rate(f"{tokens}/{unit} burst {burst}")
    exact = UNITS[unit] * 1_000_000
    microseconds = read.interval // timedelta(microseconds=1)
    assert exact <= microseconds * tokens < exact + tokens
    assert read.time_to_fill == read.interval * burst
