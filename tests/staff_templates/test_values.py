"""Variables become JSON, with the texts in the recipient's language and time zone."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum

import pytest
from django.contrib.auth.models import User
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from notifications.models import Cluster
from notifications.staff_templates.cage.child_values import build_values
from notifications.staff_templates.values import build_plain_variables

GERMAN = ("de", "Europe/Vienna")


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


def rebuild(locale=GERMAN, **variables):
    """Return variables as the child gets them."""
    return build_values(*json.loads(json.dumps(build_plain_variables(variables, locale))))


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (date(2026, 12, 15), {"text": "15. Dezember 2026", "short": "15.12.2026"}),
        (time(17, 5), {"text": "17:05"}),
        (Decimal("1234.50"), {"text": "1234,50"}),
        (1.5, {"text": "1,5"}),
    ],
)
def test_dates_times_and_numbers_keep_their_values_and_have_texts(value, texts):
    built = rebuild(value=value)["value"]
    assert built == value
    assert str(built) == texts["text"]
    assert {name: getattr(built, name) for name in texts} == texts


def test_a_datetime_is_in_the_time_zone_of_the_recipient():
    built = rebuild(at=datetime(2026, 12, 15, 23, 30, tzinfo=UTC))["at"]
    assert built == datetime(2026, 12, 15, 23, 30, tzinfo=UTC)
    assert (built.day_text, built.clock) == ("16. Dezember 2026", "00:30")


def test_other_values_are_plain():
    values = rebuild(
        color=Color.RED,
        size=Size.BIG,
        span=timedelta(hours=2),
        lazy=gettext_lazy("Monday"),
        safe=mark_safe("<b>"),
        tags={"b", "a"},
        nested={"when": [date(2026, 1, 2), {"then": date(2026, 1, 3)}]},
    )
    assert (values["color"], values["size"], values["span"]) == ("red", 3, timedelta(hours=2))
    assert (values["lazy"], values["tags"]) == ("Montag", ["a", "b"])
    assert values["safe"].__html__() == "<b>"
    assert str(values["nested"]["when"][0]) == "2. Januar 2026"
    assert values["nested"]["when"][1]["then"].day == 3


def test_an_object_of_the_site_is_only_a_text():
    class Account:
        secret = "only-for-tests"

        def __str__(self):
            return "Account 7"

    assert rebuild(account=Account())["account"] == "Account 7"


def test_the_recipient_has_few_fields():
    user = User(username="ann", first_name="Ann", last_name="Example", email="ann@example.com", password="x")
    values = rebuild(recipient=user, cluster=Cluster(pk=7, name="Shop"))
    assert values["recipient"] == {
        "username": "ann",
        "first_name": "Ann",
        "last_name": "Example",
        "email": "ann@example.com",
        "full_name": "Ann Example",
    }
    assert str(values["recipient"]) == "ann"
    assert (values["cluster"], str(values["cluster"])) == ({"id": "7", "name": "Shop"}, "Shop")
    assert rebuild(recipient=None, cluster=None) == {"recipient": None, "cluster": None}


def test_a_value_that_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested more than 20 times"):
        rebuild(loop=loop)
