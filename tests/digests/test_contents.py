"""What a digest says, and how."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.digests import make_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, Notification
from notifications.outcomes import DeliveryState, Reason
from notifications.testing import temporary_events
from tests.digests.conftest import with_digest, work
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
EIGHT = datetime(2026, 11, 21, 7, tzinfo=UTC)


@pytest.fixture
def linked():
    """Give the mails of order_shipped an action, and the event a label."""
    with temporary_events():
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        transform = {"email": lambda context: {"action_url": f"/orders/{context['order_number']}/"}}
        changed = dataclasses.replace(event, transforms=transform, label="Your orders")
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = changed
        yield


def ship(user, number, **options):
    context = {"order_number": str(number), "eta": None}
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, context, **options)


def get_digest(clock):
    """Make the digest of the day, and return it with its HTML."""
    work()
    mail.outbox.clear()
    clock.to(EIGHT)
    work()
    [digest] = mail.outbox
    digest.html = digest.alternatives[0][0].partition("<h1")[2]
    return digest


def test_it_has_the_layout_and_its_title_in_the_body(clock, reader):
    ship(reader, 1)
    digest = get_digest(clock)
    assert digest.html.partition("</h1>")[0].endswith(">Your day: 1 notification")
    assert 'class="footer"' in digest.html


@pytest.mark.usefixtures("linked")
def test_alike_items_are_one_line_with_their_number(clock, reader):
    for number in (1, 2, 1, 1):
        ship(reader, number)
    digest = get_digest(clock)
    assert digest.subject == "Your day: 4 notifications"
    assert digest.html.count("<li") == 2
    assert "× 3" in digest.html
    assert digest.body.count("- Order 1") == 1
    assert "× 3 (" in digest.body


@pytest.mark.usefixtures("linked")
def test_items_have_their_links_and_the_label_of_their_event(clock, reader):
    ship(reader, 7)
    digest = get_digest(clock)
    assert 'href="https://shop.example.com/orders/7/"' in digest.html
    assert "https://shop.example.com/orders/7/" in digest.body
    assert ">Your orders</h2>" in digest.html
    assert digest.body.startswith("Your orders\n- Order 7")


def test_items_of_an_event_without_an_action_have_no_link(clock, reader):
    ship(reader, 7)
    assert 'class="item"' not in get_digest(clock).html


def test_important_items_are_marked(clock, reader):
    with temporary_events():
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(event, digest=True)
        ship(reader, 1, level="warning")
        ship(reader, 2)
        digest = get_digest(clock)
    assert digest.html.count(">Important:</strong>") == 1
    assert "- Important: Order 1" in digest.body
    assert "- Order 2" in digest.body


def test_urgent_notifications_are_listed_as_already_sent(clock, reader):
    ship(reader, 1, level="critical")
    ship(reader, 2)
    digest = get_digest(clock)
    assert digest.subject == "Your day: 1 notification"
    assert "Urgent, already sent to you\n- Critical: Order 1" in digest.body
    places = [digest.html.index(text) for text in ("Order 2", ">Urgent, already sent to you</h2>", "Order 1")]
    assert places == sorted(places)


def test_critical_notifications_are_listed_before_later_important_ones(clock, reader):
    ship(reader, 1, level="critical")
    ship(reader, 3, level="warning")
    ship(reader, 2)
    assert "already sent to you\n- Critical: Order 1" in get_digest(clock).body


def test_urgent_notifications_before_the_period_and_of_others_are_not_listed(clock, reader):
    ship(reader, 1, level="critical")
    work()
    clock.forward(days=2)
    ship(with_digest("daily"), 3, level="critical")
    ship(reader, 2)
    work()
    mail.outbox.clear()
    clock.forward(days=1)
    work()
    [digest] = [message for message in mail.outbox if message.to == [reader.email]]
    assert "already sent" not in digest.body


def test_a_late_digest_lists_urgent_notifications_since_the_one_before(clock, reader):
    ship(reader, 1, level="critical")
    ship(reader, 2)
    get_digest(clock)
    clock.forward(hours=1)
    ship(reader, 3, level="critical")
    ship(with_digest("daily"), 5, level="critical")
    clock.forward(hours=1)
    ship(reader, 4)
    work()
    mail.outbox.clear()
    clock.forward(days=3)
    work()
    [digest] = [message for message in mail.outbox if message.to == [reader.email]]
    assert "Urgent, already sent to you\n- Critical: Order 3" in digest.body
    assert "Critical: Order 1" not in digest.body
    assert "Order 5" not in digest.body
    assert "Sent to you: 2.\nIn your inbox: 2," in digest.body


@pytest.mark.parametrize("state", ["dead", "dropped", "cancelled", "expired"])
def test_a_digest_that_was_not_sent_does_not_begin_a_period(state, clock, reader):
    ship(reader, 1, level="critical")
    ship(reader, 2)
    get_digest(clock)
    Delivery.objects.filter(notification__digest_kind="daily").update(state=state)
    ship(reader, 3)
    mail.outbox.clear()
    # In the usual period of a day, but before the digest that was not sent.
    Notification.objects.filter(context__order_number="1").update(created_at=EIGHT - timedelta(minutes=1))
    Notification.objects.filter(context__order_number="3").update(created_at=EIGHT - timedelta(minutes=2))
    clock.forward(days=1)
    work()
    [digest] = mail.outbox
    assert "Urgent, already sent to you\n- Critical: Order 1" in digest.body


def test_the_first_digest_lists_urgent_notifications_since_its_oldest_item(clock, reader):
    ship(reader, 1)
    ship(reader, 2, level="critical")
    work()
    mail.outbox.clear()
    clock.forward(days=4)
    work()
    [digest] = mail.outbox
    assert "Urgent, already sent to you\n- Critical: Order 2" in digest.body


@pytest.mark.parametrize("kind", ["daily", "weekly"])
def test_an_urgent_notification_is_listed_in_the_hour_that_is_added_in_autumn(kind, clock):
    reader = with_digest(kind, digest_day=6)
    before = datetime(2026, 10, 24 if kind == "daily" else 18, 6, tzinfo=UTC)
    clock.to(before - timedelta(hours=1))
    ship(reader, 1)
    work()
    clock.to(before + timedelta(minutes=1))
    work()
    clock.to(before + timedelta(minutes=20))
    ship(reader, 2, level="critical")
    ship(reader, 3)
    work()
    mail.outbox.clear()
    clock.to(datetime(2026, 10, 25, 7, 5, tzinfo=UTC))
    work()
    [digest] = mail.outbox
    assert "Urgent, already sent to you\n- Critical: Order 2" in digest.body


def test_a_digest_after_a_year_covers_a_month(clock, reader):
    ship(reader, 1)
    get_digest(clock)
    ship(reader, 2, level="critical")
    work()
    clock.forward(days=365)
    ship(reader, 3)
    mail.outbox.clear()
    clock.forward(days=1)
    work()
    [digest] = mail.outbox
    assert "already sent" not in digest.body


def test_it_has_the_figures_of_its_period(clock, reader):
    ship(reader, 1, level="critical")
    for number in (2, 3):
        ship(reader, number)
    work()
    InboxItem.objects.filter(title__contains="3").mark_read(EIGHT)
    digest = get_digest(clock)
    assert "Sent to you: 3. In your inbox: 3, of which you have opened 1." in digest.html
    assert "Sent to you: 3.\nIn your inbox: 3, of which you have opened 1.\n" in digest.body


def test_it_lists_the_events_that_wait_for_the_end_of_quiet_hours(clock, reader):
    for number in (1, 2, 3):
        ship(reader, number)
    NotificationManager.send(ShopEvents.NEWSLETTER, [reader], None, {})
    waiting = {"state": DeliveryState.HELD, "reason": Reason.QUIET_HOURS, "due_at": EIGHT.replace(hour=9)}
    Delivery.objects.filter(channel="app", notification__context__order_number__in=["2", "3"]).update(**waiting)
    Delivery.objects.filter(notification__event="shop_newsletter").update(**waiting)
    digest = get_digest(clock)
    assert "Waiting for the end of your quiet hours\n- Order shipped × 2\n- Shop newsletter\n" in digest.body
    assert ">Waiting for the end of your quiet hours</h2>" in digest.html
    assert re.search(r">Order shipped <strong.*?>× 2</strong></li>", digest.html)


def test_times_are_written_as_in_the_language_of_the_recipient(clock):
    reader = with_digest("daily", language="de")
    ship(reader, 1)
    digest = get_digest(clock)
    assert "20.11.2026 11:00" in digest.html
    assert "20.11.2026 11:00" in digest.body


def test_the_number_of_queries_does_not_depend_on_the_items(monkeypatch, clock, reader):
    # What a worker does by the seconds that pass, and not because of a digest, depends on how busy the machine is.
    monkeypatch.setattr("notifications.delivering.providers.choice.HEALTH_WRITE_INTERVAL", float("inf"))
    counts = {1: [], 12: []}
    # Twice, because a worker that runs for more than a second looks for due deliveries once more.
    for number in (1, 12, 1, 12):
        for index in range(number):
            ship(reader, f"{number}-{index}")
        work()
        clock.forward(days=1)
        make_due()
        with CaptureQueriesContext(connection) as queries:
            work()
        counts[number].append(len(queries))
    assert min(counts[1]) == min(counts[12])


@pytest.mark.parametrize("kind", ["daily", "weekly"])
def test_it_says_that_the_reader_has_chosen_it(clock, kind):
    reader = with_digest(kind, digest_day=5)
    ship(reader, 1)
    digest = get_digest(clock)
    assert f"You get this because you have chosen a {kind} digest." in digest.html
    assert f"\n-- \nYou get this because you have chosen a {kind} digest.\n" in digest.body
