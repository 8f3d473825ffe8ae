"""Bursts to people in two clusters, on two channels, in quiet hours: every held item is told in exactly one digest."""

import dataclasses
import re
from collections import Counter
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.delivering.workers.worker import Worker
from notifications.digests import make_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, UserSettings
from notifications.outcomes import DeliveryState
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents
from tests.upkeep import without_upkeep

pytestmark = pytest.mark.django_db

START = datetime(2026, 10, 23, 10, tzinfo=UTC)
KINDS = ("none", "daily", "weekly")
ZONES = ("Europe/Berlin", "Asia/Kathmandu", "America/St_Johns")
NIGHT = {"quiet_from": time(22), "quiet_until": time(7)}
ENDS = {"sent", "merged", "cancelled", "expired", "dropped"}
URGENT = "Urgent, already sent to you\n"
WORD = re.compile(r"#\d+#")

people, places = st.integers(0, 2), st.integers(0, 1)
events = st.sampled_from(["order_shipped", "order_shipped", "message", "store_on_fire"])
options = st.sampled_from([{}, {}, {}, {"send_at": 90}, {"send_at": 1500}, {"expires_at": 300}, {"level": "critical"}])
counts = st.integers(2, 8)
steps = st.one_of(
    st.tuples(st.just("send"), people, places, events, counts, options),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 16, 60, 600, 1440, 4000])),
    st.tuples(st.sampled_from(["make", "work"])),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("choose"), people, st.sampled_from(KINDS)),
    st.tuples(st.just("leave"), people),
)


@st.composite
def stories(draw):
    """Something is sent to each in each cluster, with whatever comes in between and after it."""
    story = []
    for user, place in draw(st.permutations([(user, place) for user in range(3) for place in range(2)])):
        story.append(("send", user, place, draw(events), draw(counts), draw(options)))
        story += draw(st.lists(steps, max_size=1))
    return story + draw(st.lists(steps, max_size=6))


class Site:
    """A shop that batches what it ships, and three users with another kind of digest in each of two clusters."""

    def __init__(self, clock):
        self.clock = clock
        event = NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = dataclasses.replace(event, batch_window=900)
        self.users = [UserFactory() for _ in KINDS]
        self.clusters = Cluster.objects.default(), ClusterFactory(members=self.users)
        for number, user in enumerate(self.users):
            chosen = {"user": user, "time_zone": ZONES[number], **(NIGHT if number else {})}
            for place, cluster in enumerate(self.clusters):
                UserSettingsFactory(cluster=cluster, digest=KINDS[(number + place) % 3], **chosen)
        self.sent = self.queued = 0

    def send(self, user, place, event, count, options):
        given = {name: self.later(value) if name.endswith("_at") else value for name, value in options.items()}
        for _ in range(count):
            self.sent += 1
            result = NotificationManager.send(
                event, self.users[user], self.clusters[place], self.context(event),
                channels=["email", "app"], cancel_key=str(self.sent % 10), **given,
            )  # fmt: skip
            self.queued += result.queued + result.held

    def later(self, minutes):
        return self.clock() + timedelta(minutes=minutes)

    def context(self, event):
        word = f"#{self.sent}#"
        return {
            "order_shipped": {"order_number": word, "eta": None},
            "message": {"message": word, "title": None},
            "store_on_fire": {"place": word},
        }[event]

    def wait(self, minutes):
        self.clock.forward(minutes=minutes)

    def make(self):
        make_due()

    def work(self):
        Worker(workers=1).drain()

    def cancel(self, key):
        for cluster in self.clusters:
            NotificationManager.cancel(cluster, str(key))

    def choose(self, user, kind):
        UserSettings.objects.filter(user=self.users[user]).update(digest=kind)

    def leave(self, user):
        self.clusters[1].members.remove(self.users[user])

    def told(self):
        """How often each item was told to whom on which channel."""
        owners = {user.email: user.pk for user in self.users}
        told = Counter()
        for message in mail.outbox:
            words = named(message.subject, without_urgent(message.body))
            # The HTML of a single email also has its word in the title and in the preview.
            shown = set(WORD.findall(message.subject + message.body))
            assert all(set(WORD.findall(html.content)) == shown for html in message.alternatives)
            told.update((owners[message.to[0]], "email", word) for word in words)
        for item in InboxItem.objects.all():
            told.update((item.recipient_id, "app", word) for word in named(item.title, without_urgent(item.body)))
        return told


def without_urgent(text):
    """A digest also lists what it does not hold: the urgent notifications that were sent at once."""
    before, _heading, rest = text.partition(URGENT)
    return before + rest.partition("\n\n")[2]


def named(title, text):
    """What goes out alone has its word in the title and once more in the text; a digest has all in its text."""
    words = WORD.findall(text)
    assert WORD.findall(title) in ([], words)
    return words


@pytest.mark.slow
def test_every_held_item_is_in_exactly_one_digest():
    seen = Counter()

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stories())
    def whatever_happens(story):
        seen.update(tried(story))

    whatever_happens()
    enough = {"daily": 10, "weekly": 10, "batch": 10, "six or more": 10, **dict.fromkeys(ENDS, 1)}
    assert {what for what, count in enough.items() if seen[what] < count} == set(), seen


def tried(story):
    both = {"DIGEST_CHANNELS": ["email", "app"]}
    with (
        override_settings(NOTIFICATIONS=both),
        transaction.atomic(),
        temporary_events(),
        without_upkeep(),
        travelling(START) as clock,
    ):
        mail.outbox = []
        site = Site(clock)
        for step, *arguments in story:
            getattr(site, step)(*arguments)
        # Everything has come due by then, and what it was put together into as well.
        for _ in range(14):
            clock.forward(hours=17)
            site.work()
        seen = accounted_for(site)
        transaction.set_rollback(True)
    return seen


def accounted_for(site):
    items = list(Delivery.objects.filter(notification__digest_kind="").select_related("notification", "merged_into"))
    wholes = list(Delivery.objects.exclude(notification__digest_kind="").select_related("notification"))
    assert len(items) == site.queued
    assert {row.state for row in items} <= ENDS
    assert {row.state for row in wholes} <= ENDS - {DeliveryState.MERGED}
    assert all(row.notification.cluster == site.clusters[1] for row in [*items, *wholes] if row.state == "dropped")
    merged = [row for row in items if row.state == DeliveryState.MERGED]
    assert [row for row in items if row.merged_into] == merged
    # One that has lost all its items ends as they did.
    sent = {row.pk for row in wholes if row.state == DeliveryState.SENT}
    assert sent <= {row.merged_into_id for row in merged} <= {row.pk for row in wholes}
    assert not [row for row in merged if row.notification.priority == 1], "what is critical waited for others"
    for row in merged:
        assert (row.recipient_id, row.channel) == (row.merged_into.recipient_id, row.merged_into.channel)
    # And what they are told: every item that went out, by itself or with others, once.
    gone_out = [row for row in items if (row.merged_into or row).state == DeliveryState.SENT]
    assert site.told() == Counter((row.recipient_id, row.channel, word_of(row)) for row in gone_out)
    sizes = Counter(row.merged_into_id for row in merged)
    many = sum(size >= 6 for size in sizes.values())
    kinds = Counter(row.notification.digest_kind for row in wholes)
    return Counter(row.state for row in items) + kinds + Counter({"six or more": many})


def word_of(row):
    return next(value for value in row.notification.values.values() if value)
