"""Changes while a digest or batch waits for a provider, for its hour or for a worker."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.delivering.dispatcher import Dispatcher
from notifications.digests import Section, make_due
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Mute, NotificationLog, UserSettings
from notifications.outcomes import DeliveryState, Reason
from notifications.storage.digest_items import DigestRemoval
from notifications.storage.outbox import LostClaim
from notifications.testing import simulated
from tests.digests.conftest import with_digest
from tests.digests.test_digest import EIGHT, ship
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")


def at(hour, minute=0):
    return datetime(2026, 11, 21, hour, minute, tzinfo=BERLIN)


def listed_numbers(arrival, numbers):
    return [number for number in numbers if f"#{number}#" in arrival.body]


def opts_out(user):
    UserSettings.objects.filter(user=user).update(events={"shop_newsletter": {"email": False}})


def test_items_that_expire_or_are_unwanted_during_an_outage_are_left_out(reader):
    with simulated("2026-11-20 10:00", "Europe/Berlin") as timeline:
        timeline.outage("email", at(7, 55), at(8, 10))
        shipped = ShopEvents.ORDER_SHIPPED
        context = {"order_number": "#1#", "eta": None}
        options = {"channels": ["email"]}
        timeline.send("2026-11-20 12:00", shipped, [reader], context=context, expires_at=at(8, 5), **options)
        timeline.send("2026-11-20 12:00", shipped, [reader], context=context | {"order_number": "#2#"}, **options)
        timeline.send("2026-11-20 12:00", ShopEvents.NEWSLETTER, [reader], **options)
        timeline.at(at(8, 3), lambda: opts_out(reader))
        timeline.run(at(12))
        [digest] = timeline.arrivals
    assert (digest.title, listed_numbers(digest, [1, 2])) == ("Your day: 1 notification", [2])
    left = {row.reason: row for row in Delivery.objects.exclude(reason="").exclude(state="merged")}
    assert {reason: row.state for reason, row in left.items()} == {"expired": "expired", "preference": "dropped"}
    assert all(row.merged_into is None and row.settled_at for row in left.values())
    drops = NotificationLog.objects.filter(kind="drop").values_list("reason", "error_message", "delivery")
    assert sorted(drops) == [
        ("expired", "", left["expired"].pk),
        ("preference", "user: event shop_newsletter by email is off", left["preference"].pk),
    ]


def test_the_same_applies_to_a_batch(batched):
    user = UserFactory()
    with simulated("2026-11-20 10:00", "Europe/Berlin") as timeline:
        timeline.outage("email", "2026-11-20 10:10", "2026-11-20 10:20")
        for number, expires in ((1, "10:18"), (2, "11:00")):
            end = datetime.fromisoformat(f"2026-11-20 {expires}").replace(tzinfo=BERLIN)
            given = {"context": {"order_number": f"#{number}#", "eta": None}, "expires_at": end}
            timeline.send("2026-11-20 10:00", ShopEvents.ORDER_SHIPPED, [user], channels=["email"], **given)
        timeline.run()
        [batch] = timeline.arrivals
    assert listed_numbers(batch, [1, 2]) == [2]


def test_a_digest_without_items_ends_like_its_last_item(clock, reader):
    ship(reader, 1, channels=["email"])
    ship(reader, 2, channels=["email"])
    clock.to(EIGHT)
    make_due()
    mute = Mute(user=reader, cluster=Cluster.objects.default(), kind="event", value="order_shipped")
    mute.save()
    assert dict(Dispatcher().run_until_idle()) == {"dropped": 1}
    assert mail.outbox == []
    assert set(Delivery.objects.values_list("state", "reason")) == {("dropped", "muted")}
    assert NotificationLog.objects.filter(kind="drop", reason="muted").count() == 3


def test_an_item_that_is_cancelled_while_its_digest_waits_is_left_out(reader):
    counts = []
    with simulated("2026-11-20 10:00", "Europe/Berlin") as timeline:
        timeline.outage("email", at(7, 55), at(8, 10))
        for number, key in ((1, "one"), (2, "two")):
            given = {"context": {"order_number": f"#{number}#", "eta": None}, "cancel_key": key}
            timeline.send("2026-11-20 12:00", ShopEvents.ORDER_SHIPPED, [reader], channels=["email"], **given)
        timeline.at(at(8, 2), lambda: counts.append(NotificationManager.cancel(None, "one")))
        timeline.run(at(12))
        [digest] = timeline.arrivals
    assert counts == [1]
    assert (digest.title, listed_numbers(digest, [1, 2])) == ("Your day: 1 notification", [2])
    assert Delivery.objects.get(notification__cancel_key="one").state == "cancelled"
    assert NotificationManager.cancel(None, "two") == 0


def test_a_digest_is_cancelled_with_its_last_item(clock, reader):
    ship(reader, 1, channels=["email"], cancel_key="both")
    ship(reader, 2, channels=["email"], cancel_key="both")
    clock.to(EIGHT)
    make_due()
    assert NotificationManager.cancel(None, "both") == 2
    assert set(Delivery.objects.values_list("state", "reason")) == {("cancelled", "cancelled")}


def test_the_worker_leaves_out_cancelled_items_of_a_claimed_digest(clock, reader):
    ship(reader, 1, channels=["email"], cancel_key="one")
    ship(reader, 2, channels=["email"])
    clock.to(EIGHT)
    make_due()
    [digest] = Delivery.objects.claim("lost", clock() + timedelta(seconds=30), 1)
    assert NotificationManager.cancel(None, "one") == 0
    Delivery.objects.take_back([LostClaim(digest.pk, digest.fence, 0)], clock())
    Dispatcher().run_until_idle()
    assert [message.subject for message in mail.outbox] == ["Your day: 1 notification"]
    assert Delivery.objects.get(notification__cancel_key="one").state == "cancelled"


def points(cluster, users, digest_kind, since, until):
    return {user.pk: [Section("Points", ["120"])] for user in users}


@pytest.mark.parametrize("called_off", ["cancelled", "expired"])
def test_the_sections_of_the_host_are_sent_without_items(clock, reader, settings, called_off):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DIGEST_SECTIONS": f"{__name__}.points"}
    ship(reader, 1, channels=["email"], cancel_key="one", expires_at=EIGHT + timedelta(minutes=1))
    clock.to(EIGHT)
    make_due()
    if called_off == "cancelled":
        assert NotificationManager.cancel(None, "one") == 1
    clock.forward(minutes=2)
    Dispatcher().run_until_idle()
    assert [(message.subject, "120" in message.body) for message in mail.outbox] == [("Your day", True)]
    assert Delivery.objects.get(notification__cancel_key="one").state == called_off


def test_an_empty_batch_is_not_sent_again(clock, batched):
    user = UserFactory()
    for number in (1, 2):
        ship(user, number, channels=["email"], cancel_key="both")
    clock.forward(minutes=15)
    make_due()
    digest = Delivery.objects.get(notification__digest_kind="batch")
    Delivery.objects.exclude(pk=digest.pk).update(state="cancelled", merged_into=None)
    Delivery.objects.filter(pk=digest.pk).update(state="dead")
    NotificationManager.resend(Delivery.objects.get(pk=digest.pk), "try again")
    assert dict(Dispatcher().run_until_idle()) == {"cancelled": 1}
    assert mail.outbox == []
    assert NotificationLog.objects.get(kind="drop").error_message == "no item is left"


def test_a_digest_of_sections_alone_has_no_items_to_lose(clock, reader, settings):
    result = NotificationManager.send("daily_digest", [reader], None, {"sections": [{"title": "t", "lines": []}]})
    assert Dispatcher().run_until_idle()["sent"] == result.queued


def test_a_slow_worker_removes_no_item_from_a_digest_of_another(clock, reader):
    ship(reader, 1, channels=["email"])
    clock.to(EIGHT)
    make_due()
    [digest] = Delivery.objects.claim("slow", clock() + timedelta(seconds=30), 1)
    item = Delivery.objects.get(state="merged")
    removal_of_muted = DigestRemoval(item.pk, DeliveryState.DROPPED, Reason.MUTED, digest.pk, digest.fence)
    Delivery.objects.filter(pk=digest.pk).update(fence=digest.fence + 1)
    assert Delivery.objects.remove_from_digests([removal_of_muted], clock()) == set()
    Delivery.objects.filter(pk=digest.pk).update(fence=digest.fence)
    assert Delivery.objects.remove_from_digests([removal_of_muted], clock()) == {item.pk}
    removal = DigestRemoval(item.pk, DeliveryState.READY, "", digest.pk, digest.fence)
    with pytest.raises(ValueError, match="from 'merged' to 'ready'"):
        Delivery.objects.remove_from_digests([removal], clock())


def test_queries_do_not_grow_with_the_digests(clock):
    def count_queries(count):
        for user in [with_digest("daily") for _ in range(count)]:
            for _ in range(count):
                ship(user, 1, channels=["email"], expires_at=clock() + timedelta(hours=24))
            ship(user, 2, channels=["email"])
        clock.forward(hours=23)
        make_due()
        clock.forward(hours=2)
        with CaptureQueriesContext(connection) as captured:
            assert Dispatcher().run_until_idle() == {"sent": count}
        return len([query for query in captured if "merged_into" in query["sql"] or "in_bulk" in query["sql"]])

    few = count_queries(2)
    # Each digest is rendered separately: the number of its items, the items, and the urgent notifications before it.
    assert count_queries(10) - few == 3 * 8
