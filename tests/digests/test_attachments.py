"""A digest or batch has the attachments of its items if they fit into one mail; no attachment is lost."""

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.attachments import Attachment
from notifications.digests import DigestResult, make_due
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from notifications.outcomes import DeliveryState
from tests.digests.conftest import work
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def ship(users, number, *names, **options):
    context = {"order_number": str(number), "eta": None}
    files = [Attachment(name, f"{number} {name}") for name in names]
    options = {"channels": ["email"], **options}
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, context, attachments=files, **options)


def files_of(message):
    return [part.get_payload(decode=True).decode() for part in message.attachments]


def test_a_digest_has_the_attachments_of_all_items_in_their_order(clock, reader):
    ship([reader], 1, "c.txt", level="debug")
    ship([reader], 2)
    ship([reader], 3, "a.txt", "b.txt")
    ship([reader], 4, "a.txt")
    clock.forward(days=1)
    work()
    [digest] = mail.outbox
    assert digest.subject == "Your day: 4 notifications"
    assert files_of(digest) == ["3 a.txt", "3 b.txt", "4 a.txt", "1 c.txt"]


@pytest.mark.usefixtures("batched")
class TestBatches:
    def test_each_recipient_gets_the_attachments_of_their_own_items(self, clock):
        one, two = UserFactory.create_batch(2)
        ship([one, two], 1, "a.txt")
        ship([one], 2, "b.txt")
        ship([two], 3)
        clock.forward(minutes=15)
        work()
        carried = {message.to[0]: files_of(message) for message in mail.outbox}
        assert carried == {one.email: ["1 a.txt", "2 b.txt"], two.email: ["1 a.txt"]}

    def test_a_single_delivery_has_its_own_attachments(self, clock):
        ship([UserFactory()], 1, "a.txt")
        clock.forward(minutes=15)
        work()
        assert [files_of(message) for message in mail.outbox] == [["1 a.txt"]]

    def test_an_item_that_would_make_it_too_large_is_sent_separately(self, clock, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ATTACHMENT_BYTES": 30}
        user = UserFactory()
        for number in range(4):
            ship([user], number, "a.txt")  # 12 bytes with its name
        ship([user], 5)
        clock.forward(minutes=15)
        assert make_due() == DigestResult(made=1, merged=3, single=2)
        work()
        assert sorted(map(files_of, mail.outbox)) == [["0 a.txt", "1 a.txt"], ["2 a.txt"], ["3 a.txt"]]
        assert set(Delivery.objects.values_list("state", flat=True)) == {DeliveryState.SENT, DeliveryState.MERGED}

    def test_attachments_are_not_queried_if_there_are_none(self, clock):
        user = UserFactory()
        for number in range(2):
            ship([user], number)
        clock.forward(minutes=15)
        with CaptureQueriesContext(connection) as queries:
            work()
        assert len(mail.outbox) == 1
        assert not [query for query in queries if "attachedfile" in query["sql"]]
        assert set(Notification.objects.values_list("attachment_bytes", flat=True)) == {0}


def test_a_channel_without_attachments_sends_no_item_separately(clock, reader, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_CHANNELS": ["app"], "ATTACHMENT_BYTES": 20}
    for number in range(3):
        ship([reader], number, "a.txt", channels=["app"], level="debug")
    clock.forward(days=1)
    assert make_due() == DigestResult(made=1, merged=3)
