"""Many who send at once into an outbox with a limit: it is never exceeded, and no send is cut in half."""

from collections import Counter
from threading import Event, Thread

import pytest
from django.db import connection, connections, transaction

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog
from tests.factories import UserFactory
from tests.processes import raced
from tests.races.test_buckets import in_threads
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)

SENDERS = 16


@pytest.fixture(autouse=True)
def three_members(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 20}
    Cluster.objects.default()
    return UserFactory.create_batch(3)


def by_send():
    return Counter(Counter(Delivery.objects.values_list("notification", flat=True)).values())


def order(users, **options):
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, users, None, {}, **options)


def test_sixteen_threads_fill_the_outbox_exactly(three_members):
    queued = in_threads(lambda number: order(three_members[:2]).queued, SENDERS)
    assert Counter(queued) == {2: 10, 0: 6}
    assert (Delivery.objects.count(), by_send()) == (20, {2: 10})
    assert NotificationLog.objects.filter(reason="queue_full").count() == 6


def test_what_does_not_fit_exactly_is_left_out_whole(three_members):
    in_threads(lambda number: order(three_members).queued, SENDERS)
    assert by_send() == {3: 6}


def test_sixteen_processes_fill_the_outbox_exactly():
    code = "from tests.races.limited import send_into; print(sum(send_into(20, 3)))"
    assert sum(map(int, raced(code, SENDERS))) == 18
    assert by_send() == {3: 6}


def test_transactions_of_several_sends_wait_for_each_other_and_never_in_a_circle(three_members):
    first, second = three_members[:2]

    def job(number):
        users = ([first], [second])[:: 1 if number % 2 else -1]
        with transaction.atomic():
            return sum(order(some, idempotency_key=f"{number}-{some[0].pk}").queued for some in users)

    assert sum(in_threads(job, SENDERS)) == 20


def test_a_rollback_gives_its_room_back(three_members):
    def job(number):
        with transaction.atomic():
            queued = order(three_members[:2]).queued
            if number % 2:
                transaction.set_rollback(True)
                return 0
        return queued

    assert sum(in_threads(job, SENDERS)) == Delivery.objects.count()
    assert order(three_members[:2]).queued or Delivery.objects.count() == 20
    assert Delivery.objects.count() <= 20


def test_threads_that_shed_shed_whole_sends_and_never_go_beyond_the_limit(three_members, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}, "email": {}}, "QUEUE_LIMIT": 20, "QUEUE_FULL": "shed"}
    newsletters = [NotificationManager.send(ShopEvents.NEWSLETTER, three_members).notification_id for _ in range(6)]
    queued = in_threads(lambda number: order(three_members[:2]).queued, SENDERS)
    assert Counter(queued) == {2: 10, 0: 6}
    assert Delivery.objects.filter(state="ready").count() == 20
    states = {pk: set(Delivery.objects.filter(notification=pk).values_list("state", flat=True)) for pk in newsletters}
    assert list(states.values()) == [{"dropped"}] * 6
    assert NotificationLog.objects.filter(reason="shed").count() == 18


def test_what_workers_take_meanwhile_is_not_shed(three_members, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 30, "QUEUE_FULL": "shed"}
    low = [order(three_members, level="debug").notification_id for _ in range(10)]
    over = Event()

    def work():
        try:
            dispatcher = Dispatcher(batch_size=1, stop=over.is_set)
            dispatcher.run_until_idle(low)
        finally:
            connections.close_all()

    worker = Thread(target=work)
    worker.start()
    try:
        in_threads(lambda number: order(three_members).queued, 8)
    finally:
        over.set()
        worker.join(timeout=60)
    for pk in low:
        states = set(Delivery.objects.filter(notification=pk).values_list("state", flat=True))
        assert states == {"dropped"} or "dropped" not in states
    assert not NotificationLog.objects.filter(reason="shed").exclude(delivery__state="dropped").exists()


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="there one transaction that writes excludes all others")
def test_what_is_critical_waits_for_nobody(three_members):
    begun, over = Event(), Event()

    def hold():
        try:
            with transaction.atomic():
                order(three_members)
                begun.set()
                over.wait(timeout=30)
        finally:
            connections.close_all()

    holder = Thread(target=hold)
    holder.start()
    try:
        assert begun.wait(timeout=30)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '5s'")
        sent = NotificationManager.send(ShopEvents.STORE_ON_FIRE, three_members, None, {"place": "hall"})
        assert not sent.duplicate
    finally:
        over.set()
        holder.join(timeout=60)
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
