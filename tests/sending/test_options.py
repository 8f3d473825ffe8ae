"""The options of ``send()``, ``asend()`` and ``explain()`` as types, in signatures and in docstrings."""

import inspect

import pytest
from asgiref.sync import async_to_sync

from notifications.manager import ExplainOptions, NotificationManager, SendOptions
from notifications.models import Notification
from tests.sending.calls import SHIPPED, send
from tests.shop.notification_events import ShopEvents

METHODS = {
    "send": (NotificationManager.send, SendOptions),
    "asend": (NotificationManager.asend, SendOptions),
    "explain": (NotificationManager.explain, ExplainOptions),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_signature_has_every_option(name):
    method, options = METHODS[name]
    parameters = inspect.signature(method).parameters.values()
    keywords = {item.name: item.annotation for item in parameters if item.kind is item.KEYWORD_ONLY}
    assert keywords == options.__annotations__
    assert {item.default for item in parameters if item.kind is item.KEYWORD_ONLY} == {None}
    assert not any(item.kind is item.VAR_KEYWORD for item in parameters)


def test_explain_takes_the_options_of_send_and_a_time():
    assert ExplainOptions.__annotations__.keys() - SendOptions.__annotations__.keys() == {"at"}


def test_every_option_is_documented_once():
    text = inspect.getdoc(NotificationManager.send)
    assert {name: text.count(f":param {name}:") for name in SendOptions.__annotations__} == dict.fromkeys(
        SendOptions.__annotations__, 1
    )
    assert ":param at:" in inspect.getdoc(NotificationManager.explain)
    assert ":param options:" not in text + inspect.getdoc(NotificationManager.explain)


@pytest.mark.parametrize(
    "call",
    [
        lambda: NotificationManager.send(ShopEvents.ORDER_SHIPPED, [], campain="x"),
        lambda: async_to_sync(NotificationManager.asend)(ShopEvents.ORDER_SHIPPED, [], campain="x"),
        lambda: NotificationManager.send_notification("hi", recipients=[], campain="x"),
    ],
)
def test_an_unknown_option_is_an_error_that_names_the_nearest(call):
    with pytest.raises(TypeError, match=r"send\(\) has no option 'campain'\. Did you mean 'campaign'\?"):
        call()


def test_send_does_not_take_the_time_of_explain(user):
    with pytest.raises(TypeError, match="has no option 'at'"):
        send([user], at=None)


def test_an_option_that_is_none_is_left_out(user):
    send([user])
    send([user], **dict.fromkeys(SendOptions.__annotations__))
    first, second = Notification.objects.order_by("pk")
    for field in (
        "topic",
        "campaign",
        "cancel_key",
        "idempotency_key",
        "send_at",
        "expires_at",
        "priority",
        "actor_id",
    ):
        assert getattr(first, field) == getattr(second, field)
    assert first.correlation_id != second.correlation_id
    assert NotificationManager.explain(
        ShopEvents.ORDER_SHIPPED, user, None, SHIPPED, **dict.fromkeys(ExplainOptions.__annotations__)
    ).channels
