"""Preferences: one spelling, one resolution, no rows by reading."""

from datetime import time
from enum import Enum

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.core.rules import describe_rule
from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, key_of
from notifications.models import Cluster, Mute, SharedPreference, TopicSubscription, UserSettings
from notifications.models.preferences import normalize_keys, resolve_preference
from notifications.testing import temporary_events
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents


class Door(Enum):
    OPENED = "door_opened"


EVENTS = ["order_shipped", "shop_newsletter", "unregistered"]
CHANNELS = ["email", "app", "pager"]
KNOWN_EVENTS, KNOWN_CHANNELS = EVENTS[:2], CHANNELS[:2]


@st.composite
def spelt(draw, words):
    """A word in any case, with white space around it."""
    word = draw(st.sampled_from(words))
    case = draw(st.sampled_from([str.lower, str.upper, str.title]))
    space = st.text(" \t\n", max_size=2)
    return draw(space) + case(word) + draw(space)


@settings(deadline=None)
@given(spelt(EVENTS), spelt(CHANNELS), spelt(EVENTS), spelt(CHANNELS))
def test_an_opt_out_of_an_event_holds_for_it_in_every_spelling_and_for_no_other(event, channel, asked, by):
    stored = UserSettings(events={event: {channel: False}})
    same = (event.strip().lower(), channel.strip().lower()) == (asked.strip().lower(), by.strip().lower())
    assert stored.get_notification_preference(asked, by) is not same


@settings(deadline=None)
@given(spelt(CHANNELS), spelt(EVENTS), spelt(CHANNELS))
def test_a_channel_that_is_off_is_off_for_everything(channel, event, asked):
    stored = UserSettings(channels={channel: False}, events={event: {asked: True}, "order_shipped": True})
    same = channel.strip().lower() == asked.strip().lower()
    assert stored.get_notification_preference(event, asked) is not same


def choices_of(events, channels):
    by_channel = st.dictionaries(spelt(channels), st.booleans(), max_size=3)
    return st.dictionaries(spelt(events), st.booleans() | by_channel, max_size=3)


CHOICES, WITH_STARS = choices_of(EVENTS, CHANNELS), choices_of([*EVENTS, "*"], [*CHANNELS, "*"])


@given(CHOICES)
def test_normalising_twice_changes_nothing(choices):
    assert normalize_keys(normalize_keys(choices)) == normalize_keys(choices)


@settings(deadline=None)
@given(WITH_STARS, spelt(KNOWN_EVENTS), spelt(KNOWN_CHANNELS), st.booleans())
def test_a_choice_that_was_made_is_read_back(choices, event, channel, wanted):
    stored = UserSettings(events=choices)
    stored.set_notification_preference(event, channel, wanted)
    assert stored.get_notification_preference(event, channel) is wanted


@settings(deadline=None)
@given(WITH_STARS, spelt(KNOWN_EVENTS), spelt(KNOWN_CHANNELS), st.booleans(), spelt(EVENTS), spelt(CHANNELS))
def test_a_choice_changes_no_other_choice(choices, event, channel, wanted, other_event, other_channel):
    def chosen(row):
        return row.get_notification_preference(other_event, other_channel)

    before, stored = chosen(UserSettings(events=choices)), UserSettings(events=choices)
    stored.set_notification_preference(event, channel, wanted)
    same = (event.strip().lower(), channel.strip().lower()) == (
        other_event.strip().lower(),
        other_channel.strip().lower(),
    )
    assert same or chosen(stored) is before


def test_one_channel_back_on_leaves_the_others_of_the_event_off():
    stored = UserSettings(events={"order_shipped": False})
    stored.set_notification_preference("order_shipped", "email", True)
    assert stored.get_notification_preference("order_shipped", "email")
    assert not stored.get_notification_preference("order_shipped", "app")


def test_what_holds_for_every_event_holds_on_for_the_other_channels_of_one():
    stored = UserSettings(events={"*": {"email": False}})
    stored.set_notification_preference("order_shipped", "app", True)
    assert not stored.get_notification_preference("order_shipped", "email")


def test_an_opt_out_stands_where_two_spellings_disagree():
    stored = UserSettings(channels={"EMAIL": False, "email": True})
    assert not stored.get_notification_preference("order_shipped", "email")


