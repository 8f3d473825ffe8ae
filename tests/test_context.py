"""The context: what is declared, what is stored, what comes back."""

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
    # Not in a named zone: Python calls no time in the hour that a zone repeats equal to itself elsewhere (PEP 495).
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


def there_and_back(value):
    return decoded(json.loads(json.dumps(encoded(value))))


@hypothesis_settings(deadline=None)
@given(VALUES)
def test_what_is_stored_comes_back_as_itself(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


@hypothesis_settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_whole_context_comes_back_as_itself(context):
    stored = json.loads(json.dumps(validated(event(), context)))
    assert Notification(context=stored).values == context


@hypothesis_settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), timezones=st.sampled_from(["Europe/Berlin", "Asia/Kathmandu"]).map(ZoneInfo)))
def test_a_time_stays_the_same_instant_in_every_hour_that_a_zone_repeats_or_leaves_out(value):
    assert there_and_back(value).astimezone(UTC) == value.astimezone(UTC)


@given(st.dictionaries(st.sampled_from(TAGS), TEXT | st.integers(), min_size=1, max_size=2))
def test_nothing_that_a_host_stores_is_mistaken_for_a_tag(value):
    assert there_and_back(value) == value
    assert there_and_back([{"x": value}]) == [{"x": value}]


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
    back = there_and_back({"list": [value], "dict": {"key": value}})
    assert back == {"list": [value], "dict": {"key": value}}
    assert type(back["list"][0]) is type(value)


def test_the_exponent_of_a_decimal_is_kept():
    assert str(there_and_back(Decimal("10.50"))) == "10.50"


def test_a_naive_datetime_takes_the_current_time_zone():
    with django_timezone.override("Europe/Berlin"):
        stored = encoded(datetime(2026, 7, 1, 12))
    assert decoded(stored) == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert django_timezone.is_aware(decoded(stored))


def test_enum_members_and_other_mappings_are_stored_plainly():
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


def test_a_set_is_stored_in_one_order_however_it_was_built():
    # Else the same content has another hash in the next process, and an idempotency key conflicts with itself.
    assert encoded({0, 8}) == encoded({8, 0})
    assert encoded(frozenset({"b", "a"})) == ["a", "b"]


def test_instants_are_compared_and_not_their_spelling():
    def spelt(hours):
        zone = timezone(timedelta(hours=hours))
        noon, first = (moment.astimezone(zone) for moment in (NOON, NOON - timedelta(hours=9)))
        return encoded({"at": [noon, {"$datetime": "today", "$x": noon}], "set": {noon, first}})

    assert spelt(1) != spelt(-11)
    assert make_comparable(spelt(1)) == make_comparable(spelt(-11))
    assert make_comparable(encoded({"$datetime": "today"})) == encoded({"$datetime": "today"})
    # Neither end of the calendar can be written in every zone.
    ends = [datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), datetime.max.replace(tzinfo=UTC)]
    assert len({json.dumps(make_comparable(encoded(end))) for end in (*ends, NOON)}) == 3


@given(VALUES, VALUES)
def test_what_is_compared_differs_only_in_the_spelling_of_instants(one, other):
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
def test_what_cannot_be_stored_is_an_error_that_names_its_place(value, path):
    with pytest.raises(InvalidContext, match=path):
        encoded(value)


@pytest.mark.parametrize("text", ["nul \0 byte", "lone \ud800 surrogate"], ids=["nul", "surrogate"])
def test_text_that_postgresql_cannot_store_is_refused_in_the_callers_face(text):
    with pytest.raises(InvalidContext, match="note"):
        validated(event({"note": str}), {"note": text})
    with pytest.raises(InvalidContext):
        validated(event(), {"note": {text: 1}})


def test_a_model_instance_is_refused_unless_its_fields_are_declared():
    with pytest.raises(InvalidContext, match="Fields"):
        validated(event(), {"user": User(username="ann")})


