"""Preferences that are set in code are looked at as closely as those that are typed in the admin."""

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


def faults_of(row):
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
def test_a_name_that_the_site_does_not_have_is_refused_with_the_nearest(column, value, words, user):
    faults = faults_of(UserSettings(user=user, **{column: value}))
    assert list(faults) == [column]
    assert words in faults[column][0]


def test_a_name_that_is_like_none_of_very_many_is_refused_in_one_sentence(user):
    row = UserSettings(user=user, cluster=Cluster.objects.default(), events={"zzzz": False})
    assert faults_of(row) == {"events": ["There is no event zzzz."]}


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
def test_a_wrong_form_is_refused(column, value, user):
    assert list(faults_of(UserSettings(user=user, **{column: value}))) == [column]


@pytest.mark.parametrize(
    "address", ["ann", "ann@exam ple.com", "a@x.example, b@x.example", "ann@x.example\n", " ", "\0"]
)
def test_an_unusable_address_is_refused(address, user):
    faults = faults_of(UserSettings(user=user, addresses={"EMAIL": address}))
    assert faults == {"addresses": ["The address for the channel email is not a usable address (email)."]}


def test_a_channel_for_accounts_takes_no_address(user):
    faults = faults_of(UserSettings(user=user, addresses={"app": "ann@example.com"}))
    assert faults == {"addresses": ["The channel app does not use an address. Remove the address."]}


@pytest.mark.parametrize(
    "chosen",
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
def test_what_works_passes(chosen, user):
    UserSettings(user=user, **chosen).full_clean()


def test_a_channel_that_the_site_has_switched_off_passes(user, settings):
    settings.NOTIFICATIONS = {
        "CHANNELS": {"pager": {"BACKEND": "notifications.channels.log.LogChannel", "ENABLED": False}}
    }
    UserSettings(user=user, channels={"pager": False}).full_clean()


class TestWhatTheSiteHasGivenUp:
    """It was known when it was stored."""

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

    def test_it_keeps_nobody_from_saving_something_else(self, row):
        row.set_channel("email", False)
        row.full_clean()
        row.save()
        assert UserSettings.objects.get().channels == {"pager": False, "email": False}

    def test_nothing_unknown_can_be_added_to_it(self, row):
        row.channels["mail"] = row.channels["old_category"] = False
        assert len(faults_of(row)["channels"]) == 2

    def test_it_cannot_come_to_another_row(self, row):
        other = UserSettingsFactory()
        other.language = row.language
        assert list(faults_of(other)) == ["language"]

    def test_a_mute_of_its_event_or_sender_can_be_changed(self, user):
        for kind, value in (("event", "old_event"), ("sender", "0")):
            mute = Mute.objects.create(user=user, kind=kind, value=value)
            mute.full_clean()
            mute.value += "x"
            assert list(faults_of(mute)) == ["value"]

    def test_an_address_that_is_unusable_must_be_mended_all_the_same(self, row):
        row.addresses["email"] = "ann"
        row.save()
        assert list(faults_of(row)) == ["addresses"]


def test_roles_and_clusters_are_looked_at_as_well():
    faults = faults_of(SharedPreference(channels={"mail": False}, events={"order_shiped": False}, categories=[]))
    assert set(faults) == {"channels", "events", "categories"}


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("event", "order_shiped", "Did you mean order_shipped?"),
        ("event", "*", "There is no event *."),
        ("sender", "0", "There is no user with this key."),
        ("sender", "ann", "There is no user with this key."),
    ],
)
def test_a_mute_of_nothing_there_is_is_refused(kind, value, words, user):
    faults = faults_of(Mute(user=user, kind=kind, value=value))
    assert words in faults["value"][0]


@pytest.mark.parametrize("wrong", [["email"], "email", 7])
def test_what_is_no_dict_is_not_saved_as_nothing_chosen(wrong, user):
    with pytest.raises(TypeError, match="channels must be a dict such as"):
        UserSettings.objects.create(user=user, channels=wrong)


class TestSetters:
    def test_an_unknown_channel_is_an_error_that_names_the_nearest(self):
        row = UserSettings()
        with pytest.raises(InvalidOption, match="There is no channel mail. Did you mean email?"):
            row.set_channel("mail", False)
        with pytest.raises(InvalidOption, match="There is no channel mail. Did you mean email?"):
            row.set_notification_preference(ShopEvents.NEWSLETTER, "mail", False)
        assert (row.channels, row.events) == ({}, {})

    def test_an_unknown_event_is_an_error_that_names_the_nearest(self):
        row = UserSettings()
        with pytest.raises(UnknownEvent, match="There is no event shop_newslettr. Did you mean shop_newsletter?"):
            row.set_notification_preference("shop_newslettr", "email", False)
        assert row.events == {}

    def test_every_channel_and_every_event_can_be_meant(self):
        row = UserSettings()
        row.set_channel("*", False)
        row.set_channel(NotificationChannel.SMS, True)
        row.set_notification_preference("*", "email", False)
        assert row.channels == {"*": False, "sms": True}
        assert row.events == {"*": {"email": False}}


def test_looking_at_what_is_right_reads_no_stored_row(django_assert_num_queries):
    row = UserSettingsFactory(cluster=Cluster.objects.default(), channels={"email": False})
    with django_assert_num_queries(0):
        row.clean_fields(exclude=["user", "cluster"])
