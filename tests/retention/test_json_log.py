"""The JSON formatter: one line, correlation ids, no addresses, no secrets."""

import json
import logging
import time

import pytest

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.monitoring.logging import JSONFormatter
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents


def write(message="", *args, **values):
    record = logging.makeLogRecord(
        {"msg": message, "args": args, "levelname": "ERROR", "name": "notifications", **values}
    )
    line = JSONFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_a_record_is_one_line_with_its_ids():
    found = write("Two\nlines", correlation_id="a1", delivery_id=7, other={"b": [1, None, True]}, created=0)
    assert found == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "ERROR",
        "logger": "notifications",
        "message": "Two\nlines",
        "correlation_id": "a1",
        "delivery_id": 7,
        "extra": {"other": {"b": [1, None, True]}},
    }


@pytest.mark.parametrize(
    "text",
    [
        "Refused: ada@example.com",
        "Refused: +491511234567",
        "password=hunter22",
        "api_key: 'hunter22'",
        "Authorization: Bearer hunter22",
        "https://ada:hunter22@example.com/x",
        "https://example.com/x?signature=hunter22&b=1",
        '{"token": "hunter22"}',
    ],
)
def test_no_address_and_no_secret_is_written(text):
    error = ValueError(text)
    found = write("%s", text, detail=[text], exc_info=(ValueError, error, None))
    line = json.dumps(found)
    for secret in ("hunter22", "ada@", "ada:", "1511234567"):
        assert secret not in line
    assert "ValueError" in found["exception"]


def test_values_with_secret_names_are_hidden():
    found = write(
        "x", request={"password": "hunter22", "headers": {"Cookie": "hunter22"}, "size": 3}, secret="hunter22"
    )
    assert found["extra"] == {"request": {"password": "***", "headers": {"Cookie": "***"}, "size": 3}, "secret": "***"}


def test_a_wrong_call_of_the_logger_loses_nothing():
    assert "and 7" not in write("%d", "seven")["message"]
    assert "seven" in write("%d", "seven")["message"]
    assert write("x", thing=object())["extra"]["thing"].startswith("<object")


@pytest.mark.django_db
def test_what_goes_wrong_with_a_delivery_names_its_ids(caplog, settings):
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
    delivery = Delivery.objects.get()
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": False}]
    Dispatcher().run_until_idle()
    lines = [json.loads(JSONFormatter().format(record)) for record in caplog.records]
    [line] = [line for line in lines if line["message"].startswith("Delivery")]
    ids = (line["delivery_id"], line["correlation_id"], line["event"], line["channel"])
    assert ids == (delivery.pk, str(delivery.notification.correlation_id), "shop_newsletter", "email")


class Wordless:
    def __str__(self):
        raise RuntimeError("It has no text.")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"value": Wordless()}, {"extra": {"value": "<Wordless without a text>"}}),
        ({"value": float("nan")}, {"extra": {"value": "nan"}}),
        ({"value": 10**5000}, {"extra": {"value": "<int without a text>"}}),
        ({"value": "\udcff"}, {"extra": {"value": "\udcff"}}),
        ({"stack_info": "Stack of ada@example.com"}, {"stack": "Stack of a***@example.com"}),
    ],
)
def test_no_value_makes_a_record_get_lost_or_unreadable(values, expected):
    def refuse(constant):
        raise ValueError(constant)

    record = logging.makeLogRecord({"msg": "x", **values})
    line = JSONFormatter().format(record).encode("utf-8")
    assert json.loads(line, parse_constant=refuse).items() >= expected.items()


@pytest.mark.parametrize(
    ("message", "args"), [("%s", (Wordless(),)), ("%(absent)s", ({"here": "ada@example.com"},)), (Wordless(), ())]
)
def test_a_wrong_call_of_the_logger_loses_no_record(message, args):
    assert "ada@" not in write(message, *args)["message"]


@pytest.mark.one_database
@pytest.mark.parametrize("part", ["a", "token", "x://", '"a', "a@[", "password ", "a@a."])
def test_a_long_text_without_spaces_takes_little_time(part):
    began = time.process_time()
    write(part * (80_000 // len(part)))
    assert time.process_time() - began < 2
