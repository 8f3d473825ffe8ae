"""The context: its declaration, its stored form and its decoded values."""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test import override_settings
from django.utils import timezone as django_timezone
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from notifications import context as contexts
from notifications.context import Fields, decoded, encoded, make_comparable
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import InvalidContext
from notifications.models import Notification

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TAGS = ["$date", "$datetime", "$decimal", "$uuid", "$time", "$seconds", "$dict", "$", "$$dict"]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.dates()
    | st.times()
    # Not in a named zone: in a repeated hour, Python considers no time equal to the same instant in another zone (PEP
    # 495).
    | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]))
    | st.timedeltas(timedelta(days=-36500), timedelta(days=36500))
    | st.decimals(allow_nan=False)
    | st.uuids()
)
KEYS = TEXT | st.sampled_from(TAGS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


Metres = NewType("Metres", int)


class Colour(Enum):
    RED = "red"


class Shape(TypedDict):
    corners: int


class Thing:
    pass


def event(context: Any = None, priority: NotificationPriority = NotificationPriority.MEDIUM) -> NotificationEvent:
    return NotificationEvent("door_opened", priority, ["email"], context=context)


def validated(event, context):
    return contexts.validated(event, context).stored


def encode_and_decode(value):
    return decoded(json.loads(json.dumps(encoded(value))))


@hypothesis_settings(deadline=None)
@given(VALUES)
def test_an_encoded_value_is_decoded_to_an_equal_one(value):
    back = encode_and_decode(value)
    assert back == value
    assert type(back) is type(value)


@hypothesis_settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_an_encoded_context_is_decoded_to_an_equal_one(context):
    stored = json.loads(json.dumps(validated(event(), context)))
    assert Notification(context=stored).values == context


@hypothesis_settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), timezones=st.sampled_from(["Europe/Berlin", "Asia/Kathmandu"]).map(ZoneInfo)))
def test_a_time_in_a_repeated_or_skipped_hour_keeps_its_instant(value):
    assert encode_and_decode(value).astimezone(UTC) == value.astimezone(UTC)


@given(st.dictionaries(st.sampled_from(TAGS), TEXT | st.integers(), min_size=1, max_size=2))
def test_no_value_of_a_host_is_mistaken_for_a_tag(value):
    assert encode_and_decode(value) == value
    assert encode_and_decode([{"x": value}]) == [{"x": value}]


@pytest.mark.parametrize(
    "value",
    [
        Decimal("10.50"),
        date(2026, 11, 20),
        datetime(2026, 11, 20, 8, 30, tzinfo=UTC),
        time(8, 30),
        timedelta(minutes=90),
        UUID("12345678-1234-5678-1234-567812345678"),
    ],
)
def test_each_kind_keeps_its_type_inside_lists_and_dicts(value):
    back = encode_and_decode({"list": [value], "dict": {"key": value}})
    assert back == {"list": [value], "dict": {"key": value}}
    assert type(back["list"][0]) is type(value)


def test_the_exponent_of_a_decimal_is_kept():
    assert str(encode_and_decode(Decimal("10.50"))) == "10.50"


def test_a_naive_datetime_takes_the_current_time_zone():
    with django_timezone.override("Europe/Berlin"):
        stored = encoded(datetime(2026, 7, 1, 12))
    assert decoded(stored) == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert django_timezone.is_aware(decoded(stored))


