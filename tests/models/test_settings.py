"""Preferences: keys are normalized, levels are resolved, and reading creates no rows."""

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
def spellings(draw, words):
    """Return a word in any case with whitespace around it."""
    word = draw(st.sampled_from(words))
    case = draw(st.sampled_from([str.lower, str.upper, str.title]))
    space = st.text(" \t\n", max_size=2)
    return draw(space) + case(word) + draw(space)


@settings(deadline=None)
@given(spellings(EVENTS), spellings(CHANNELS), spellings(EVENTS), spellings(CHANNELS))
def test_an_opt_out_applies_to_every_spelling_of_its_event_only(event, channel, asked, by):
    stored = UserSettings(events={event: {channel: False}})
    same = (event.strip().lower(), channel.strip().lower()) == (asked.strip().lower(), by.strip().lower())
    assert stored.get_notification_preference(asked, by) is not same


@settings(deadline=None)
@given(spellings(CHANNELS), spellings(EVENTS), spellings(CHANNELS))
def test_a_channel_that_is_off_is_off_for_everything(channel, event, asked):
    stored = UserSettings(channels={channel: False}, events={event: {asked: True}, "order_shipped": True})
    same = channel.strip().lower() == asked.strip().lower()
    assert stored.get_notification_preference(event, asked) is not same


def choices_of(events, channels):
    by_channel = st.dictionaries(spellings(channels), st.booleans(), max_size=3)
    return st.dictionaries(spellings(events), st.booleans() | by_channel, max_size=3)


CHOICES, WITH_STARS = choices_of(EVENTS, CHANNELS), choices_of([*EVENTS, "*"], [*CHANNELS, "*"])


@given(CHOICES)
def test_normalizing_twice_changes_nothing(choices):
    assert normalize_keys(normalize_keys(choices)) == normalize_keys(choices)


@settings(deadline=None)
@given(WITH_STARS, spellings(KNOWN_EVENTS), spellings(KNOWN_CHANNELS), st.booleans())
def test_a_choice_can_be_read_back(choices, event, channel, wanted):
    stored = UserSettings(events=choices)
    stored.set_notification_preference(event, channel, wanted)
    assert stored.get_notification_preference(event, channel) is wanted


@settings(deadline=None)
@given(
    WITH_STARS,
    spellings(KNOWN_EVENTS),
    spellings(KNOWN_CHANNELS),
    st.booleans(),
    spellings(EVENTS),
    spellings(CHANNELS),
)
def test_a_choice_changes_no_other_choice(choices, event, channel, wanted, other_event, other_channel):
    def get_other(row):
        return row.get_notification_preference(other_event, other_channel)

    before, stored = get_other(UserSettings(events=choices)), UserSettings(events=choices)
    stored.set_notification_preference(event, channel, wanted)
    same = (event.strip().lower(), channel.strip().lower()) == (
        other_event.strip().lower(),
        other_channel.strip().lower(),
    )
    assert same or get_other(stored) is before


def test_turning_one_channel_on_leaves_the_others_of_the_event_off():
    stored = UserSettings(events={"order_shipped": False})
    stored.set_notification_preference("order_shipped", "email", True)
    assert stored.get_notification_preference("order_shipped", "email")
    assert not stored.get_notification_preference("order_shipped", "app")


def test_the_choice_for_every_event_still_applies_to_other_channels_of_one():
    stored = UserSettings(events={"*": {"email": False}})
    stored.set_notification_preference("order_shipped", "app", True)
    assert not stored.get_notification_preference("order_shipped", "email")


def test_an_opt_out_wins_if_two_spellings_disagree():
    stored = UserSettings(channels={"EMAIL": False, "email": True})
    assert not stored.get_notification_preference("order_shipped", "email")


@settings(deadline=None)
@given(CHOICES, CHOICES, spellings(EVENTS), spellings(CHANNELS))
def test_an_opt_out_in_either_spelling_of_an_event_wins(first, second, event, channel):
    first = {key_of(key).upper(): value for key, value in first.items()}
    second = {key_of(key): value for key, value in second.items()}

    def wanted(choices):
        return UserSettings(events=choices).get_notification_preference(event, channel)

    assert wanted({**first, **second}) is wanted({**second, **first}) is (wanted(first) and wanted(second))


@pytest.mark.parametrize("malformed", [[], "email", None, 5])
def test_a_value_that_is_no_dict_is_ignored(malformed):
    stored = UserSettings(channels=malformed, events=malformed, categories=malformed, addresses=malformed)
    assert stored.get_notification_preference("order_shipped", "email")
    assert stored.address_for("email") == ""
    stored.set_channel("email", False)
    stored.set_notification_preference("order_shipped", "app", False)
    assert not stored.get_notification_preference("shop_newsletter", "email")
    assert not stored.get_notification_preference("order_shipped", "app")