def test_of_a_model_instance_only_the_declared_fields_are_taken():
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
def test_of_a_mapping_too_only_the_declared_fields_are_taken(kind, value, kept):
    assert validated(event({"user": kind}), {"user": value}) == {"user": kept}


@pytest.mark.parametrize("value", [User(username="ann"), {"username": "ann"}], ids=["instance", "mapping"])
def test_a_field_that_is_not_there_is_named(value):
    with pytest.raises(InvalidContext, match="'user' has no field 'nickname'"):
        validated(event({"user": Fields("username", "nickname")}), {"user": value})


def test_of_a_value_that_may_be_secret_an_error_names_the_type_alone():
    with pytest.raises(InvalidContext) as raised:
        validated(event({"users": list[Fields("username")]}), {"users": (SECRETIVE,)})
    assert "'users' is a tuple, not list[Fields('username')]" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "told"),
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
def test_a_type_that_cannot_be_checked_or_stored_is_an_error_where_the_event_is_declared(kind, told):
    with pytest.raises(TypeError, match=f"context of event 'door_opened' declares 'it' .*{told}"):
        event({"it": kind})


@pytest.mark.parametrize("declared", [str, ["number"], "number", {1: str}], ids=str)
def test_a_declaration_that_is_no_mapping_of_names_is_an_error_too(declared):
    with pytest.raises(TypeError, match="names with types"):
        event(declared)


@pytest.mark.parametrize("names", [(), ("",), (5,)])
def test_fields_need_names(names):
    with pytest.raises(TypeError, match="takes the names of fields"):
        Fields(*names)


def test_undeclared_missing_and_mistyped_keys_are_all_named_at_once():
    declared = {"number": str, "eta": date | None, "total": Decimal}
    with pytest.raises(InvalidContext) as raised:
        validated(event(declared), {"number": 5, "colour": "red"})
    told = str(raised.value)
    assert "'colour' is not declared" in told
    assert "'total' is missing" in told
    assert "'number' is 5, not str" in told
    assert "eta" not in told.replace("declared: eta, number, total", "")


def test_an_event_that_takes_nothing_refuses_anything():
    assert validated(event({}), None) == {}
    with pytest.raises(InvalidContext, match="declared: none"):
        validated(event({}), {"number": "5"})


def test_an_event_that_declares_nothing_takes_any_serialisable_mapping():
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
def test_a_context_that_is_no_mapping_is_refused(context):
    with pytest.raises(InvalidContext):
        validated(event(None), context)


def test_keys_must_be_strings_at_the_top_too():
    with pytest.raises(InvalidContext, match="5"):
        validated(event(None), {5: "x"})