def test_enum_members_and_other_mappings_are_stored_as_plain_values():
    class Colour(Enum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 2

    class Size(models.TextChoices):
        SMALL = "small", "Small"

    given = {
        "enum": Colour.RED,
        "number": Level.HIGH,
        "choice": Size.SMALL,
        "tuple": (1, 2),
    }
    assert encoded(OrderedDict(given)) == {
        "enum": "red",
        "number": 2,
        "choice": "small",
        "tuple": [1, 2],
    }
    assert json.dumps(encoded(Level.HIGH)) == "2"


def test_a_set_is_stored_in_sorted_order():
    # Otherwise, the same content has another hash in the next process, and an idempotency key conflicts with itself.
    assert encoded({0, 8}) == encoded({8, 0})
    assert encoded(frozenset({"b", "a"})) == ["a", "b"]


def test_equal_instants_with_different_offsets_compare_equal():
    def at_offset(hours):
        zone = timezone(timedelta(hours=hours))
        noon, first = (moment.astimezone(zone) for moment in (NOON, NOON - timedelta(hours=9)))
        return encoded({"at": [noon, {"$datetime": "today", "$x": noon}], "set": {noon, first}})

    assert at_offset(1) != at_offset(-11)
    assert make_comparable(at_offset(1)) == make_comparable(at_offset(-11))
    assert make_comparable(encoded({"$datetime": "today"})) == encoded({"$datetime": "today"})
    # The first and last times of the calendar do not exist in every zone.
    ends = [datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), datetime.max.replace(tzinfo=UTC)]
    assert len({json.dumps(make_comparable(encoded(end))) for end in (*ends, NOON)}) == 3


@given(VALUES, VALUES)
def test_only_the_offsets_of_instants_are_ignored_in_comparisons(one, other):
    one, other = encoded(one), encoded(other)
    same = make_comparable(one) == make_comparable(other)
    assert same if one == other else not same or "$datetime" in json.dumps(one)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "context"),
        ({"a": [1, {"b": b"bytes"}]}, r"context\.a\[1\]\.b"),
        ([float("nan")], r"context\[0\]"),
        (float("inf"), "context"),
        ({"deep": {5: "key"}}, r"context\.deep has the key 5"),
        ((item for item in "ab"), "context"),
    ],
)
def test_a_value_that_cannot_be_stored_is_an_error_with_its_path(value, path):
    with pytest.raises(InvalidContext, match=path):
        encoded(value)


@pytest.mark.parametrize("text", ["nul \0 byte", "lone \ud800 surrogate"], ids=["nul", "surrogate"])
def test_a_text_that_postgresql_cannot_store_is_an_error_for_the_caller(text):
    with pytest.raises(InvalidContext, match="note"):
        validated(event({"note": str}), {"note": text})
    with pytest.raises(InvalidContext):
        validated(event(), {"note": {text: 1}})


def test_a_model_instance_is_refused_unless_its_fields_are_declared():
    with pytest.raises(InvalidContext, match="Fields"):
        validated(event(), {"user": User(username="ann")})


def test_only_the_declared_fields_of_a_model_instance_are_stored():
    user = User(username="ann", email="ann@example.com", password="secret")
    stored = validated(event({"user": Fields("username", "email")}), {"user": user})
    assert stored == {"user": {"username": "ann", "email": "ann@example.com"}}


SECRETIVE = {"username": "ann", "password": "secret"}


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (Fields("username"), SECRETIVE, {"username": "ann"}),
        (Fields("username") | None, SECRETIVE, {"username": "ann"}),
        (None | Fields("username"), User(username="ann", password="secret"), {"username": "ann"}),
        (Fields("username") | None, None, None),
        (Fields("username") | str, "ann", "ann"),
        (list[Fields("username")], [SECRETIVE, User(username="bob")], [{"username": "ann"}, {"username": "bob"}]),
        (tuple[str, Fields("username")], ("by", SECRETIVE), ["by", {"username": "ann"}]),
        (dict[str, Fields("username")], {"by": SECRETIVE}, {"by": {"username": "ann"}}),
        (Annotated[Fields("username"), "author"], SECRETIVE, {"username": "ann"}),
    ],
    ids=str,
)
def test_only_the_declared_fields_of_a_mapping_are_stored(kind, value, kept):
    assert validated(event({"user": kind}), {"user": value}) == {"user": kept}


@pytest.mark.parametrize("value", [User(username="ann"), {"username": "ann"}], ids=["instance", "mapping"])
def test_a_missing_field_is_named(value):
    with pytest.raises(InvalidContext, match="'user' has no field 'nickname'"):
        validated(event({"user": Fields("username", "nickname")}), {"user": value})


