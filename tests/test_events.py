"""Events and their registry."""

from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.checks import check_enums_and_registry
from notifications.events import (
    BANDS,
    LEVELS,
    NOTIFICATION_EVENTS,
    BuiltInEvents,
    EventRegistry,
    NotificationChannel,
    NotificationEvent,
    NotificationPriority,
    key_of,
    register,
)
from notifications.exceptions import UnknownEvent
from notifications.testing import temporary_events
from tests.shop.notification_events import ShopEvents


class Door(Enum):
    OPENED = "door_opened"
    CLOSED = "door_closed"


def event(name="door_opened", priority=NotificationPriority.LOW, channels=("email",), **options):
    return NotificationEvent(name, priority, channels, **options)


def test_priorities_have_their_numbers():
    assert [(item.name, item.value) for item in NotificationPriority] == [
        ("CRITICAL", 1),
        ("HIGH", 2),
        ("MEDIUM", 3),
        ("LOW", 4),
    ]


def test_the_bands_of_the_priorities_cover_every_score_once():
    scores = [score for low, high in BANDS.values() for score in range(low, high + 1)]
    assert sorted(scores) == list(range(101))
    assert NotificationPriority.CRITICAL.band == (90, 100)


def test_levels_map_to_the_priorities_in_order():
    assert [LEVELS[level] for level in ("critical", "warning", "info", "debug")] == list(NotificationPriority)


def test_there_are_names_for_twelve_channels():
    assert {channel.value for channel in NotificationChannel} == {
        "email", "sms", "websocket", "app", "webhook", "push", "slack", "discord", "teams", "pushover", "voice", "log",
    }  # fmt: skip


@given(st.text(alphabet=" \t\nabcABCäÄ_-"))
def test_a_key_has_one_spelling(word):
    assert key_of(word.upper()) == key_of(f" {word.lower()}\n") == key_of(key_of(word))


def test_an_enum_member_and_its_value_have_one_key():
    assert key_of(NotificationChannel.EMAIL) == key_of("EMAIL") == "email"


def test_channels_are_named_once_in_the_declared_order():
    assert event(channels=["SMS", NotificationChannel.EMAIL, "sms ", "Pager"]).channels == ("sms", "email", "pager")


def test_channels_may_come_from_an_iterator_and_be_read_twice():
    shipped = event(channels=(channel for channel in ["email", "app"]))
    assert shipped.channels == shipped.channels == ("email", "app")


def test_a_string_is_not_a_list_of_channels():
    with pytest.raises((TypeError, ValueError)):
        event(channels="email")


def test_only_critical_bypasses_preferences():
    assert [item for item in NotificationPriority if event(priority=item).bypasses_preferences] == [
        NotificationPriority.CRITICAL
    ]


def test_a_priority_may_be_a_valid_number():
    assert event(priority=2).priority is NotificationPriority.HIGH
    with pytest.raises(ValueError, match="7"):
        event(priority=7)


def test_on_unknown_is_retry_or_hold():
    assert event(on_unknown="hold").on_unknown == "hold"
    with pytest.raises(ValueError, match="on_unknown"):
        event(on_unknown="ignore")


@pytest.mark.parametrize("item", NotificationPriority)
def test_a_base_score_may_lie_anywhere_in_the_band_and_nowhere_else(item):
    low, high = item.band
    assert [event(priority=item, score=score).score for score in (None, low, high)] == [None, low, high]
    for wrong in (low - 1, high + 1, float(low), str(low), True):
        with pytest.raises(ValueError, match=f"score of event 'door_opened' .* from {low} to {high}"):
            event(priority=item, score=wrong)


def test_a_deduplication_window_is_from_zero_to_a_day():
    assert [event(dedup_window=seconds).dedup_window for seconds in (0, 0.5, 86_400)] == [0, 0.5, 86_400]
    for wrong in (-1, 86_401, float("nan"), "900", True, None):
        with pytest.raises(ValueError, match="dedup_window of event 'door_opened' must be seconds from 0"):
            event(dedup_window=wrong)


def test_deduplication_keys_must_be_declared_in_the_context():
    assert event(context={"door": str}, dedup_keys=["door"]).dedup_keys == ("door",)
    assert event(context=None, dedup_keys=["anything"]).dedup_keys == ("anything",)
    with pytest.raises(ValueError, match="dedup_keys of event 'door_opened' names 'gate'"):
        event(context={"door": str}, dedup_keys=["door", "gate"])
    with pytest.raises(TypeError, match="dedup_keys"):
        event(dedup_keys="door")


def test_urgency_must_be_a_function():
    with pytest.raises(TypeError, match="urgency of event 'door_opened'"):
        event(urgency=5)


def test_a_transform_is_found_by_its_channel_in_any_spelling():
    shipped = event(transforms={NotificationChannel.EMAIL: dict, "SMS": list})
    assert shipped.transform_for("email") is dict
    assert shipped.transform_for("sms") is list
    assert shipped.transform_for("app") is None


def test_events_of_an_app_are_discovered():
    assert NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED].name == "order_shipped"
    assert BuiltInEvents.MESSAGE in NOTIFICATION_EVENTS


def test_registering_and_assigning_are_the_same():
    with temporary_events() as events:
        register(Door.OPENED, event())
        events[Door.CLOSED] = event("door_closed")
        assert events.find(Door.OPENED) is events.find("door_opened")
        assert events.named("door_closed") is events[Door.CLOSED]


