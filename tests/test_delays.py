"""Parsing retry schedules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.delays import find_delays_fault, parse_delays


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ([], ()),
        ([60, 0.5], (60, 0.5)),
        ("exponential:60,2,6h", (60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600)),
        ("exponential: 1m, 3, 10m", (60, 180, 540, 600)),
        ("exponential:1.5s,10,1d", (1.5, 15, 150, 1500, 15000, 86400)),
        ("exponential:60,2,60s", (60,)),
    ],
)
def test_a_schedule_is_parsed(written, seconds):
    assert parse_delays(written) == seconds
    assert find_delays_fault(written) == ""


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (60, "It must be a list of seconds, or a text such as"),
        ("60", "It must be a list of seconds, or a text such as"),
        ("linear:60,2,6h", "It must be a list of seconds, or a text such as"),
        ("exponential:60,2", "It must be a list of seconds, or a text such as"),
        ("exponential:60,2,6w", "It must be a list of seconds, or a text such as"),
        ("exponential:-60,2,6h", "It must be a list of seconds, or a text such as"),
        ("exponential:0,2,6h", "It must begin with a delay of more than 0 seconds."),
        ("exponential:60,1,6h", "It must have a factor above 1, so that its delays grow."),
        ("exponential:60,0.5,6h", "It must have a factor above 1, so that its delays grow."),
        ("exponential:60,2,30", "It must end with a delay that is at least the first"),
        ("exponential:60,2,9999d", "It must end with a delay that is at least the first one and at most ten years"),
        ("exponential:60,1.001,6h", "It must reach the longest delay within 100 attempts. Use a larger factor."),
    ],
)
def test_an_invalid_schedule_is_refused_with_advice(written, sentence):
    assert find_delays_fault(written).startswith(sentence)
    with pytest.raises(ValueError, match="It must"):
        parse_delays(written)


@given(st.integers(1, 10_000), st.integers(2, 10), st.integers(1, 3000))
def test_delays_grow_from_the_first_to_the_longest(first, factor, days):
    schedule = parse_delays(f"exponential:{first},{factor},{days}d")
    assert schedule[0] == first
    assert schedule[-1] == days * 86_400
    assert list(schedule) == sorted(set(schedule))