def test_an_error_names_only_the_type_of_a_value_that_may_be_secret():
    with pytest.raises(InvalidContext) as raised:
        validated(event({"users": list[Fields("username")]}), {"users": (SECRETIVE,)})
    assert "'users' is a tuple, not list[Fields('username')]" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Thing, "Thing cannot be stored"),
        (bytes, "bytes cannot be stored"),
        (Shape, "Shape cannot be stored"),
        (User, r'User is a model. Name the fields to store: Fields\("…"\)'),
        ("str", "'str' is a text. Write the type itself"),
        (5, "5 is not a supported type"),
        (TypeVar("T"), "not a supported type"),
        (Callable[[], str], "not supported"),
        (type[int], "not supported"),
        (Iterable[str], "not supported"),
        (list[Thing], "Thing cannot be stored"),
        (dict[str, list[Thing]], "Thing cannot be stored"),
        (dict[int, str], "Keys must be str"),
        (str | Thing, "Thing cannot be stored"),
        (Optional[Thing], "Thing cannot be stored"),  # noqa: UP045
        (Literal[b"x"], "cannot be stored"),
        (NewType("Wrapped", Thing), "Thing cannot be stored"),
    ],
    ids=str,
)
def test_an_unsupported_type_is_an_error_when_the_event_is_declared(kind, message):
    with pytest.raises(TypeError, match=f"context of event 'door_opened' declares 'it' .*{message}"):
        event({"it": kind})


@pytest.mark.parametrize("declared", [str, ["number"], "number", {1: str}], ids=str)
def test_a_declaration_that_is_not_a_mapping_of_names_is_an_error(declared):
    with pytest.raises(TypeError, match="names with types"):
        event(declared)


@pytest.mark.parametrize("names", [(), ("",), (5,)])
def test_fields_need_names(names):
    with pytest.raises(TypeError, match="takes the names of fields"):
        Fields(*names)


def test_undeclared_missing_and_mistyped_keys_are_in_one_error():
    declared = {"number": str, "eta": date | None, "total": Decimal}
    with pytest.raises(InvalidContext) as raised:
        validated(event(declared), {"number": 5, "colour": "red"})
    message = str(raised.value)
    assert "'colour' is not declared" in message
    assert "'total' is missing" in message
    assert "'number' is 5, not str" in message
    assert "eta" not in message.replace("declared: eta, number, total", "")


def test_an_event_with_an_empty_declaration_refuses_all_values():
    assert validated(event({}), None) == {}
    with pytest.raises(InvalidContext, match="declared: none"):
        validated(event({}), {"number": "5"})


