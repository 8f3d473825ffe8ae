"""The sentences of a story."""

import pytest

from example_project.demo.rehearsal import rehearsal, sentences
from notifications.recipients import Address
from tests.shop.notification_events import ShopEvents

CONTACT = Address(email="contact@example.com")


@pytest.mark.django_db
def test_an_address_is_called_by_itself_whether_it_got_something_or_not():
    with rehearsal("2026-11-20 12:00") as timeline:
        timeline.send(timeline.now, ShopEvents.ORDER_SHIPPED, [CONTACT], context={"order_number": "7", "eta": None})
        timeline.run()
        told = list(sentences(timeline, ShopEvents.ORDER_SHIPPED))
    assert told == [
        "Fri 20 12:00  contact@example.com got it by email: Order 7 is on its way",
        "Fri 20 12:00  contact@example.com did not get it by app: no user address",
    ]