def test_the_callers_own_context_is_left_as_it_is():
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
    def sent(self, declared, given, priority=NotificationPriority.CRITICAL, **options):
        critical = NotificationEvent("fire", priority, ["email"], context=declared, **options)
        return contexts.validated(critical, given)

    def test_what_exists_is_sent_and_the_rest_is_told(self):
        sent = self.sent({"place": str, "floor": int}, {"floor": "ground", "colour": "red"})
        assert sent.stored == {"floor": "ground"}
        assert sent.problems == (
            "'colour' is not declared (declared: floor, place).",
            "'place' is missing.",
            "'floor' is the text 'ground', not int.",
        )

    def test_a_context_that_is_no_mapping_does_not_stop_it(self):
        sent = self.sent({"place": str}, "hall")
        assert sent.stored == {}
        assert "It must be a mapping, not hall." in sent.problems

    def test_of_a_model_instance_the_fields_are_sent_that_it_has(self, broken_property):
        user = User(username="ann")
        sent = self.sent({"by": Fields("username", "nickname", "balance")}, {"by": user})
        assert sent.stored == {"by": {"username": "ann"}}
        assert [problem.split(" (")[0] for problem in sent.problems] == [
            "'by' has no field 'nickname'",
            "'by' has no field 'balance'",
        ]

    def test_an_error_of_a_property_is_the_hosts_own_unless_the_event_is_critical(self, broken_property):
        with pytest.raises(ZeroDivisionError):
            self.sent({"by": Fields("balance")}, {"by": User()}, NotificationPriority.HIGH)

    def test_what_was_not_declared_is_not_stored_however_wrong_the_rest_is(self):
        sent = self.sent({"users": list[Fields("username")]}, {"users": (SECRETIVE,)})
        assert sent.stored == {}
        assert sent.problems == ("'users' is a tuple, not list[Fields('username')].",)

    def test_what_cannot_be_stored_is_stored_as_its_text(self):
        sent = self.sent(None, {"place": User(username="hall"), "sizes": [1, object, {"b": b"x"}]})
        assert sent.stored == {"place": "hall", "sizes": [1, "<class 'object'>", {"b": "b'x'"}]}
        assert len(sent.problems) == 3

    def test_what_is_nested_too_deeply_is_stored_as_some_text(self):
        deep: list[Any] = []
        for _ in range(5000):
            deep = [deep]
        sent = self.sent(None, {"deep": deep, "place": "hall"})
        # As text it is nested too deeply for Python before 3.12 only.
        assert sent.stored["deep"] in ("<list>", "[" * 1000)
        assert sent.stored["place"] == "hall"
        assert "nested too deeply" in sent.problems[0]

    def test_text_that_cannot_be_stored_is_stored_without_what_hinders(self):
        stored = self.sent({"place": str}, {"place": "ha\0ll\ud800"}).stored["place"]
        # Asserted as a number: the text itself could not even be reported.
        hindering = sum(character == "\0" or "\ud800" <= character <= "\udfff" for character in stored)
        assert hindering == 0

    def test_of_what_is_too_large_the_largest_is_cut_or_left_out(self, settings):
        settings.NOTIFICATIONS = {"CONTEXT_BYTES": 1000}
        sent = self.sent(None, {"place": "hall", "words": "ü" * 5000, "numbers": list(range(9000))})
        assert len(json.dumps(sent.stored)) <= 1000
        assert sent.stored["place"] == "hall"
        assert sent.stored["words"].rstrip("…") == "ü" * (len(sent.stored["words"]) - 1)
        assert len(sent.stored["words"]) > 100
        told = " ".join(sent.problems)
        assert "NOTIFICATIONS['CONTEXT_BYTES'] allows 1000" in told
        assert "Left out: 'numbers'." in told
        assert "'words' was cut after" in told

    @hypothesis_settings(deadline=None)
    @given(st.dictionaries(KEYS, VALUES, max_size=4), st.integers(50, 400))
    def test_whatever_is_too_large_is_sent_within_the_limit(self, context, limit):
        with override_settings(NOTIFICATIONS={"CONTEXT_BYTES": limit}):
            sent = self.sent(None, context)
        assert len(json.dumps(sent.stored)) <= limit
        assert bool(sent.problems) == (len(json.dumps(self.sent(None, context).stored)) > limit)

    @pytest.mark.parametrize("place", [None, "x" * 2000], ids=["missing", "cut"])
    def test_what_lacks_a_value_that_tells_it_apart_is_no_repeat(self, settings, place):
        settings.NOTIFICATIONS = {"CONTEXT_BYTES": 1000}
        options = {"dedup_window": 60, "dedup_keys": ["place"]}
        assert not self.sent({"place": str}, {"place": place}, **options).has_dedup_keys
        assert self.sent({"place": str}, {"place": "hall", "colour": 1}, **options).has_dedup_keys

    def test_a_right_context_has_no_problems(self):
        assert self.sent({"place": str}, {"place": "hall"}) == contexts.ValidatedContext({"place": "hall"})


@pytest.mark.parametrize("tag", ["$datetime", "$date", "$time", "$seconds", "$decimal", "$uuid", "$dict"])
@pytest.mark.parametrize("value", [None, [], "x"])
def test_a_tag_with_a_value_that_was_never_stored_names_both(tag, value):
    with pytest.raises(InvalidContext, match=rf"\{tag} (cannot|must) be "):
        decoded({"deep": [{tag: value}]})