def test_an_event_without_a_declaration_accepts_any_mapping_that_can_be_stored():
    assert validated(event(None), {"any": [1, None]}) == {"any": [1, None]}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (str, ["", "x", gettext_lazy("Yes")], [1, None, b"x"]),
        (int, [0, 5], [True, 1.5, "5"]),
        (bool, [True, False], [0, 1, "yes"]),
        (float, [1.5, 2], ["1.5", True]),
        (Decimal, [Decimal("1.5"), 2], [1.5, "1.5", True]),
        (str | None, ["x", None], [1]),
        (int | str, [1, "x"], [None, 1.5]),
        (date, [date(2026, 1, 1)], ["2026-01-01", datetime(2026, 1, 1)]),
        (datetime, [datetime(2026, 1, 1)], [date(2026, 1, 1)]),
        (list, [[1, "a"]], ["a", ("a",)]),
        (list[str], [["a"], [gettext_lazy("Yes")], []], ["a", ("a",), ["a", 1], [None]]),
        (list[int], [[1]], [[True], [1.5]]),
        (list[date], [[date(2026, 1, 1)]], [[datetime(2026, 1, 1)]]),
        (list[list[str]], [[["a"]]], [["a"], [[1]]]),
        (tuple[str, int], [("a", 1)], [("a",), ("a", 1, 2), (1, "a"), ["a", 1]]),
        (tuple[int, ...], [(), (1, 2)], [("a",), (1, True)]),
        (set[int], [{1}], [{"a"}, [1]]),
        (Sequence[str], [["a"], ("a",)], ["a", [1]]),
        (dict, [{}], [[]]),
        (dict[str, int], [{"a": 1}], [{"a": True}, {"a": "1"}, []]),
        (Mapping[str, list[int]], [{"a": [1]}], [{"a": ["1"]}]),
        (dict[Literal["a", "b"], Any], [{"a": 1}], [{"c": 1}]),
        (Optional[int], [1, None], [True, "1"]),  # noqa: UP045 - hosts write it both ways
        (Literal["low", "high"], ["low"], ["middle", None]),
        (Literal[1, None], [1, None], [True, 1.0]),
        (Annotated[int, "metres"], [1], [True, "1"]),
        (Metres, [1], [True, "1"]),
        (Colour, [Colour.RED], ["red", "blue"]),
        (time, [time(8)], [datetime(2026, 1, 1), "08:00"]),
        (timedelta, [timedelta(1)], [60]),
        (UUID, [UUID(int=1)], [str(UUID(int=1))]),
        (object, [None, 1, True], []),
        (Any, [None, 1, "x", []], []),
        (None, [None], [0, ""]),
    ],
)
def test_values_are_checked_against_their_declared_types(kind, good, bad):
    for value in good:
        validated(event({"it": kind}), {"it": value})
    for value in bad:
        with pytest.raises(InvalidContext, match="'it'"):
            validated(event({"it": kind}), {"it": value})


def test_optional_keys_may_be_left_out():
    assert validated(event({"note": str | None}), {}) == {}


@pytest.mark.parametrize("context", ["text", 5, ["a"]])
def test_a_context_that_is_not_a_mapping_is_refused(context):
    with pytest.raises(InvalidContext):
        validated(event(None), context)


def test_the_keys_of_the_context_must_be_strings():
    with pytest.raises(InvalidContext, match="5"):
        validated(event(None), {5: "x"})


def test_the_context_of_the_caller_is_not_changed():
    context = {"when": datetime(2026, 1, 1), "items": [Decimal("1")]}
    before = {"when": context["when"], "items": list(context["items"])}
    validated(event(), context)
    assert context == before


@pytest.fixture
def broken_property(monkeypatch):
    def balance(self):
        raise ZeroDivisionError("no account yet")

    monkeypatch.setattr(User, "balance", property(balance), raising=False)


