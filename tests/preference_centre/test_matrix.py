"""The matrix: each cell shows the user's choice and the rule that decides, as ``explain()`` does."""

import re
from collections import defaultdict
from enum import Enum
from random import Random

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Mute, SharedPreference, Suppression, UserSettings
from notifications.outcomes import Drop
from notifications.preference_centre.cells import Place
from notifications.preference_centre.widgets.choices import Choice
from notifications.testing import temporary_events
from tests.factories import UserFactory
from tests.preference_centre.conftest import PREFERENCES, find_cells
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

RULE_SETS = 1000
CHANNELS = ("email", "app")


class Water(Enum):
    LEAK = "leak"
    DROUGHT = "drought"
    BILL = "bill"
    FLOOD = "flood"


@pytest.fixture
def water():
    with temporary_events() as events:
        events.clear()
        for member, category in ((Water.LEAK, "water"), (Water.DROUGHT, "water"), (Water.BILL, "")):
            events[member] = NotificationEvent("", NotificationPriority.MEDIUM, CHANNELS, context={}, category=category)
        events[Water.FLOOD] = NotificationEvent("", NotificationPriority.CRITICAL, CHANNELS, context={})
        yield events


class Dice:
    """Makes the same rules from the same number."""

    def __init__(self, seed):
        self.random = Random(seed)

    def choices(self):
        """Return what a level has chosen, in one of the forms that the columns can have."""
        names = {"events": ["leak", "Drought", "bill", "*"], "categories": ["water", "WATER", "*"]}
        columns = {column: self.rows(keys) for column, keys in names.items()}
        return {"channels": self.channels(), **columns}

    def rows(self, keys):
        return {key: self.random.choice([True, False, self.channels(), self.channels()]) for key in self.some(keys)}

    def channels(self):
        return {channel: self.random.random() < 0.5 for channel in self.some(["email", "APP", "app", "*"])}

    def some(self, names):
        return [name for name in names if self.random.random() < 0.25]


def make_rules(seed, user, cluster, groups):
    """Yield the unsaved rows of a rule set."""
    dice = Dice(seed)
    if dice.random.random() < 0.7:
        yield UserSettings(user=user, cluster=cluster, **dice.choices())
    for rank, group in enumerate([None, *groups]):
        if dice.random.random() < 0.6:
            yield SharedPreference(cluster=cluster, group=group, rank=rank % 2, **dice.choices())
    if dice.random.random() < 0.2:
        yield Mute(user=user, cluster=cluster, kind="event", value=dice.random.choice(["leak", "bill", "flood"]))


def add_rows(rows):
    """Add rows of several models, with one statement for each."""
    by_model = defaultdict(list)
    for row in rows:
        by_model[type(row)].append(row)
    for model, some in by_model.items():
        model._base_manager.bulk_create(some)


def make_clusters(users, count):
    """Return new clusters of which these users are members."""
    clusters = Cluster.objects.bulk_create(Cluster(name=str(number), slug=str(number)) for number in range(count))
    membership = Cluster.members.through
    membership.objects.bulk_create(membership(cluster=cluster, user=user) for cluster in clusters for user in users)
    return clusters


def explain_rules(event, user, cluster):
    """Return the answer and the rule of ``explain()`` for each channel."""
    explanation = NotificationManager.explain(event, user, cluster, {})
    return {one.channel: find_rule(one.steps) for one in explanation.channels}


def find_rule(steps):
    """Return whether no step drops, and the rule of the step that does, or else of the preferences."""
    dropping = [step for step in steps if isinstance(step.answer, Drop)]
    step = dropping[0] if dropping else next(step for step in steps if step.gate == "preferences")
    return not dropping, step.rule


@pytest.mark.slow
@pytest.mark.one_database
def test_for_1000_random_rule_sets_each_cell_equals_explain(ann, water):
    """Each rule set is in a cluster of its own. A tenth of them is for a user whose address has complained."""
    bob = UserFactory(username="bob")
    Suppression.objects.suppress([("email", bob.email)], "complaint", bob.date_joined)
    groups = [Group.objects.create(name=name) for name in ("Nurses", "Doctors")]
    for user in (ann, bob):
        user.groups.set(groups)
    sets = [
        (seed, ann if seed % 10 else bob, cluster) for seed, cluster in enumerate(make_clusters([ann, bob], RULE_SETS))
    ]
    add_rows(row for seed, user, cluster in sets for row in make_rules(seed, user, cluster, groups))
    for seed, user, cluster in sets:
        compare_with_explain(user, cluster, seed)


def compare_with_explain(user, cluster, seed):
    cells = find_cells(user, cluster)
    for event in Water:
        explained = explain_rules(event, user, cluster)
        for channel in CHANNELS:
            place = Place("events", event.value, channel)
            cell = cells.get(place) or cells[Place("locked", event.value.capitalize(), channel)]
            assert (cell.is_on, cell.rule) == explained[channel], (seed, place)


