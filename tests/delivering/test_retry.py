"""The retry schedule, a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.delivering.attempt_outcomes import delays_for, next_retry_delay
from notifications.events import NotificationEvent, NotificationPriority

DELAYS = st.lists(st.floats(0, 1e6), max_size=6).map(tuple)
FRACTION = st.floats(0, 1)


@given(DELAYS, FRACTION, FRACTION, st.integers(1, 8))
def test_each_delay_of_the_schedule_is_used_once(delays, jitter, chance, attempts):
    wait = next_retry_delay(attempts, delays, jitter, chance)
    assert (wait is None) == (attempts > len(delays))


@given(DELAYS.filter(len), FRACTION, FRACTION)
def test_a_wait_deviates_by_at_most_the_jitter(delays, jitter, chance):
    wait = next_retry_delay(1, delays, jitter, chance)
    slack = 1e-6 * (1 + delays[0])
    assert delays[0] * (1 - jitter) - slack <= wait <= delays[0] * (1 + jitter) + slack
    assert wait >= 0


@given(DELAYS.filter(len), FRACTION, FRACTION, st.floats(0, 86_400))
def test_a_wait_is_never_shorter_than_the_provider_asked_for(delays, jitter, chance, retry_after):
    # Up to a day, because a longer wait is limited.
    assert next_retry_delay(1, delays, jitter, chance, retry_after) >= retry_after


@given(FRACTION, st.floats(min_value=0, allow_infinity=True))
def test_a_provider_can_ask_for_a_day_at_most(chance, retry_after):
    assert next_retry_delay(1, (60,), 0.1, chance, retry_after) <= 86_400


@given(FRACTION, st.integers(1, 5))
def test_no_delays_mean_no_retry(chance, attempts):
    assert next_retry_delay(attempts, (), 0.1, chance, retry_after=5) is None


def test_without_jitter_the_schedule_is_exact():
    assert [next_retry_delay(attempt, (60, 300, 900), 0, 0.5) for attempt in (1, 2, 3, 4)] == [60, 300, 900, None]


def test_the_random_value_covers_the_whole_range():
    assert next_retry_delay(1, (100,), 0.1, 0) == pytest.approx(90)
    assert next_retry_delay(1, (100,), 0.1, 1) == pytest.approx(110)


def event(retry_delays=None):
    return NotificationEvent("door_opened", NotificationPriority.LOW, ["email"], retry_delays=retry_delays)


def test_an_event_overrides_the_channel_and_a_channel_overrides_the_site(settings):
    settings.NOTIFICATIONS = {"RETRY_DELAYS": [1], "CHANNELS": {"email": {"RETRY_DELAYS": [2, 2]}}}
    assert delays_for(event((3, 3, 3)), "email") == (3, 3, 3)
    assert delays_for(event(), "email") == (2, 2)
    assert delays_for(event(), "app") == (1,)


def test_each_level_can_declare_an_exponential_schedule(settings):
    settings.NOTIFICATIONS = {
        "RETRY_DELAYS": "exponential:1,2,4",
        "CHANNELS": {"email": {"RETRY_DELAYS": "exponential:2,2,8"}},
    }
    assert delays_for(event("exponential:3,2,12"), "email") == (3, 6, 12)
    assert delays_for(event(), "email") == (2, 4, 8)
    assert delays_for(event(), "app") == (1, 2, 4)


@pytest.mark.parametrize("wrong", [60, "60", [60, "300"], [-1], "exponential:60,1,6h"])
def test_an_event_with_invalid_delays_cannot_be_declared(wrong):
    with pytest.raises(ValueError, match="retry_delays of event 'door_opened' is .* It must "):
        event(wrong)


def test_each_level_can_turn_retries_off(settings):
    settings.NOTIFICATIONS = {"RETRY_DELAYS": [], "CHANNELS": {"email": {"RETRY_DELAYS": []}}}
    assert delays_for(event(()), "email") == ()
    assert delays_for(event(), "email") == ()
    assert delays_for(event(), "app") == ()


def test_a_disabled_channel_has_the_delays_of_the_site(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False, "RETRY_DELAYS": [2]}}}
    assert delays_for(event(), "email") == (60, 300, 900)