def test_the_category_applies_to_every_spelling_of_the_event():
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


def test_a_preference_can_be_read_with_enum_members():
    stored = UserSettings(categories={"Orders": {"EMAIL": False}})
    assert not stored.get_notification_preference(ShopEvents.ORDER_SHIPPED, NotificationChannel.EMAIL)
    assert stored.get_notification_preference(ShopEvents.NEWSLETTER, NotificationChannel.EMAIL)


def test_setting_a_channel_normalizes_its_name():
    stored = UserSettings(channels={"EMAIL": True})
    stored.set_channel(NotificationChannel.EMAIL, False)
    assert stored.channels == {"email": False}


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_removed_address_is_empty(nothing):
    assert UserSettings(addresses={"EMAIL": nothing}).address_for("email") == ""
    assert UserSettings().address_for("email") == ""


@pytest.mark.django_db
class TestStored:
    def test_saving_normalizes_keys(self):
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

    def test_reading_a_preference_runs_no_query_and_creates_no_row(self, django_assert_num_queries):
        stored = UserSettings()
        with django_assert_num_queries(0):
            assert stored.get_notification_preference("order_shipped", "email")
        assert not UserSettings.objects.exists()

    def test_there_is_one_row_for_each_user_and_cluster(self):
        row = UserSettingsFactory()
        with pytest.raises(IntegrityError), transaction.atomic():
            UserSettingsFactory(user=row.user, cluster=row.cluster)
        UserSettingsFactory(user=row.user)

    def test_the_default_cluster_need_not_be_named(self):
        user = UserFactory()
        row, created = UserSettings.objects.get_or_create(user=user)
        assert (created, row.cluster) == (True, Cluster.objects.default())
        assert UserSettings.objects.get_or_create(user=user) == (row, False)
        assert user.notification_settings.update_or_create(defaults={"language": "de"}) == (row, False)

    def test_without_a_cluster_no_row_of_another_cluster_is_found(self):
        elsewhere = UserSettingsFactory()
        row, created = UserSettings.objects.get_or_create(user=elsewhere.user)
        assert (created, row.cluster) == (True, Cluster.objects.default())
        found = UserSettings.objects.get_or_create(user=elsewhere.user, cluster=elsewhere.cluster)
        assert found == (elsewhere, False)

    def test_a_cluster_in_the_defaults_is_used(self):
        elsewhere = UserSettingsFactory()
        for method in (UserSettings.objects.get_or_create, UserSettings.objects.update_or_create):
            assert method(user=elsewhere.user, defaults={"cluster": elsewhere.cluster}) == (elsewhere, False)

    def test_all_rows_of_a_cluster_use_the_default_cluster(self):
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

    def test_the_text_of_a_row_names_user_and_cluster(self):
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
def test_any_value_except_true_turns_off(stored):
    assert not UserSettings(**stored).get_notification_preference("order_shipped", "email")


def test_a_named_channel_overrides_a_star():
    stored = UserSettings(channels={"*": False, "app": True})
    assert stored.get_notification_preference("order_shipped", "app")
    assert not stored.get_notification_preference("order_shipped", "email")


class TestHours:
    NIGHT = {"quiet_from": time(22), "quiet_until": time(7)}

    @pytest.mark.parametrize(
        "preferences",
        [
            {"quiet_from": time(22)},
            {"quiet_until": time(7)},
            {"quiet_from": time(0), "quiet_until": time(23, 50)},
            {"delivery_windows": {"email": [["08:00", "08:10"]]}},
            {**NIGHT, "delivery_windows": {"*": [["23:00", "06:00"]]}},
        ],
    )
    def test_hours_that_are_hardly_ever_open_are_rejected(self, preferences):
        with pytest.raises(ValidationError):
            UserSettings(**preferences).clean()

    @pytest.mark.parametrize(
        "preferences", [{}, NIGHT, {"quiet_from": time(7), "quiet_until": time(7)}, {"delivery_windows": {"email": []}}]
    )
    def test_other_hours_pass(self, preferences):
        UserSettings(**preferences).clean()

    def test_the_quiet_hours_of_the_site_apply_to_users_without_their_own(self, settings):
        settings.NOTIFICATIONS = {"QUIET_HOURS": ["22:00", "07:00"]}
        with pytest.raises(ValidationError):
            UserSettings(delivery_windows={"email": [["23:00", "06:00"]]}).clean()

    def test_delivery_windows_are_stored_with_normalized_keys(self, db):
        row = UserSettingsFactory(delivery_windows={"EMAIL": [["08:00", "12:00"]]})
        assert row.delivery_windows == {"email": [["08:00", "12:00"]]}
