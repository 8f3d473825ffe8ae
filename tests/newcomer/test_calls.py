"""Wrong calls and declarations, and the sentence that says what to write instead."""

from datetime import date
from enum import Enum

import pytest
from django.contrib.auth.models import User

from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority, register
from notifications.manager import NotificationManager
from notifications.models import UserSettings
from notifications.recipients import Address, Members
from tests.factories import UserFactory
from tests.newcomer import is_one_clear_answer
from tests.shop.notification_events import ShopEvents

CONTEXT = {"order_number": "1017", "eta": date(2026, 11, 20)}


class Mine(Enum):
    ORDER_PAID = "order_paid"


class Numbers(Enum):
    ONE = 1


def send(**changed):
    call = {"event_name": ShopEvents.ORDER_SHIPPED, "recipients": [], "context": CONTEXT} | changed
    return NotificationManager.send(**call)


def event(**changed):
    return NotificationEvent(
        **{"name": "order_paid", "priority": NotificationPriority.LOW, "supported_channels": ["email"]} | changed
    )


CALLS = {
    "an option is misspelt": (
        lambda: send(chanels=["email"]),
        "NotificationManager.send() has no option 'chanels'. Did you mean 'channels'?",
    ),
    "an option of explain() is misspelt": (
        lambda: NotificationManager.explain(ShopEvents.ORDER_SHIPPED, UserFactory(), When=None),
        "NotificationManager.explain() has no option 'When'. Known arguments: actor, at, attachments,",
    ),
    "an event's name is misspelt": (
        lambda: send(event_name="order_shiped"),
        "No notification event is registered as 'order_shiped'. Did you mean 'order_shipped'? If not, register it in a "
        "notification_events.py of an installed app.",
    ),
    "an event is not registered": (
        lambda: send(event_name=Mine.ORDER_PAID),
        "No notification event is registered as <Mine.ORDER_PAID: 'order_paid'>. Register it in a "
        "notification_events.py of an installed app.",
    ),
    "the declaration is passed for the event": (
        lambda: send(event_name=NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED]),
        "Pass the member of the Enum with which it is registered, or its name.",
    ),
    "the context is passed third": (
        lambda: NotificationManager.send(ShopEvents.ORDER_SHIPPED, [], CONTEXT),
        "Write context=… if it is the context.",
    ),
    "the context is left out": (
        lambda: send(context=None),
        "The context of event 'order_shipped' is wrong: 'order_number' is missing.",
    ),
    "a key of the context is misspelt": (
        lambda: send(context={"order_numer": "1017"}),
        "'order_numer' is not declared (declared: eta, order_number). 'order_number' is missing.",
    ),
    "a number is passed for a text": (
        lambda: send(context=CONTEXT | {"order_number": 1017}),
        "'order_number' is 1017, not str.",
    ),
    "a text is passed for a date": (
        lambda: send(context=CONTEXT | {"eta": "2026-11-20"}),
        "'eta' is the text '2026-11-20', not datetime.date | None.",
    ),
    "a model instance is passed for a text": (
        lambda: send(context=CONTEXT | {"order_number": User(username="ada")}),
        "for a model instance, declare the fields to store with notifications.context.Fields in the event's context.",
    ),
    "an email address is passed as a recipient": (
        lambda: send(recipients=["ada@example.com"]),
        "'ada@example.com' is not a recipient. Write Address(email='ada@example.com') for somebody without an account.",
    ),
    "ids are passed as recipients": (
        lambda: send(recipients=[1, 2]),
        "1 is not a recipient. Look up the users, for example with User.objects.filter(…).",
    ),
    "a user name is passed as a recipient": (
        lambda: send(recipients="ada"),
        "'ada' is not a recipient. Look up the users, for example with User.objects.filter(…).",
    ),
    "a manager is passed as recipients": (
        lambda: send(recipients=User),
        "Look up the users, for example with User.objects.filter(…).",
    ),
    "a user is not saved": (
        lambda: send(recipients=[User(username="ada")]),
        "The user <User: ada> is not saved yet.",
    ),
    "no recipients are passed": (
        lambda: send(recipients=None),
        "None is not a recipient. Pass users, groups, querysets of these, Members(cluster), Topic(…), Address(…) or "
        "To(…).",
    ),
    "a text goes to nobody in particular": (
        lambda: NotificationManager.send_notification("hi"),
        "Pass recipients, such as Members(cluster) for everybody, or set it to the name of a group or the dotted path "
        "of a callable(cluster) that returns recipients.",
    ),
    "an address is not named": (
        lambda: Address("ada@example.com"),
        "Name the kind of each address, such as Address(email='ada@example.com').",
    ),
    "the kind of an address is misspelt": (lambda: Address(mail="ada@example.com"), "Did you mean 'email'?"),
    "a cluster's id is passed": (
        lambda: send(cluster=1),
        "cluster must be a Cluster, not 1. Pass a saved one, such as Cluster.objects.get(…).",
    ),
    "the members of a name are asked for": (
        lambda: send(recipients=[Members("Harbour")]),
        "Members(…) takes a saved Cluster, or None, not 'Harbour'.",
    ),
    "one channel is passed as a text": (
        lambda: send(channels="email"),
        "channels must be a list, not 'email'.",
    ),
    "a channel is misspelt": (
        lambda: send(channels=["emial"]),
        "channels may only narrow what event 'order_shipped' supports (email, app); it does not support emial.",
    ),
    "a level is unknown": (
        lambda: NotificationManager.send_notification("hi", "error", recipients=[]),
        "level must be one of critical, warning, info, debug, not 'error'.",
    ),
    "a priority is a text": (
        lambda: send(priority="high"),
        "priority must be a NotificationPriority, not 'high'.",
    ),
    "a time is a text": (lambda: send(send_at="tomorrow"), "send_at must be a datetime, not 'tomorrow'."),
    "an attachment is a path": (
        lambda: send(attachments=["/tmp/invoice.pdf"]),
        "An attachment is an Attachment(…) or (name, content, mimetype), not '/tmp/invoice.pdf'.",
    ),
    "an actor is a name": (lambda: send(actor="ada"), "actor must be a saved user, not 'ada'."),
    "a channel of preferences is misspelt": (
        lambda: UserSettings(user=UserFactory()).set_channel("mail", False),
        "There is no channel mail. Did you mean email?",
    ),
}

