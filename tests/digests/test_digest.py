"""The notifications of a day in one mail, at the hour that the user has chosen."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from notifications.digests import DigestResult, Section, make_due, release_overdue
from notifications.manager import NotificationManager
from notifications.models import (
    Cluster,
    Delivery,
    FigureDelta,
    InboxItem,
    Notification,
    NotificationLog,
    Suppression,
    UserSettings,
)
from notifications.outcomes import DeliveryState, Reason
from tests.digests.conftest import FRIDAY, with_digest, work
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
EIGHT = datetime(2026, 11, 21, 7, tzinfo=UTC)


def ship(user, number, **options):
    context = {"order_number": str(number), "eta": None}
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, context, **options)


def newsletter(user, **options):
    return NotificationManager.send(ShopEvents.NEWSLETTER, [user], None, {}, **options)


def states():
    return sorted(Delivery.objects.filter(channel="email").values_list("state", flat=True))


def test_the_mails_of_a_day_are_one_digest_and_the_inbox_is_immediate(clock, reader):
    result = ship(reader, 1)
    assert (result.queued, result.held) == (1, 1)
    newsletter(reader)
    ship(reader, 2)
    work()
    assert mail.outbox == []
    assert InboxItem.objects.count() == 2
    clock.to(EIGHT - timedelta(seconds=1))
    work()
    assert mail.outbox == []
    clock.to(EIGHT)
    work()
    [digest] = mail.outbox
    assert digest.subject == "Your day: 3 notifications"
    assert digest.body.index("Order shipped") < digest.body.index("Shop newsletter")
    assert digest.body.count("\n- ") == 3
    [(html, kind)] = digest.alternatives
    assert kind == "text/html"
    assert html.count("<li") == 3
    assert states() == [DeliveryState.MERGED] * 3 + [DeliveryState.SENT]


def test_digests_and_their_items_are_added_to_the_figures(clock, reader):
    for number in range(3):
        ship(reader, number)
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=1, merged=3)
    figures = FigureDelta.objects.filter(kind__in=["digest", "merged"]).order_by("kind")
    cluster = Cluster.objects.default().pk
    assert list(figures.values_list("kind", "count", "channel", "outcome", "band", "cluster", "hour")) == [
        ("digest", 1, "email", "daily", "medium", cluster, EIGHT),
        ("merged", 3, "email", "daily", "medium", cluster, EIGHT),
    ]
    assert make_due() == DigestResult()
    assert figures.count() == 2


def test_urgent_notifications_are_sent_immediately(clock, reader):
    NotificationManager.send(ShopEvents.STORE_ON_FIRE, [reader], None, {"place": "hall"})
    ship(reader, 1, level="critical")
    work()
    assert len(mail.outbox) == 2


def test_each_item_names_its_digest(clock, reader):
    ship(reader, 1)
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=1, merged=1)
    item = Delivery.objects.get(state=DeliveryState.MERGED)
    digest = item.merged_into
    assert (digest.channel, digest.recipient_key, digest.address) == (item.channel, item.recipient_key, item.address)
    assert (digest.notification.event, digest.notification.digest_kind) == ("daily_digest", "daily")
    assert item.settled_at == EIGHT


def test_a_second_run_makes_nothing(clock, reader):
    ship(reader, 1)
    clock.to(EIGHT)
    make_due()
    assert make_due() == DigestResult()
    work()
    assert len(mail.outbox) == 1


def test_later_notifications_are_in_the_next_digest(clock, reader):
    ship(reader, 1)
    clock.to(EIGHT)
    work()
    clock.forward(seconds=1)
    ship(reader, 2)
    work()
    assert Delivery.objects.get(state=DeliveryState.HELD).due_at == EIGHT + timedelta(days=1)
    clock.to(EIGHT + timedelta(days=1))
    work()
    assert [message.subject for message in mail.outbox] == ["Your day: 1 notification"] * 2


def test_a_weekly_digest_with_sections_of_the_host(clock, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": f"{__name__}.hours_worked"}
    user = with_digest("weekly", digest_day=0)
    ship(user, 1)
    clock.to(datetime(2026, 11, 23, 7, tzinfo=UTC))
    work()
    [digest] = mail.outbox
    assert digest.subject == "Your week: 1 notification"
    assert "Hours worked\n  42 from 2026-11-16 to 2026-11-23, weekly" in digest.body
    assert ">Hours worked</h2>" in digest.alternatives[0][0]


def hours_worked(cluster, users, digest_kind, since, until):
    return {
        user.pk: [Section("Hours worked", [f"42 from {since:%Y-%m-%d} to {until:%Y-%m-%d}, {digest_kind}"])]
        for user in users
    }


@pytest.mark.parametrize("path", ["broken", "no_mapping", "missing"])
def test_a_digest_is_sent_without_sections_that_fail(path, clock, reader, settings, caplog):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": f"{__name__}.{path}"}
    ship(reader, 1)
    clock.to(EIGHT)
    work()
    assert len(mail.outbox) == 1
    assert "The function of DIGEST_SECTIONS failed" in caplog.text


def broken(*args):
    raise ZeroDivisionError


def no_mapping(*args):
    return 7


def test_a_user_who_left_or_opted_out_or_has_no_working_address_gets_no_digest(clock, reader):
    ship(reader, 1)
    clock.to(EIGHT)
    UserSettings.objects.update(events={"order_shipped": {"email": False}})
    assert make_due() == DigestResult(refused=1)
    log = NotificationLog.objects.get(kind="drop")
    assert (log.reason, log.error_message) == (Reason.PREFERENCE, "user: event order_shipped by email is off")
    other = with_digest("daily")
    ship(other, 2)
    Suppression.objects.suppress([("email", other.email)], Suppression.Cause.HARD_BOUNCE, FRIDAY)
    third = with_digest("daily")
    ship(third, 3)
    type(third).objects.filter(pk=third.pk).update(is_active=False)
    clock.forward(days=1)
    work()
    assert mail.outbox == []


@pytest.fixture
def mistyped():
    """A reader with a mistyped address of their own."""
    return with_digest("daily", addresses={"email": "ann@exmaple.com"})


def suppress_the_typo():
    Suppression.objects.suppress([("email", "ann@exmaple.com")], Suppression.Cause.HARD_BOUNCE, FRIDAY)


def test_a_digest_to_a_suppressed_address_is_sent_to_the_account(clock, mistyped):
    ship(mistyped, 1)
    ship(mistyped, 2)
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=1, merged=2)
    suppress_the_typo()
    work()
    [digest] = mail.outbox
    assert (digest.to, digest.body.count("\n- ")) == ([mistyped.email], 2)


def test_held_items_to_a_suppressed_address_are_sent_to_the_account(clock, mistyped):
    ship(mistyped, 1)
    suppress_the_typo()
    clock.to(EIGHT)
    work()
    assert [message.to for message in mail.outbox] == [[mistyped.email]]


def test_refused_items_do_not_stop_the_others(clock, reader):
    ship(reader, 1)
    newsletter(reader)
    UserSettings.objects.update(categories={"news": False})
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=1, merged=1, refused=1)


def test_cancelled_and_expired_items_are_left_out(clock, reader):
    ship(reader, 1, cancel_key="one")
    ship(reader, 2, expires_at=EIGHT + timedelta(minutes=1))
    ship(reader, 3)
    NotificationManager.cancel(None, "one")
    clock.to(EIGHT + timedelta(minutes=2))
    work()
    [digest] = mail.outbox
    assert digest.subject == "Your day: 1 notification"
    assert states() == ["cancelled", "expired", "merged", "sent"]


def test_an_item_that_was_cancelled_while_claimed_is_left_out(clock, reader):
    ship(reader, 1, cancel_key="one")
    ship(reader, 2)
    # As if a worker had claimed it when it was cancelled, and gave it back.
    Notification.objects.filter(cancel_key="one").update(cancelled_at=clock.time)
    clock.to(EIGHT)
    assert make_due() == DigestResult(made=1, merged=1, refused=1)
    assert states() == ["cancelled", "merged", "ready"]


def test_a_scheduled_notification_waits_for_a_later_digest(clock, reader):
    ship(reader, 1)
    ship(reader, 2, send_at=EIGHT + timedelta(hours=1))
    clock.to(EIGHT)
    work()
    assert mail.outbox[0].subject == "Your day: 1 notification"
    clock.forward(days=1)
    work()
    assert mail.outbox[1].subject == "Your day: 1 notification"


def test_an_item_with_a_broken_template_has_the_name_of_its_event(clock, reader, settings, caplog):
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {SUBJECT: "{% load nothing %}"}),
                    "django.template.loaders.app_directories.Loader",
                ]
            },
        }
    ]
    ship(reader, 1)
    newsletter(reader)
    clock.to(EIGHT)
    work()
    assert "- Order shipped" in mail.outbox[0].body
    assert "has no title in its digest" in caplog.text


SUBJECT = "notifications/order_shipped/email.subject.txt"


def test_a_digest_lists_a_hundred_items_and_counts_the_others(clock, reader):
    for number in range(103):
        ship(reader, number, channels=["email"])
    clock.to(EIGHT)
    work()
    body = mail.outbox[0].body
    assert (body.count("\n- "), "And 3 more." in body) == (100, True)


def test_two_addresses_get_two_digests(clock, reader):
    ship(reader, 1)
    type(reader).objects.filter(pk=reader.pk).update(email="new@example.com")
    reader.refresh_from_db()
    ship(reader, 2)
    clock.to(EIGHT)
    work()
    assert sorted(message.to[0] for message in mail.outbox) == sorted(
        set(Delivery.objects.filter(state="merged").values_list("address", flat=True))
    )


def test_a_delivery_in_no_digest_is_sent_after_an_hour(clock, reader):
    ship(reader, 1)
    clock.to(EIGHT + timedelta(minutes=59))
    assert release_overdue() == Delivery.objects.release_due(clock()) == 0
    clock.forward(minutes=1)
    assert Delivery.objects.release_due(clock()) == 0
    assert release_overdue() == 1


@pytest.mark.parametrize("count", [1, 40])
def test_queries_do_not_grow_with_the_recipients(count, clock, django_assert_max_num_queries):
    for _ in range(count):
        ship(with_digest("daily"), 1)
    clock.to(EIGHT)
    with django_assert_max_num_queries(22):
        assert make_due().made == count


def test_a_user_without_a_digest_gets_mail_immediately(clock, reader):
    ship(UserFactory(), 1)
    work()
    assert len(mail.outbox) == 1
