"""Many who send the same at once: each recipient is served once, repeats are counted, and none waits for ever."""

import random
from collections import Counter
from contextlib import nullcontext
from threading import Barrier, Thread, get_ident

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Sum

from notifications.exceptions import IdempotencyConflict
from notifications.models import Cluster, Delivery, Fingerprint, Notification, NotificationLog
from notifications.testing import temporary_events
from tests.factories import UserFactory
from tests.processes import raced, until
from tests.races.sending import register_leaks, send_leak
from tests.races.test_buckets import PROCESSES, THREADS, in_threads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def leaks():
    # Where it does not exist yet the first send makes it, and all others wait for that one: nobody races any more.
    Cluster.objects.default()
    with temporary_events():
        register_leaks()
        yield


def many(count):
    User.objects.bulk_create(User(username=f"u{i}", email=f"u{i}@example.com") for i in range(count))
    return list(User.objects.order_by("pk"))


def test_of_fifty_who_send_the_same_one_serves_and_the_others_are_counted():
    user = UserFactory()
    results = in_threads(lambda number: send_leak([user]))
    assert Counter(result.queued for result in results) == {2: 1, 0: THREADS - 1}
    assert Delivery.objects.count() == 2
    assert Fingerprint.objects.get().folded == THREADS - 1
    assert NotificationLog.objects.filter(reason="duplicate").count() == 2 * (THREADS - 1)


def test_each_recipient_is_served_once_whoever_sends_to_whom_in_whatever_order(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHUNK_SIZE": 5}
    users = many(40)

    def job(number):
        chance, asked = random.Random(number), 0
        for _ in range(2):
            some = chance.sample(users, 25)
            send_leak(some)
            asked += len(some)
        return asked

    asked = sum(in_threads(job))
    served = Counter(Delivery.objects.values_list("recipient_key", "channel"))
    assert len(served) == 2 * len(users)
    assert set(served.values()) == {1}
    assert Fingerprint.objects.aggregate(Sum("folded"))["folded__sum"] == asked - len(users)


def test_eight_processes_serve_once_too():
    users = many(5)
    code = "from tests.races.sending import send_leaks; print(send_leaks(10, began))"
    assert sum(map(int, raced(code, PROCESSES))) == 10
    assert Delivery.objects.count() == 10 * 2 * len(users)
    assert list(Fingerprint.objects.values_list("folded", flat=True)) == [2 * PROCESSES - 1] * 10 * len(users)


@pytest.mark.slow
def test_ten_thousand_in_opposite_orders_each_in_its_own_transaction_do_not_deadlock(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHUNK_SIZE": 1000}
    users = many(10_000)
    begun = []

    def meeting(execute, sql, params, many, context):
        """Whoever has reserved the first chunk goes on when the other has as well, or waits for it."""
        result = execute(sql, params, many, context)
        if "INSERT INTO klaxon_fingerprint" in sql and get_ident() not in begun:
            begun.append(get_ident())
            until(lambda: len(begun) == 2 or someone_waits())
        return result

    def job(number):
        # On SQLite a transaction has the whole database from its beginning.
        wrapper = connection.execute_wrapper(meeting) if connection.vendor == "postgresql" else nullcontext()
        with wrapper, transaction.atomic():
            return send_leak((users, users[::-1])[number]).queued

    assert sorted(in_threads(job, 2)) == [0, 20_000]
    assert Delivery.objects.count() == 20_000
    assert Fingerprint.objects.filter(folded=1).count() == 10_000


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="there the whole database is locked meanwhile")
def test_of_two_transactions_that_send_the_same_twice_in_opposite_orders_one_fails_and_the_other_commits():
    users = many(2)
    together = Barrier(2)

    def job(number):
        first, second = (users, users[::-1])[number]
        try:
            with transaction.atomic():
                served = send_leak([first]).queued
                together.wait()
                return served + send_leak([second]).queued
        except OperationalError:
            return "repeat it"

    # As the docs say: which of them fails, the database decides.
    assert Counter(in_threads(job, 2)) == {4: 1, "repeat it": 1}
    assert Counter(Delivery.objects.values_list("recipient", flat=True)) == {user.pk: 2 for user in users}


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="there the whole database is locked meanwhile")
def test_who_comes_second_waits_for_the_first_and_is_folded_only_if_it_commits(commit):
    user, results = UserFactory(), []

    def second():
        results.append(send_leak([user]))
        connections.close_all()

    with transaction.atomic():
        send_leak([user])
        other = Thread(target=second)
        other.start()
        until(someone_waits)
        assert results == []
        transaction.set_rollback(not commit)
    other.join()
    # The deliveries of the first were committed while the second waited; it must see them all the same.
    assert results[0].queued == (0 if commit else 2)
    assert Delivery.objects.count() == 2


def someone_waits():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]


def test_fingerprints_that_are_forgotten_meanwhile_are_exact_all_the_same():
    users = many(10)
    send_leak(users)
    Fingerprint.objects.update(until="2020-01-01T00:00Z")
    now = Notification.objects.get().created_at

    def job(number):
        Fingerprint.objects.delete_ended(now, limit=1)
        return send_leak(users).queued

    assert sum(in_threads(job)) == 2 * len(users)


class TestIdempotency:
    def test_of_fifty_threads_with_one_key_one_queues_and_all_get_its_figures(self):
        users = many(3)
        results = in_threads(lambda number: send_leak(users, idempotency_key="one"))
        assert Counter(result.duplicate for result in results) == {False: 1, True: THREADS - 1}
        assert len({result.notification_id for result in results}) == 1
        assert {result.queued for result in results} == {6}
        assert Notification.objects.count() == 1
        assert Delivery.objects.count() == 6

    def test_of_fifty_with_one_key_and_two_contents_one_content_wins(self):
        user = UserFactory()

        def job(number):
            try:
                return send_leak([user], f"room {number % 2}", idempotency_key="one").duplicate
            except IdempotencyConflict:
                return "conflict"

        assert Counter(in_threads(job)) == {False: 1, True: THREADS // 2 - 1, "conflict": THREADS // 2}
        assert Delivery.objects.count() == 2

    def test_eight_processes_with_the_same_keys_queue_each_once(self):
        users = many(3)
        code = "from tests.races.sending import send_with_keys; print(send_with_keys(20, 2))"
        assert sum(map(int, raced(code, PROCESSES))) == 20
        assert Notification.objects.count() == 20
        assert Delivery.objects.count() == 20 * 2 * len(users)
