"""Several people at the same thing at the same moment: it is done once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections

from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Acknowledgement, Delivery, NotificationLog
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 12


def in_threads(job):
    together = Barrier(THREADS)

    def run(number):
        try:
            together.wait()
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.fixture
def delivery():
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
    return Delivery.objects.select_related("notification", "recipient").get()


def test_a_dead_letter_is_sent_again_once(delivery):
    Delivery.objects.update(state="dead")

    def resend():
        try:
            return NotificationManager.resend(delivery, "again").epoch
        except InvalidOption:
            return None

    assert sorted(filter(None, in_threads(resend))) == [1]
    assert Delivery.objects.get().epoch == NotificationLog.objects.filter(kind="resent").count() == 1


def test_an_acknowledgement_is_new_once(delivery):
    new = in_threads(lambda: NotificationManager.acknowledge(delivery.notification, delivery.recipient))
    assert sorted(new) == [False] * (THREADS - 1) + [True]
    assert Acknowledgement.objects.count() == 1