@settings(deadline=None)
@given(CHOICES, CHOICES, spelt(EVENTS), spelt(CHANNELS))
def test_of_two_spellings_the_one_that_says_no_has_the_word(first, second, event, channel):
    first = {key_of(key).upper(): value for key, value in first.items()}
    second = {key_of(key): value for key, value in second.items()}

    def wanted(choices):
        return UserSettings(events=choices).get_notification_preference(event, channel)

    assert wanted({**first, **second}) is wanted({**second, **first}) is (wanted(first) and wanted(second))


@pytest.mark.parametrize("malformed", [[], "email", None, 5])
def test_what_is_no_mapping_says_nothing(malformed):
    stored = UserSettings(channels=malformed, events=malformed, categories=malformed, addresses=malformed)
    assert stored.get_notification_preference("order_shipped", "email")
    assert stored.address_for("email") == ""
    stored.set_channel("email", False)
    stored.set_notification_preference("order_shipped", "app", False)
    assert not stored.get_notification_preference("shop_newsletter", "email")
    assert not stored.get_notification_preference("order_shipped", "app")


def test_the_category_of_an_event_counts_however_its_name_is_spelt():
    with temporary_events() as events:
        events[Door.OPENED] = NotificationEvent("Door_Opened", NotificationPriority.LOW, ["email"], category="Doors")
        stored = UserSettings(categories={"doors": False})
        assert not stored.get_notification_preference("Door_Opened", "email")
        assert not stored.get_notification_preference("door_opened", "email")


@pytest.mark.parametrize(
    ("stored", "wanted", "rule"),
    [
        ({}, True, "system: on"),
        ({"channels": {"email": True}}, True, "user: channel email is on"),
        ({"channels": {"email": False}, "events": {"order_shipped": True}}, False, "user: channel email is off"),
        ({"events": {"order_shipped": {"email": False}}}, False, "user: event order_shipped by email is off"),
        ({"events": {"order_shipped": False}}, False, "user: event order_shipped by email is off"),
        ({"categories": {"orders": {"email": False}}}, False, "user: category orders by email is off"),
        (
            {"events": {"order_shipped": {"email": True}}, "categories": {"orders": False}},
            True,
            "user: event order_shipped by email is on",
        ),
        (
            {"events": {"order_shipped": {"app": True}}, "categories": {"orders": False}},
            False,
            "user: category orders by email is off",
        ),
        ({"categories": {"news": False}}, True, "system: on"),
    ],
)
def test_the_channel_decides_then_the_event_then_the_category(stored, wanted, rule):
    answer = resolve_preference([UserSettings(**stored)], "order_shipped", "orders", "email")
    assert (answer[0], describe_rule(answer[1])) == (wanted, rule)


def test_a_preference_may_be_asked_for_by_members():
    stored = UserSettings(categories={"Orders": {"EMAIL": False}})
    assert not stored.get_notification_preference(ShopEvents.ORDER_SHIPPED, NotificationChannel.EMAIL)
    assert stored.get_notification_preference(ShopEvents.NEWSLETTER, NotificationChannel.EMAIL)


def test_a_whole_channel_is_switched_in_one_spelling():
    stored = UserSettings(channels={"EMAIL": True})
    stored.set_channel(NotificationChannel.EMAIL, False)
    assert stored.channels == {"email": False}


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_address_that_was_taken_back_is_none(nothing):
    assert UserSettings(addresses={"EMAIL": nothing}).address_for("email") == ""
    assert UserSettings().address_for("email") == ""


