"""Many takers at one bucket, while the clock stands still: exactly its burst passes."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection, connections

from notifications.delivering.limits import TokenRequest, parse_rate, take_tokens
from notifications.models import Bucket
from tests.processes import raced
from tests.races.taking import take_many

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
THREADS = 50
PROCESSES = 8


def in_threads(job, threads=THREADS):
    """What the job returned in each of fifty threads, which are connected and begin together."""
    together = Barrier(threads)

    def run(number):
        try:
            connection.ensure_connection()
            if connection.vendor == "sqlite":
                # On a busy machine, so many threads take longer than the time-out of the site.
                connection.cursor().execute("PRAGMA busy_timeout = 120000")
            together.wait()
            return job(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def test_fifty_threads_get_exactly_a_hundred_tokens_out_of_a_bucket_of_a_hundred():
    passed = in_threads(lambda number: take_many("one", "100/h", NOON, 4))
    assert sum(passed) == 100
    assert Bucket.objects.get().full_at == NOON + timedelta(hours=1)


def test_eight_processes_get_exactly_a_hundred_tokens_out_of_a_bucket_of_a_hundred():
    take = f"take_many('one', '100/h', datetime.fromisoformat('{NOON.isoformat()}'), 40)"
    code = f"from datetime import datetime; from tests.races.taking import take_many; print({take})"
    assert sum(map(int, raced(code, PROCESSES))) == 100


def test_takers_of_many_buckets_never_wait_for_each_other_and_each_bucket_is_exact():
    keys = [f"bucket {number}" for number in range(8)]

    def job(number):
        chance, passed = random.Random(number), Counter()
        for _ in range(4):
            wanted = {id: [TokenRequest(key, parse_rate("20/h")) for key in chance.sample(keys, 4)] for id in range(3)}
            for id in take_tokens(wanted, "default", NOON).ids:
                passed.update(need.key for need in wanted[id])
        return passed

    passed = sum(in_threads(job), Counter())
    for bucket in Bucket.objects.all():
        assert bucket.full_at == NOON + passed[bucket.key] * timedelta(minutes=3)
    # 2,400 tokens were asked for and there were 160: so many are refused that some of the buckets must be empty.
    assert max(passed.values()) == 20


LONG_FULL = NOON - timedelta(hours=2)


def full_buckets(keys):
    Bucket.objects.bulk_create(
        Bucket(key=key, full_at=LONG_FULL, seen_at=LONG_FULL, promised_at=LONG_FULL) for key in keys
    )


def test_a_bucket_that_is_forgotten_meanwhile_is_exact_all_the_same():
    keys = [f"bucket {number}" for number in range(10)]
    full_buckets(keys)

    def job(number):
        passed = Counter()
        for key in keys:
            Bucket.objects.delete_full(NOON, limit=1)
            passed[key] += take_many(key, "20/h", NOON, 1)
        return passed

    passed = sum(in_threads(job), Counter())
    assert passed == dict.fromkeys(keys, 20)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="there the whole database is locked meanwhile")
def test_a_bucket_cannot_be_forgotten_once_it_was_looked_for():
    full_buckets(["one"])
    forgotten = []

    def forget():
        forgotten.append(Bucket.objects.delete_full(NOON))
        connections.close_all()

    def forget_after(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "INSERT" in sql:
            other = Thread(target=forget)
            other.start()
            other.join()
        return result

    with connection.execute_wrapper(forget_after):
        assert take_many("one", "20/h", NOON, 1) == 1
    assert forgotten == [0]
