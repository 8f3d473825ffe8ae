"""Lazy translations in a context: each reader gets them in their language."""

import json
from decimal import Decimal

import pytest
from django.core import mail
from django.urls import reverse_lazy
from django.utils import translation
from django.utils.functional import lazy
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy, ngettext_lazy, npgettext_lazy, pgettext_lazy

from notifications.context import decoded, encoded, make_comparable, select_loggable, validated
from notifications.core.translations import resolve_lazy_texts
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import IdempotencyConflict, InvalidContext
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog
from notifications.sending.options import SendOptions
from notifications.sending.request import validate_request
from notifications.spool.calls import to_record
from notifications.testing import temporary_events
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

TEXTS = {
    "gettext": (gettext_lazy("Monday"), "Monday", "Montag"),
    "by keyword": (gettext_lazy(message="Monday"), "Monday", "Montag"),
    "pgettext": (pgettext_lazy("alt. month", "March"), "March", "März"),
    "one": (ngettext_lazy("%(num)d year", "%(num)d years", 1), "%(num)d year", "%(num)d Jahr"),
    "several": (ngettext_lazy("%(num)d year", "%(num)d years", 3), "%(num)d years", "%(num)d Jahre"),
    "npgettext": (npgettext_lazy("none", "car", "cars", 2), "cars", "cars"),
    "format": (format_lazy("{0}, {x:.1f}", gettext_lazy("Monday"), x=Decimal("2.25")), "Monday, 2.2", "Montag, 2.2"),
    "lazy format": (format_lazy(gettext_lazy("Yes")), "Yes", "Ja"),
}


def translate(code, value):
    with translation.override(code):
        return resolve_lazy_texts(value)