@pytest.mark.slow
@pytest.mark.one_database
def test_without_a_choice_the_cell_would_be_what_it_says(ann, water):
    for seed, cluster in enumerate(make_clusters([ann], 200)):
        add_rows(make_rules(seed, ann, cluster, []))
        settings = UserSettings.objects.filter(user=ann, cluster=cluster).first()
        chosen = [place for place, cell in find_cells(ann, cluster).items() if cell.choice != Choice.INHERIT]
        for place in (place for place in chosen if place.column == "events" and place.key != "*"):
            said = find_cells(ann, cluster)[place].is_inherited_on
            stored = settings.events
            place.set_choice(settings, None)
            settings.save()
            wanted = settings.get_notification_preference(place.key, place.channel)
            assert wanted == said, (seed, place)
            settings.events = stored
            settings.save()


def test_a_cell_shows_the_choice_and_the_rule(ann, cluster):
    SharedPreference(cluster=cluster, channels={"email": False}).save()
    cells = find_cells(ann, cluster)
    email = cells[Place("events", "order_shipped", "email")]
    app = cells[Place("events", "order_shipped", "app")]
    assert (email.choice, email.is_inherited_on, email.is_on) == (Choice.INHERIT, False, False)
    assert email.rule == "cluster: channel email is off"
    assert (app.is_inherited_on, app.is_on, app.rule) == (True, True, "system: on")


def test_a_necessary_event_is_locked_with_the_reason(ann, cluster):
    SharedPreference(cluster=cluster, channels={"email": False}).save()
    cell = find_cells(ann, cluster)[Place("locked", "Store on fire", "email")]
    assert cell.is_locked
    assert (cell.is_on, cell.rule) == (True, "not checked, because the event is CRITICAL")


def test_a_cell_says_that_there_is_no_address(cluster):
    bob = UserFactory(username="bob", email="")
    cell = find_cells(bob, cluster)[Place("events", "order_shipped", "email")]
    assert (cell.is_on, cell.rule) == (False, "no email address")


def test_a_changed_default_of_the_cluster_changes_inherited_cells_only(ann, cluster, water):
    settings = UserSettings(user=ann, cluster=cluster, events={"leak": {"email": True}})
    settings.save()
    before = find_cells(ann, cluster)
    SharedPreference(cluster=cluster, channels={"email": False}).save()
    after = find_cells(ann, cluster)
    changed = {place for place, cell in after.items() if cell.is_on != before[place].is_on}
    assert changed == {
        Place("channels", "", "email"),
        Place("categories", "water", "email"),
        Place("events", "drought", "email"),
        Place("events", "bill", "email"),
    }
    assert after[Place("events", "leak", "email")].is_on
    assert not after[Place("events", "leak", "email")].is_inherited_on


def test_digests_are_decided_by_the_user_alone(ann, cluster):
    SharedPreference(cluster=cluster, channels={"email": False}).save()
    place = Place("events", "weekly_digest", "email")
    assert find_cells(ann, cluster)[place].is_on
    UserSettings(user=ann, cluster=cluster, events={"weekly_digest": {"email": False}}).save()
    assert not find_cells(ann, cluster)[place].is_on
    assert Place("events", "weekly_digest", "app") not in find_cells(ann, cluster)


def test_choices_for_every_other_event_have_a_row(ann, cluster):
    UserSettings(user=ann, cluster=cluster, events={"*": {"email": False}}).save()
    cells = find_cells(ann, cluster)
    assert cells[Place("events", "*", "email")].choice == Choice.OFF
    assert cells[Place("events", "order_shipped", "email")].rule == "user: event order_shipped by email is off"


def test_messages_on_request_are_not_listed(ann, cluster):
    assert not {"test_message", "address_confirmation"} & {place.key for place in find_cells(ann, cluster)}


@pytest.mark.parametrize("count", [3, 200])
def test_200_events_on_8_channels_take_the_same_queries_as_3(count, ann, cluster, browser, settings):
    names = [f"channel{number}" for number in range(6)]
    backend = {"BACKEND": "notifications.channels.app.AppChannel"}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": dict.fromkeys(names, backend)}
    Many = Enum("Many", {f"EVENT_{number}": f"event_{number}" for number in range(count)})
    ann_settings = UserSettings(user=ann, cluster=cluster)
    with temporary_events() as events:
        del events[ShopEvents.ORDER_SHIPPED]
        for number, member in enumerate(Many):
            category = f"category_{number % 10}"
            events[member] = NotificationEvent(
                "", NotificationPriority.MEDIUM, ["email", "app", *names], category=category
            )
            ann_settings.set_notification_preference(member.value, "email", number % 2 == 0)
        ann_settings.save()
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(PREFERENCES)
    page = response.content.decode()
    assert len(re.findall(r'<select name="events\.\w+\.event_\d+"', page)) == count * 8
    # PostgreSQL is asked for the time.
    assert len(queries) == 12 + (connection.vendor == "postgresql")
