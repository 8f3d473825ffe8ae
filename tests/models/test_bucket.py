"""The table of token buckets."""

from datetime import UTC, datetime, timedelta

import pytest

from notifications.delivering.limits import TokenRequest, parse_rate, take_tokens
from notifications.models import Bucket

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def draw(key, count=1, text="1/m", now=NOON):
    return take_tokens({number: [TokenRequest(key, parse_rate(text))] for number in range(count)}, "default", now)


def keys():
    return set(Bucket.objects.values_list("key", flat=True))


def test_a_missing_bucket_is_created_full():
    locked = Bucket.objects.lock(["b", "a", "b"], NOON)
    assert set(locked) == {"a", "b"}
    assert {(row.full_at, row.seen_at, row.promised_at) for row in locked.values()} == {(NOON, NOON, NOON)}


def test_an_existing_bucket_stays_unchanged():
    [bucket] = Bucket.objects.lock(["a"], NOON).values()
    bucket.full_at += HOUR
    Bucket.objects.write([bucket])
    assert Bucket.objects.lock(["a"], NOON + HOUR)["a"].full_at == NOON + HOUR
    assert Bucket.objects.count() == 1


def test_writing_no_buckets_runs_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        Bucket.objects.write([])


def test_microseconds_are_kept():
    now = NOON + timedelta(microseconds=7)
    draw("a", text="7/s", now=now)
    assert Bucket.objects.get().full_at == now + timedelta(microseconds=142_858)


def test_buckets_that_have_been_full_for_an_hour_are_deleted():
    draw("full")
    draw("empty", text="1/d")
    assert Bucket.objects.delete_full(NOON + HOUR) == 0
    assert Bucket.objects.delete_full(NOON + HOUR + timedelta(minutes=1)) == 1
    assert keys() == {"empty"}


def test_deletion_is_limited_and_starts_with_the_longest_full():
    for number in range(5):
        draw(f"{number}", now=NOON + timedelta(seconds=number))
    assert Bucket.objects.delete_full(NOON + 2 * HOUR, limit=3) == 3
    assert keys() == {"3", "4"}
    assert Bucket.objects.delete_full(NOON + 2 * HOUR) == 2
    assert Bucket.objects.delete_full(NOON + 2 * HOUR) == 0


def test_deletion_gives_no_additional_tokens():
    draw("a", text="60/h burst 1")
    Bucket.objects.delete_full(NOON + timedelta(minutes=61))
    assert draw("a", 5, text="60/h burst 1", now=NOON + timedelta(minutes=61)).ids == {0}