@pytest.mark.parametrize(("text", "english", "german"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("sender", ["en", "de"])
def test_a_lazy_text_is_translated_into_the_language_of_the_reader(text, english, german, sender):
    with translation.override(sender):
        stored = json.loads(json.dumps(encoded({"text": text, "nested": [{"text": text}]})))
    for code, words in (("en", english), ("de", german)):
        assert translate(code, decoded(stored)) == {"text": words, "nested": [{"text": words}]}


def test_a_decoded_text_can_be_encoded_again():
    for text, *_ in TEXTS.values():
        assert encoded(decoded(encoded(text))) == encoded(text)


REFUSED = {
    "a function of the host": (lazy(lambda: "x", str)(), "lazy value of"),
    "reverse_lazy": (reverse_lazy("admin:index"), "lazy value of reverse"),
    "capfirst": (capfirst(gettext_lazy("monday")), "lazy value of capfirst"),
    "no number": (ngettext_lazy("%d year", "%d years"), "without a number"),
    "number by name": (ngettext_lazy("%(num)d year", "%(num)d years", "num"), "without a number"),
    "an object in a format": (format_lazy("{.pk}", UserFactory.build()), "cannot be stored"),
    "a tuple in a format": (format_lazy("{}", (1, 2)), "its text changes"),
    "a format that lacks a value": (format_lazy("{}"), "out of range"),
    "no text": (gettext_lazy(b"Monday"), "other than texts"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_a_lazy_text_that_cannot_be_stored_is_refused_with_advice(text, why):
    with pytest.raises(InvalidContext, match=rf"context\.a\[0\].*{why}.*Pass str"):
        encoded({"a": [text]})


@pytest.mark.parametrize(
    "inner",
    [["system", ["x"], {}], ["gettext", [1], {}], ["gettext", [], {}], ["gettext", ["x"]], "gettext", None,
     ["ngettext", ["a", "b", True], {}], [["gettext"], ["x"], {}], ["format_lazy", [3], {}], ["gettext", ["x"], 1]],
)  # fmt: skip
def test_a_lazy_tag_with_a_wrong_value_is_an_error(inner):
    with pytest.raises(InvalidContext, match=r"\$lazy cannot be"):
        decoded({"$lazy": inner})


def test_a_mapping_of_the_host_is_not_a_lazy_text():
    given = {"$lazy": ["gettext", ["Monday"], {}]}
    assert decoded(encoded(given)) == given


def test_equal_content_is_equal_for_every_sender():
    given = {"texts": {gettext_lazy("Monday"), gettext_lazy("Yes")}}
    with translation.override("de"):
        german = make_comparable(encoded(given))
    assert german == make_comparable(encoded(given))


def weekday(**more):
    return NotificationEvent(
        "order_shipped", NotificationPriority.MEDIUM, ["email"], context={"day": str}, loggable=("day",), **more
    )


def test_the_log_is_in_the_language_of_the_site(settings):
    stored = validated(weekday(), {"day": gettext_lazy("Monday")}).stored
    with translation.override("de"):
        assert select_loggable(weekday(), stored) == {"day": "Monday"}
    settings.LANGUAGE_CODE = "de"
    assert select_loggable(weekday(), {"day": encoded([gettext_lazy("Monday")])}) == {"day": ["Montag"]}


@pytest.fixture
def site(db, settings, tmp_path):
    """Register an event whose mail shows the day directly, after a transform, and after a filter that needs a text."""
    (tmp_path / "notifications/order_shipped").mkdir(parents=True)
    (tmp_path / "notifications/order_shipped/email.subject.txt").write_text("{{ day }}")
    (tmp_path / "notifications/order_shipped/email.txt").write_text("{{ day|upper }} {{ kind }} {{ original.day }}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {}}}
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    with temporary_events() as registry:
        kind_of = {"email": lambda values: {"kind": f"{type(values['day']).__name__}:{values['day']}"}}
        registry[ShopEvents.ORDER_SHIPPED] = weekday(transforms=kind_of)
        yield registry


def send(users, day, **options):
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, {"day": day}, **options)


@pytest.mark.parametrize("sender", ["en", "de", "fr"])
def test_each_reader_gets_the_text_in_their_language(site, sender):
    english, german = UserFactory.create_batch(2)
    UserSettingsFactory(user=german, cluster=Cluster.objects.default(), language="de")
    with translation.override(sender):
        send([english, german], gettext_lazy("Monday"))
    Dispatcher().run_until_idle()
    got = {message.to[0]: (message.subject, message.body.strip()) for message in mail.outbox}
    assert got == {
        english.email: ("Monday", "MONDAY str:Monday Monday"),
        german.email: ("Montag", "MONTAG str:Montag Montag"),
    }
    assert {row.personal.context_data["day"] for row in NotificationLog.objects.select_related("personal")} == {
        "Monday"
    }


def test_an_idempotency_key_matches_the_content_in_any_language(site):
    user = UserFactory()
    send([user], gettext_lazy("Monday"), idempotency_key="x")
    with translation.override("de"):
        assert send([user], gettext_lazy("Monday"), idempotency_key="x").duplicate
        with pytest.raises(IdempotencyConflict):
            send([user], gettext_lazy("Tuesday"), idempotency_key="x")


def test_a_spooled_text_is_still_lazy(site):
    with translation.override("de"):
        request = validate_request(ShopEvents.ORDER_SHIPPED, None, {"day": gettext_lazy("Monday")}, SendOptions())
        record = to_record(request, [UserFactory()], request.requested_at)
    assert json.loads(json.dumps(record))["context"] == {"day": {"$lazy": ["gettext", ["Monday"], {}]}}


def test_a_critical_event_sends_the_translated_text_if_it_cannot_be_stored_lazily(site, caplog):
    site[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
        "order_shipped", NotificationPriority.CRITICAL, ["email"], context={"day": str}
    )
    with translation.override("de"):
        send([UserFactory()], capfirst(gettext_lazy("Monday")))
    assert Delivery.objects.get().notification.values == {"day": "Montag"}
    assert "cannot be stored as a lazy text" in caplog.text