def test_an_event_without_a_name_is_named_after_its_member():
    unnamed = NotificationEvent(
        priority=NotificationPriority.LOW, supported_channels=["SMS", "email"], transforms={"SMS": dict}
    )
    with temporary_events() as events:
        register(Door.OPENED, unnamed)
        events[Door.CLOSED] = unnamed
        assert (events[Door.OPENED].name, events[Door.CLOSED].name) == ("door_opened", "door_closed")
        assert events.find("door_closed") is events[Door.CLOSED]
        assert [entry[1].name for entry in events.registrations[-2:]] == ["door_opened", "door_closed"]
        assert events[Door.OPENED] == event(channels=("SMS", "email"), transforms={"SMS": dict})
    assert unnamed.name == ""


def test_a_given_name_is_kept_for_the_check_to_compare():
    with temporary_events() as events:
        events[Door.OPENED] = wrong = event("door_opend")
        assert events[Door.OPENED] is wrong
        faults = [(message.id, message.msg) for message in check_enums_and_registry()]
        assert ("klaxon.E004", "Door.OPENED is registered with an event named 'door_opend'.") in faults


@pytest.mark.parametrize("value", [1, None, "", ("door", "opened")])
def test_an_event_without_a_name_needs_a_member_whose_value_is_a_text(value):
    with pytest.raises(TypeError, match=r"The value of Other\.MEMBER is the name of its event"):
        EventRegistry()[Enum("Other", {"MEMBER": value}).MEMBER] = event("")


def test_every_registration_is_kept_for_the_checks():
    registry = EventRegistry()
    registry[Door.OPENED] = event()
    registry[Door.OPENED] = event()
    assert len(registry) == 1
    assert len(registry.registrations) == 2


def test_a_removed_event_is_gone_by_member_name_and_registration():
    registry = EventRegistry()
    registry[Door.OPENED] = event()
    del registry[Door.OPENED]
    assert (list(registry), registry.named("door_opened"), registry.registrations) == ([], None, [])


def test_an_event_that_was_replaced_is_no_longer_found_by_its_old_name():
    registry = EventRegistry()
    registry[Door.OPENED] = event("door_opend")
    registry[Door.OPENED] = event("door_opened")
    assert registry.named("door_opend") is None


@pytest.mark.parametrize(("member", "value"), [("door_opened", event()), (Door.OPENED, "door_opened")])
def test_only_enum_members_are_registered_with_events(member, value):
    with pytest.raises(TypeError, match="member of an Enum"):
        EventRegistry()[member] = value


@pytest.mark.parametrize("unknown", [Door.OPENED, "door_opened", ""])
def test_an_unknown_event_is_an_error_that_names_the_known_ones(unknown):
    with pytest.raises(UnknownEvent, match=r"Known events: \w+, .*, \w+ and \d+ more\.$"):
        NOTIFICATION_EVENTS.find(unknown)


def test_a_member_of_another_enum_with_the_same_value_is_unknown():
    class Other(Enum):
        ORDER_SHIPPED = "order_shipped"

    with pytest.raises(UnknownEvent):
        NOTIFICATION_EVENTS.find(Other.ORDER_SHIPPED)


def test_an_event_may_limit_how_often_a_user_gets_it():
    assert (event().limit, event().over_limit) == (None, "wait")
    limited = event(limit="10/h burst 2", over_limit="drop")
    assert (limited.limit, limited.over_limit) == ("10/h burst 2", "drop")


@pytest.mark.parametrize("wrong", [{"limit": "often"}, {"limit": ""}, {"limit": 10}, {"over_limit": "forget"}])
def test_an_invalid_limit_is_an_error_that_names_the_event(wrong):
    [key] = wrong
    with pytest.raises(ValueError, match=f"{key} of event 'door_opened'"):
        event(**wrong)


@pytest.mark.parametrize("priority", [1, NotificationPriority.CRITICAL])
def test_a_limit_cannot_drop_critical_events(priority):
    with pytest.raises(ValueError, match="a limit cannot drop it"):
        event(priority=priority, limit="10/h", over_limit="drop")
    assert event(priority=priority, limit="10/h").limit == "10/h"


def test_a_mandatory_event_reaches_everybody_and_waits_for_no_digest():
    assert event(mandatory=True).bypasses_preferences
    assert not event(mandatory=True).may_wait_for_digest(NotificationPriority.LOW)
    assert not event().bypasses_preferences


def test_a_mandatory_event_cannot_ask_for_a_digest():
    with pytest.raises(ValueError, match="'door_opened' is mandatory, so it cannot wait for a digest"):
        event(mandatory=True, digest=True)


def test_mandatory_is_a_boolean():
    with pytest.raises(TypeError, match="mandatory of event 'door_opened' must be True or False"):
        event(mandatory="yes")


@pytest.mark.parametrize("name", ["track_opens", "track_clicks"])
def test_tracking_is_a_boolean(name):
    with pytest.raises(TypeError, match=f"{name} of event 'door_opened' must be True or False, not 'no'"):
        event(**{name: "no"})


@pytest.mark.parametrize(
    "variants", [["a", "b"], {"a": 0, "b": 1}, {"": 1, "b": 1}, {"a" * 51: 1, "b": 1}, {1: 1, "b": 1}]
)
def test_variants_are_names_with_weights(variants):
    with pytest.raises(TypeError, match="variants of event 'door_opened' must be a dict of names and weights above 0"):
        event(variants=variants)


def test_a_single_variant_is_no_test():
    with pytest.raises(ValueError, match="variants of event 'door_opened' has only one name"):
        event(variants={"a": 1})
