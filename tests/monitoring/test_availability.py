"""Samples of the queue, and the share of minutes in which deliveries were in time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from notifications.core import clock
from notifications.models import Availability, Delivery, Notification, QueueSample
from notifications.monitoring.figures import delete_old_figures, measure_bands, roll_up_availability, sample_queue
from notifications.monitoring.figures.availability import count_minutes
from tests.delivering.scripted import refuse_orders

pytestmark = pytest.mark.django_db
START = datetime(2030, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = START + timedelta(hours=12)


def add_sample(minute: int, high: float = 0.0) -> None:
    at = START + minute * MINUTE
    QueueSample.objects.create(minute=at, measured_at=at + timedelta(seconds=40), delay_high=high)


def availability(band: str = "high") -> list[tuple[int, int, int]]:
    rows = Availability.objects.filter(band=band).order_by("hour")
    return [(row.hour.hour, row.minutes, row.good_minutes) for row in rows]


def test_an_empty_queue_has_no_delay():
    assert set(measure_bands("default", timezone.now()).values()) == {0}


def test_a_ready_delivery_is_late_since_its_send_or_since_it_became_due():
    now = timezone.now()
    refuse_orders(2)
    Notification.objects.update(created_at=now - timedelta(seconds=90))
    first, second = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=first.pk).update(due_at=now - timedelta(seconds=5))
    measured = measure_bands("default", now)
    assert (measured["ready_high"], measured["delay_high"], measured["delay_critical"]) == (2, 90.0, 0.0)
    Delivery.objects.filter(pk=second.pk).update(due_at=now - timedelta(seconds=7))
    assert measure_bands("default", now)["delay_high"] == 7.0


def test_a_waiting_delivery_is_late_once_it_is_due():
    now = timezone.now()
    refuse_orders(2)
    Delivery.objects.update(state="retry", due_at=now + timedelta(seconds=5))
    assert measure_bands("default", now)["delay_high"] == 0
    measured = measure_bands("default", now + timedelta(seconds=25))
    assert (measured["waiting_high"], measured["delay_high"]) == (2, 20.0)


def test_a_minute_has_one_sample_with_the_highest_delay():
    now = START + timedelta(seconds=5)
    refuse_orders(1)
    Notification.objects.update(created_at=now - timedelta(seconds=90))
    assert sample_queue(now)
    assert not sample_queue(now + timedelta(seconds=10))  # Another process has just measured.
    Delivery.objects.all().delete()
    assert sample_queue(now + timedelta(seconds=30))
    sample = QueueSample.objects.get()
    assert (sample.minute, sample.ready_high, sample.delay_high) == (START, 0, 90.0)


def test_minutes_in_which_something_was_late_are_bad(settings):
    for minute in range(4):
        add_sample(minute, high=90 if minute == 2 else 4)
    roll_up_availability(LATER)
    assert availability() == [(12, 4, 3)]
    assert availability("critical") == [(12, 4, 4)]
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "METRICS": {"LATENCY": {"high": 100}}}
    roll_up_availability(LATER)
    assert availability() == [(12, 4, 4)]


def test_minutes_without_a_sample_are_bad_while_something_was_overdue():
    add_sample(0)
    # At 12:10:40, something is 5 minutes late: it was due at 12:05:40.
    add_sample(10, high=300)
    roll_up_availability(LATER)
    # 12:05 ends 20 s after that time, which is more than the 5 s of the band. So 12:05 to 12:10 are bad.
    assert availability() == [(12, 11, 5)]


def test_hours_without_any_worker_are_filled_once_one_is_back():
    add_sample(58)
    roll_up_availability(LATER)
    assert availability() == [(12, 1, 1)]
    add_sample(185)
    roll_up_availability(LATER)
    assert availability() == [(12, 2, 2), (13, 60, 60), (14, 60, 60), (15, 6, 6)]


def test_the_result_does_not_depend_on_when_it_is_calculated():
    for minute in range(0, 150):
        add_sample(minute, high=90 if minute % 3 else 0)
        if minute % 25 == 0:
            roll_up_availability(LATER)
    roll_up_availability(LATER)
    by_steps = availability()
    Availability.objects.all().delete()
    roll_up_availability(LATER)
    assert availability() == by_steps == [(12, 60, 20), (13, 60, 20), (14, 30, 10)]


def test_samples_of_the_future_are_no_obstacle_once_the_clock_was_set_back():
    add_sample(24 * 60)
    Availability.objects.create(hour=START + timedelta(days=1), band="high", minutes=1, good_minutes=1)
    assert sample_queue(START)
    assert roll_up_availability(START) > 0
    assert availability()[0] == (12, 1, 1)
    add_sample(100 * 24 * 60)
    with clock.override(lambda: LATER):
        delete_old_figures("default", START)
    assert QueueSample.objects.count() == 3


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 59), st.integers(0, 9000)), min_size=1, max_size=8))
def test_the_minutes_of_whole_hours_are_those_counted_one_by_one(rows):
    samples, minute = [], 0
    for distance, second, delay in rows:
        minute += distance
        at = START + minute * MINUTE
        samples.append(QueueSample(minute=at, measured_at=at + timedelta(seconds=second), delay_high=delay))
    expected = {}
    for number in range(minute + 1):
        now = START + number * MINUTE
        sample = next(sample for sample in samples if sample.minute >= now)
        delay = sample.delay_high - max(0.0, (sample.measured_at - now - MINUTE).total_seconds())
        minutes, good = expected.get(now.replace(minute=0), (0, 0))
        expected[now.replace(minute=0)] = (minutes + 1, good + (delay <= 60))
    assert count_minutes(samples, "high", 60, START) == expected


def test_hours_of_a_year_without_workers_are_counted():
    add_sample(0)
    roll_up_availability(START)
    add_sample(365 * 24 * 60)
    roll_up_availability(START + timedelta(days=365))
    assert Availability.objects.filter(band="high", minutes=60, good_minutes=60).count() == 365 * 24