@pytest.mark.django_db
class TestStored:
    def test_saving_writes_one_spelling(self):
        row = UserSettingsFactory(
            channels={"EMAIL": False},
            events={" Order_Shipped": {"APP": False}},
            categories={"NEWS": {"Email": False}},
            addresses={"EMAIL": "Ann@Example.com"},
        )
        row.refresh_from_db()
        assert row.channels == {"email": False}
        assert row.events == {"order_shipped": {"app": False}}
        assert row.categories == {"news": {"email": False}}
        assert row.addresses == {"email": "Ann@Example.com"}, "the address itself is the user's own spelling"

    def test_reading_a_preference_costs_no_query_and_writes_no_row(self, django_assert_num_queries):
        stored = UserSettings()
        with django_assert_num_queries(0):
            assert stored.get_notification_preference("order_shipped", "email")
        assert not UserSettings.objects.exists()

    def test_there_is_one_row_for_each_user_and_cluster(self):
        row = UserSettingsFactory()
        with pytest.raises(IntegrityError), transaction.atomic():
            UserSettingsFactory(user=row.user, cluster=row.cluster)
        UserSettingsFactory(user=row.user)

    def test_a_site_with_the_default_cluster_alone_need_not_name_it(self):
        user = UserFactory()
        row, created = UserSettings.objects.get_or_create(user=user)
        assert (created, row.cluster) == (True, Cluster.objects.default())
        assert UserSettings.objects.get_or_create(user=user) == (row, False)
        assert user.notification_settings.update_or_create(defaults={"language": "de"}) == (row, False)

    def test_without_a_cluster_no_row_of_another_is_found(self):
        elsewhere = UserSettingsFactory()
        row, created = UserSettings.objects.get_or_create(user=elsewhere.user)
        assert (created, row.cluster) == (True, Cluster.objects.default())
        found = UserSettings.objects.get_or_create(user=elsewhere.user, cluster=elsewhere.cluster)
        assert found == (elsewhere, False)

    def test_a_cluster_among_the_defaults_is_not_overruled(self):
        elsewhere = UserSettingsFactory()
        for method in (UserSettings.objects.get_or_create, UserSettings.objects.update_or_create):
            assert method(user=elsewhere.user, defaults={"cluster": elsewhere.cluster}) == (elsewhere, False)

    def test_so_do_all_rows_that_belong_to_a_cluster(self):
        user, default = UserFactory(), Cluster.objects.default()
        rows = [
            UserSettings(user=user),
            SharedPreference(),
            Mute(user=user, kind="topic", value="sale"),
            TopicSubscription(user=user, topic="sale"),
        ]
        for row in rows:
            row.full_clean()
            row.save()
            assert row.cluster == default

    def test_a_row_says_whose_it_is(self):
        row = UserSettingsFactory(user__username="ann", cluster__name="Home")
        assert str(row) == "ann in Home"


@pytest.mark.parametrize(
    "stored",
    [
        {"channels": {"*": False}},
        {"events": {"*": False}},
        {"events": {"*": {"email": False}}},
        {"categories": {"*": False}},
        {"channels": {"email": "false"}},
        {"channels": {"email": {"enabled": False}}},
        {"events": {"order_shipped": {"email": "off"}}},
    ],
)
def test_whatever_was_written_to_turn_something_off_turns_it_off(stored):
    assert not UserSettings(**stored).get_notification_preference("order_shipped", "email")


def test_a_star_gives_way_to_what_is_named():
    stored = UserSettings(channels={"*": False, "app": True})
    assert stored.get_notification_preference("order_shipped", "app")
    assert not stored.get_notification_preference("order_shipped", "email")


class TestHours:
    NIGHT = {"quiet_from": time(22), "quiet_until": time(7)}

    @pytest.mark.parametrize(
        "chosen",
        [
            {"quiet_from": time(22)},
            {"quiet_until": time(7)},
            {"quiet_from": time(0), "quiet_until": time(23, 50)},
            {"delivery_windows": {"email": [["08:00", "08:10"]]}},
            {**NIGHT, "delivery_windows": {"*": [["23:00", "06:00"]]}},
        ],
    )
    def test_what_would_hardly_ever_be_open_is_refused(self, chosen):
        with pytest.raises(ValidationError):
            UserSettings(**chosen).clean()

    @pytest.mark.parametrize(
        "chosen", [{}, NIGHT, {"quiet_from": time(7), "quiet_until": time(7)}, {"delivery_windows": {"email": []}}]
    )
    def test_all_else_is_not(self, chosen):
        UserSettings(**chosen).clean()

    def test_the_sites_quiet_hours_count_for_who_has_none(self, settings):
        settings.NOTIFICATIONS = {"QUIET_HOURS": ["22:00", "07:00"]}
        with pytest.raises(ValidationError):
            UserSettings(delivery_windows={"email": [["23:00", "06:00"]]}).clean()

    def test_they_are_stored_under_the_one_spelling_of_their_channel(self, db):
        row = UserSettingsFactory(delivery_windows={"EMAIL": [["08:00", "12:00"]]})
        assert row.delivery_windows == {"email": [["08:00", "12:00"]]}
