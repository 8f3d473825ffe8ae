"""Many who make digests at once, while others release, cancel and send: each item is in one, each reader has one."""

from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from notifications.digests import make_due
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, UserSettings
from notifications.outcomes import DeliveryState
from notifications.recipients import Members
from tests.processes import raced
from tests.races.test_buckets import PROCESSES, in_threads
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)
READERS, ITEMS = 150, 4


@pytest.fixture
def waiting():
    """Some days' worth of mail for readers with a digest, all of it due."""
    User.objects.bulk_create(User(username=f"u{i}", email=f"u{i}@example.com") for i in range(READERS))
    cluster = Cluster.objects.default()
    UserSettings.objects.bulk_create(
        UserSettings(user=user, cluster=cluster, digest="daily") for user in User.objects.order_by("pk")
    )
    for number in range(ITEMS):
        context = {"order_number": str(number), "eta": None}
        NotificationManager.send(
            ShopEvents.ORDER_SHIPPED, Members(None), None, context, channels=["email"], cancel_key=str(number)
        )
    Delivery.objects.update(due_at=timezone.now() - timedelta(minutes=1))


def digests_of_each_reader():
    return Counter(Delivery.objects.exclude(notification__digest_kind="").values_list("recipient_key", flat=True))


def test_fifty_threads_make_one_digest_for_each_reader(waiting):
    assert sum(made.merged for made in in_threads(lambda number: make_due())) == READERS * ITEMS
    assert set(digests_of_each_reader().values()) == {1}
    assert len(digests_of_each_reader()) == READERS
    assert not Delivery.objects.filter(state=DeliveryState.HELD).exists()


def test_eight_processes_make_one_digest_for_each_reader(waiting):
    code = "from notifications.digests import make_due; print(make_due().merged)"
    assert sum(map(int, raced(code, PROCESSES))) == READERS * ITEMS
    assert set(digests_of_each_reader().values()) == {1}


def test_what_is_cancelled_meanwhile_is_merged_or_cancelled_and_never_both(waiting):
    def job(number):
        return NotificationManager.cancel(None, "2") if number % 5 == 0 else make_due() and 0

    cancelled = sum(in_threads(job))
    make_due()
    states = Counter(Delivery.objects.filter(notification__digest_kind="").values_list("state", flat=True))
    assert states == Counter(merged=READERS * ITEMS - cancelled) + Counter(cancelled=cancelled)
    assert not Delivery.objects.filter(state=DeliveryState.CANCELLED).exclude(merged_into=None).exists()
    # One whose rows somebody held for a moment may have had a second turn.
    assert len(digests_of_each_reader()) == READERS
