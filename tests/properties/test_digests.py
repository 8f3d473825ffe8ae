"""Whatever is sent and made when: every held item is in exactly one digest, or is accounted for otherwise."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifications.delivering.workers.worker import Worker
from notifications.digests import make_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog, Pause, UserSettings
from notifications.outcomes import DeliveryState
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents
from tests.upkeep import without_upkeep

START = datetime(2026, 10, 23, 10, tzinfo=UTC)
KINDS = ("none", "daily", "weekly")
ZONES = ("Europe/Berlin", "Asia/Kathmandu", "America/St_Johns")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 2), st.sampled_from(["order_shipped", "shop_newsletter"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 10, 16, 60, 600, 1440, 4000]), st.just(None)),
        st.tuples(st.just("make"), st.just(None), st.just(None)),
        st.tuples(st.just("work"), st.just(None), st.just(None)),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(None)),
        st.tuples(st.just("choose"), st.integers(0, 2), st.sampled_from(KINDS)),
        st.tuples(st.just("send_for"), st.integers(0, 2), st.sampled_from([20, 900, 1500])),
        st.tuples(st.just("pause"), st.booleans(), st.just(None)),
        st.tuples(st.just("like"), st.integers(0, 2), st.booleans()),
    ),
    min_size=3,
    max_size=25,
)


class Site:
    """Three users with digests of three kinds, and a shop that batches what it ships."""

    def __init__(self, clock):
        self.clock = clock
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(event, batch_window=900)
        self.users = [UserFactory() for _ in KINDS]
        cluster = Cluster.objects.default()
        for user, kind, zone in zip(self.users, KINDS, ZONES, strict=True):
            UserSettingsFactory(user=user, cluster=cluster, digest=kind, time_zone=zone, channels={"app": False})
        self.sent = 0

    def take(self, step, what, how):
        getattr(self, step)(what, how)

    def send(self, user, name, **more):
        self.sent += 1
        context = {"order_number": f"#{self.sent}#", "eta": None} if name == "order_shipped" else {}
        options = {"cancel_key": str(self.sent % 10), "channels": ["email"], **more}
        NotificationManager.send(name, [self.users[user]], None, context, **options)

    def send_for(self, user, minutes):
        self.send(user, "order_shipped", expires_at=self.clock() + timedelta(minutes=minutes))

    def pause(self, is_away, _):
        Pause.objects.filter(channel="email").delete()
        if is_away:
            Pause.objects.pause("email", "", self.clock())

    def like(self, user, wants):
        events = {"order_shipped": {"email": wants}}
        UserSettings.objects.filter(user=self.users[user]).update(events=events)

    def wait(self, minutes, _):
        self.clock.forward(minutes=minutes)

    def make(self, *_):
        make_due()

    def work(self, *_):
        Worker(workers=1).drain()

    def cancel(self, key, _):
        NotificationManager.cancel(None, str(key))

    def choose(self, user, kind):
        UserSettings.objects.filter(user=self.users[user]).update(digest=kind)


ITEMS = [("send_for", 0, 20), ("send_for", 0, 1500)]
MADE_LATE = [("wait", 16, None), ("make", None, None), ("wait", 10, None)]


@settings(max_examples=30, deadline=None)
@example([*ITEMS, *MADE_LATE])
@example([*ITEMS, ("pause", True, None), *MADE_LATE, ("like", 0, False)])
@given(STEPS)
@pytest.mark.every_database
def test_every_held_item_is_in_exactly_one_digest(django_db_setup, django_db_blocker, steps):
    with (
        django_db_blocker.unblock(),
        transaction.atomic(),
        temporary_events(),
        without_upkeep(),
        travelling(START) as clock,
    ):
        mail.outbox = []
        site = Site(clock)
        for step in steps:
            site.take(*step)
        site.pause(False, None)
        # Everything has come due by then, and what it was put together into as well.
        for _ in range(20):
            clock.forward(hours=12)
            site.work()
        _accounted_for(site)
        transaction.set_rollback(True)


def _accounted_for(site):
    items = Delivery.objects.filter(notification__digest_kind="")
    refused = NotificationLog.objects.filter(kind="drop", delivery=None)
    assert items.count() + refused.count() == site.sent
    went, ended = {DeliveryState.SENT, DeliveryState.MERGED}, {"cancelled", "expired", "dropped"}
    assert set(items.values_list("state", flat=True)) <= went | ended
    merged = list(items.filter(state=DeliveryState.MERGED).select_related("merged_into"))
    assert all(row.merged_into.recipient_key == row.recipient_key for row in merged)
    wholes = Delivery.objects.exclude(notification__digest_kind="")
    assert set(wholes.values_list("state", flat=True)) <= {DeliveryState.SENT, *ended}
    into = {row.merged_into_id for row in merged}
    sent = set(wholes.filter(state=DeliveryState.SENT).values_list("pk", flat=True))
    assert sent <= into <= set(wholes.values_list("pk", flat=True))
    arrived = items.filter(Q(state=DeliveryState.SENT) | Q(merged_into__in=sent))
    sent_at = Coalesce("merged_into__settled_at", "settled_at")
    assert not arrived.filter(notification__expires_at__lt=sent_at).exists()
    # And what the mails say: every item that arrived, once, and no other.
    told = Counter(word for message in mail.outbox for word in message.subject.split() + message.body.split())
    shipped = items.filter(notification__event="order_shipped").select_related("notification")
    numbers = [row.notification.values["order_number"] for row in shipped.filter(pk__in=arrived)]
    in_digests = {row.notification.values["order_number"] for row in merged if row.notification.context}
    assert not any(told[row.notification.values["order_number"]] for row in shipped.exclude(pk__in=arrived))
    # Alone, an item is named in its subject and in its text; in a digest or batch only once.
    assert {number: told[number] for number in numbers} == {
        number: 1 if number in in_digests else 2 for number in numbers
    }