DECLARATIONS = {
    "an event's priority is a text": (
        lambda: event(priority="high"),
        "priority of event 'order_paid' must be a NotificationPriority, such as NotificationPriority.MEDIUM, not "
        "'high'.",
    ),
    "an event's channel is one text": (
        lambda: event(supported_channels="email"),
        "supported_channels of event 'order_paid' must be a list, not a single value.",
    ),
    "an event's channels are None": (
        lambda: event(supported_channels=None),
        "supported_channels of event 'order_paid' must be a list, not None.",
    ),
    "an event has no channel": (
        lambda: event(supported_channels=[]),
        "Event 'order_paid' supports no channel. Add one to supported_channels.",
    ),
    "an event's channel is a number": (
        lambda: event(supported_channels=[1]),
        "supported_channels of event 'order_paid' must hold names, such as NotificationChannel.EMAIL, not 1.",
    ),
    "an event's name is its member": (
        lambda: event(name=Mine.ORDER_PAID),
        "The name of an event must be a text, not <Mine.ORDER_PAID: 'order_paid'>.",
    ),
    "an event has neither a name nor a priority": (
        lambda: NotificationEvent(supported_channels=["email"]),
        "priority of the event must be a NotificationPriority, such as NotificationPriority.MEDIUM, not None.",
    ),
    "an event has neither a name nor a channel": (
        lambda: NotificationEvent(priority=NotificationPriority.LOW, supported_channels=[]),
        "The event supports no channel. Add one to supported_channels.",
    ),
    "an event without a name is registered under a number": (
        lambda: register(Numbers.ONE, event(name="")),
        "The value of Numbers.ONE is the name of its event, so it must be a text, not 1.",
    ),
    "an event's context is a list": (
        lambda: event(context=["total"]),
        "context of event 'order_paid' must be None, {} or names with types, such as {\"number\": str}, not ['total'].",
    ),
    "a type of the context is in quotes": (
        lambda: event(context={"total": "int"}),
        "'int' is a text. Write the type itself, without quotes.",
    ),
    "a type of the context is a model": (
        lambda: event(context={"buyer": User}),
        'User is a model. Name the fields to store: Fields("…").',
    ),
    "a key of repeats is misspelt": (
        lambda: event(dedup_keys=["order"], context={"order_id": int}),
        "dedup_keys of event 'order_paid' names 'order', which its context does not declare. Did you mean 'order_id'?",
    ),
    "a loggable key is misspelt": (
        lambda: event(loggable=["totel"], context={"total": int}),
        "loggable of event 'order_paid' names 'totel', which its context does not declare. Did you mean 'total'?",
    ),
    "an event's fallback is a text": (
        lambda: event(fallback="app"),
        "fallback of event 'order_paid' must be a dict of channel to other channel, not 'app'.",
    ),
    "a transform is a dotted path": (
        lambda: event(transforms={"email": "shop.shorten"}),
        "transforms of event 'order_paid' must hold a function for 'email', not 'shop.shorten'.",
    ),
    "a limit of an event is in words": (
        lambda: event(limit="5 per hour"),
        "limit of event 'order_paid': '5 per hour' is not a rate. Write \"100/h\", or \"100/h burst 20\", per s, m, "
        "h or d.",
    ),
    "retries of an event are one number": (
        lambda: event(retry_delays=60),
        "retry_delays of event 'order_paid' is 60. It must be a list of seconds, or a text such as "
        '"exponential:60,2,6h": the first delay, a factor, the longest delay.',
    ),
    "a permission has no app": (
        lambda: event(permission="send"),
        "permission of event 'order_paid' must be written as \"app_label.codename\", not 'send'.",
    ),
    "an event is registered by its name": (
        lambda: register("order_paid", event()),
        "Register a member of an Enum with its event, as in register(ShopEvents.ORDER_SHIPPED, NotificationEvent(…)), "
        "not 'order_paid' with",
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("mistake", [*CALLS, *DECLARATIONS])
def test_a_wrong_call_is_answered_with_what_to_write(mistake):
    made, sentence = (CALLS | DECLARATIONS)[mistake]
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the sentence matters, whatever the class
        made()
    answer = " ".join(getattr(raised.value, "messages", None) or [str(raised.value)])
    assert sentence in answer
    assert is_one_clear_answer(answer)
