import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from notifications.core import clock

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.mark.django_db
def test_now_is_aware_and_in_utc():
    with timezone.override("America/New_York"):
        now = clock.now()
    assert now.utcoffset() == timedelta(0)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.django_db
def test_now_advances_within_a_transaction():
    with transaction.atomic():
        first = clock.now()
        assert clock.now() > first


@pytest.mark.django_db
def test_the_time_is_read_from_the_database_only_on_postgresql(django_assert_num_queries):
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 0):
        clock.now()


def test_an_override_affects_only_its_block_and_runs_no_query():
    with clock.override(lambda: NOON):
        assert clock.now() == NOON
        with clock.override(lambda: NOON + timedelta(hours=1)):
            assert clock.now().hour == 13
        assert clock.now() == NOON
    assert clock._override is None


def test_an_override_ends_after_an_error():
    with pytest.raises(RuntimeError), clock.override(lambda: NOON):
        raise RuntimeError
    assert clock._override is None


@pytest.mark.django_db
def test_the_cached_time_is_read_once_a_second(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(clock, "MAX_AGE_SECONDS", 1.0)
    monkeypatch.setattr(clock, "_readings", {})
    on_server = connection.vendor == "postgresql"
    with django_assert_num_queries(1 if on_server else 0):
        times = [clock.cached_now() for _ in range(100)]
    assert times == sorted(times)
    assert abs(clock.now() - times[-1]) < timedelta(seconds=0.5)
    ago = time.monotonic() - 1
    monkeypatch.setattr(clock, "_readings", {key: (read, ago) for key, (read, _) in clock._readings.items()})
    with django_assert_num_queries(1 if on_server else 0):
        clock.cached_now()
