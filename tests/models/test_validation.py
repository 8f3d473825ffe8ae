"""Preferences that are set in code are validated like those in the admin."""

from datetime import time

import pytest
from django.core.exceptions import ValidationError

from notifications.events import NotificationChannel
from notifications.exceptions import InvalidOption, UnknownEvent
from notifications.models import Cluster, Mute, SharedPreference, UserSettings
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return UserFactory()


def get_errors(row):
    with pytest.raises(ValidationError) as raised:
        row.full_clean()
    return raised.value.message_dict


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("channels", {"mail": False}, "There is no channel mail. Did you mean email?"),
        ("channels", {"smoke-signal": False}, "Choose one of: app, discord, email, log"),
        ("events", {"order_shiped": False}, "There is no event order_shiped. Did you mean order_shipped?"),
        ("events", {"order_shipped": {"mail": False}}, "There is no channel mail. Did you mean email?"),
        ("categories", {"order": False}, "No event has the category order. Did you mean orders?"),
        ("categories", {"orders": {"emial": False}}, "There is no channel emial. Did you mean email?"),
        ("addresses", {"mail": "ann@example.com"}, "There is no channel mail. Did you mean email?"),
        ("addresses", {"*": "ann@example.com"}, "There is no channel *."),
        ("delivery_windows", {"mail": [["08:00", "12:00"]]}, "There is no channel mail. Did you mean email?"),
        ("language", "xx", "This site does not have the language xx."),
        ("language", "de;drop", "This site does not have the language de;drop."),
        ("time_zone", "Europe/Berln", "There is no time zone Europe/Berln. Did you mean Europe/Berlin?"),
    ],
)
def test_an_unknown_name_is_rejected_with_a_suggestion(column, value, words, user):
    errors = get_errors(UserSettings(user=user, **{column: value}))
    assert list(errors) == [column]
    assert words in errors[column][0]


def test_an_unknown_name_without_a_similar_one_is_rejected(user):
    row = UserSettings(user=user, cluster=Cluster.objects.default(), events={"zzzz": False})
    assert get_errors(row) == {"events": ["There is no event zzzz."]}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(
            (column, value)
            for column in ("channels", "events", "categories", "addresses", "delivery_windows")
            for value in (["email"], "email", None, {"email": 7}, {7: False})
        ),
        ("channels", {"email": "no"}),
        ("channels", {"email": {"app": False}}),
        ("events", {"order_shipped": {"email": "off"}}),
        ("categories", {"orders": 0}),
        ("delivery_windows", {"email": [["8", "9"]]}),
        ("delivery_windows", {"email": [["08:00", None]]}),
        ("delivery_windows", {"email": [["08:00", "09:00", ["Monday"]]]}),
    ],
)
def test_a_wrong_form_is_rejected(column, value, user):
    assert list(get_errors(UserSettings(user=user, **{column: value}))) == [column]


@pytest.mark.parametrize(
    "address", ["ann", "ann@exam ple.com", "a@x.example, b@x.example", "ann@x.example\n", " ", "\0"]
)
def test_an_unusable_address_is_rejected(address, user):
    errors = get_errors(UserSettings(user=user, addresses={"EMAIL": address}))
    assert errors == {"addresses": ["The address for the channel email is not a usable address (email)."]}


def test_an_address_for_a_channel_without_addresses_is_rejected(user):
    errors = get_errors(UserSettings(user=user, addresses={"app": "ann@example.com"}))
    assert errors == {"addresses": ["The channel app does not use an address. Remove the address."]}


@pytest.mark.parametrize(
    "preferences",
    [
        {},
        {"channels": {"*": False, "EMAIL": True, "sms": False}},
        {"events": {"*": {"email": False}, "Order_Shipped": {"*": True}, "shop_newsletter": False}},
        {"categories": {"*": False, "Orders": {"email": True}}},
        {"addresses": {"email": "ann@example.com", "sms": "+4915112345678"}},
        {"addresses": {"email": ""}},
        {"addresses": {"email": None}},
        {"delivery_windows": {"*": [["08:00", "12:00"]], "email": []}},
        {"language": "de_AT", "time_zone": "Europe/Berlin"},
        {"language": "pt-BR"},
        {"quiet_from": time(22), "quiet_until": time(7), "digest": "weekly", "digest_day": 4},
    ],
)
def test_valid_preferences_pass(preferences, user):
    UserSettings(user=user, **preferences).full_clean()