class TestCriticalEvents:
    def validate(self, declared, given, priority=NotificationPriority.CRITICAL, **options):
        critical = NotificationEvent("fire", priority, ["email"], context=declared, **options)
        return contexts.validated(critical, given)

    def test_usable_values_are_sent_and_problems_are_reported(self):
        result = self.validate({"place": str, "floor": int}, {"floor": "ground", "colour": "red"})
        assert result.stored == {"floor": "ground"}
        assert result.problems == (
            "'colour' is not declared (declared: floor, place).",
            "'place' is missing.",
            "'floor' is the text 'ground', not int.",
        )

    def test_a_context_that_is_not_a_mapping_does_not_prevent_sending(self):
        result = self.validate({"place": str}, "hall")
        assert result.stored == {}
        assert "It must be a mapping, not hall." in result.problems

    def test_the_existing_fields_of_a_model_instance_are_sent(self, broken_property):
        user = User(username="ann")
        result = self.validate({"by": Fields("username", "nickname", "balance")}, {"by": user})
        assert result.stored == {"by": {"username": "ann"}}
        assert [problem.split(" (")[0] for problem in result.problems] == [
            "'by' has no field 'nickname'",
            "'by' has no field 'balance'",
        ]

    def test_an_error_of_a_property_is_raised_unless_the_event_is_critical(self, broken_property):
        with pytest.raises(ZeroDivisionError):
            self.validate({"by": Fields("balance")}, {"by": User()}, NotificationPriority.HIGH)

    def test_undeclared_values_are_not_stored_despite_other_problems(self):
        result = self.validate({"users": list[Fields("username")]}, {"users": (SECRETIVE,)})
        assert result.stored == {}
        assert result.problems == ("'users' is a tuple, not list[Fields('username')].",)

    def test_a_value_that_cannot_be_stored_is_replaced_by_its_text(self):
        result = self.validate(None, {"place": User(username="hall"), "sizes": [1, object, {"b": b"x"}]})
        assert result.stored == {"place": "hall", "sizes": [1, "<class 'object'>", {"b": "b'x'"}]}
        assert len(result.problems) == 3

    def test_a_value_that_is_nested_too_deeply_is_replaced_by_a_text(self):
        deep: list[Any] = []
        for _ in range(5000):
            deep = [deep]
        result = self.validate(None, {"deep": deep, "place": "hall"})
        # Only Python before 3.12 raises an error for str() of it.
        assert result.stored["deep"] in ("<list>", "[" * 1000)
        assert result.stored["place"] == "hall"
        assert "nested too deeply" in result.problems[0]

    def test_characters_that_cannot_be_stored_are_replaced(self):
        stored = self.validate({"place": str}, {"place": "ha\0ll\ud800"}).stored["place"]
        # The assertion compares numbers, because pytest could not report the text itself.
        hindering = sum(character == "\0" or "\ud800" <= character <= "\udfff" for character in stored)
        assert hindering == 0

    def test_the_largest_values_of_a_context_that_is_too_large_are_cut_or_left_out(self, settings):
        settings.NOTIFICATIONS = {"CONTEXT_BYTES": 1000}
        result = self.validate(None, {"place": "hall", "words": "ü" * 5000, "numbers": list(range(9000))})
        assert len(json.dumps(result.stored)) <= 1000
        assert result.stored["place"] == "hall"
        assert result.stored["words"].rstrip("…") == "ü" * (len(result.stored["words"]) - 1)
        assert len(result.stored["words"]) > 100
        message = " ".join(result.problems)
        assert "NOTIFICATIONS['CONTEXT_BYTES'] allows 1000" in message
        assert "Left out: 'numbers'." in message
        assert "'words' was cut after" in message

    @hypothesis_settings(deadline=None)
    @given(st.dictionaries(KEYS, VALUES, max_size=4), st.integers(50, 400))
    def test_any_context_that_is_too_large_is_sent_within_the_limit(self, context, limit):
        with override_settings(NOTIFICATIONS={"CONTEXT_BYTES": limit}):
            result = self.validate(None, context)
        assert len(json.dumps(result.stored)) <= limit
        assert bool(result.problems) == (len(json.dumps(self.validate(None, context).stored)) > limit)

    @pytest.mark.parametrize("place", [None, "x" * 2000], ids=["missing", "cut"])
    def test_a_context_without_a_value_of_the_deduplication_key_is_not_a_duplicate(self, settings, place):
        settings.NOTIFICATIONS = {"CONTEXT_BYTES": 1000}
        options = {"dedup_window": 60, "dedup_keys": ["place"]}
        assert not self.validate({"place": str}, {"place": place}, **options).has_dedup_keys
        assert self.validate({"place": str}, {"place": "hall", "colour": 1}, **options).has_dedup_keys

    def test_a_valid_context_has_no_problems(self):
        assert self.validate({"place": str}, {"place": "hall"}) == contexts.ValidatedContext({"place": "hall"})


@pytest.mark.parametrize("tag", ["$datetime", "$date", "$time", "$seconds", "$decimal", "$uuid", "$dict"])
@pytest.mark.parametrize("value", [None, [], "x"])
def test_an_error_names_a_tag_and_its_wrong_value(tag, value):
    with pytest.raises(InvalidContext, match=rf"\{tag} (cannot|must) be "):
        decoded({"deep": [{tag: value}]})