def test_a_disabled_channel_passes(user, settings):
    settings.NOTIFICATIONS = {
        "CHANNELS": {"pager": {"BACKEND": "notifications.channels.log.LogChannel", "ENABLED": False}}
    }
    UserSettings(user=user, channels={"pager": False}).full_clean()


class TestRemovedNames:
    """Names that the site had when they were stored."""

    STORED = {
        "channels": {"pager": False},
        "events": {"old_event": {"pager": False}},
        "categories": {"old_category": False},
        "addresses": {"pager": "+4915112345678"},
        "delivery_windows": {"pager": [["08:00", "12:00"]]},
        "language": "xx",
        "time_zone": "US/Pacific-New",
    }

    @pytest.fixture
    def row(self):
        return UserSettingsFactory(**self.STORED)

    def test_other_changes_can_be_saved(self, row):
        row.set_channel("email", False)
        row.full_clean()
        row.save()
        assert UserSettings.objects.get().channels == {"pager": False, "email": False}

    def test_no_unknown_name_can_be_added(self, row):
        row.channels["mail"] = row.channels["old_category"] = False
        assert len(get_errors(row)["channels"]) == 2

    def test_another_row_cannot_use_it(self, row):
        other = UserSettingsFactory()
        other.language = row.language
        assert list(get_errors(other)) == ["language"]

    def test_a_mute_of_a_removed_event_or_user_can_be_changed(self, user):
        for kind, value in (("event", "old_event"), ("sender", "0")):
            mute = Mute.objects.create(user=user, kind=kind, value=value)
            mute.full_clean()
            mute.value += "x"
            assert list(get_errors(mute)) == ["value"]

    def test_an_unusable_address_is_still_rejected(self, row):
        row.addresses["email"] = "ann"
        row.save()
        assert list(get_errors(row)) == ["addresses"]


def test_preferences_of_roles_and_clusters_are_validated():
    errors = get_errors(SharedPreference(channels={"mail": False}, events={"order_shiped": False}, categories=[]))
    assert set(errors) == {"channels", "events", "categories"}


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("event", "order_shiped", "Did you mean order_shipped?"),
        ("event", "*", "There is no event *."),
        ("sender", "0", "There is no user with this key."),
        ("sender", "ann", "There is no user with this key."),
    ],
)
def test_a_mute_of_an_unknown_name_is_rejected(kind, value, words, user):
    errors = get_errors(Mute(user=user, kind=kind, value=value))
    assert words in errors["value"][0]


@pytest.mark.parametrize("wrong", [["email"], "email", 7])
def test_a_value_that_is_no_dict_cannot_be_saved(wrong, user):
    with pytest.raises(TypeError, match="channels must be a dict such as"):
        UserSettings.objects.create(user=user, channels=wrong)


class TestSetters:
    def test_an_unknown_channel_is_an_error_with_a_suggestion(self):
        row = UserSettings()
        with pytest.raises(InvalidOption, match="There is no channel mail. Did you mean email?"):
            row.set_channel("mail", False)
        with pytest.raises(InvalidOption, match="There is no channel mail. Did you mean email?"):
            row.set_notification_preference(ShopEvents.NEWSLETTER, "mail", False)
        assert (row.channels, row.events) == ({}, {})

    def test_an_unknown_event_is_an_error_with_a_suggestion(self):
        row = UserSettings()
        with pytest.raises(UnknownEvent, match="There is no event shop_newslettr. Did you mean shop_newsletter?"):
            row.set_notification_preference("shop_newslettr", "email", False)
        assert row.events == {}

    def test_a_star_means_every_channel_or_event(self):
        row = UserSettings()
        row.set_channel("*", False)
        row.set_channel(NotificationChannel.SMS, True)
        row.set_notification_preference("*", "email", False)
        assert row.channels == {"*": False, "sms": True}
        assert row.events == {"*": {"email": False}}


def test_validating_valid_preferences_reads_no_stored_row(django_assert_num_queries):
    row = UserSettingsFactory(cluster=Cluster.objects.default(), channels={"email": False})
    with django_assert_num_queries(0):
        row.clean_fields(exclude=["user", "cluster"])
