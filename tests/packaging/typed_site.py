"""The code of a site, for mypy: a line that says ``wrong:`` must be reported, and no other."""

from datetime import datetime
from enum import Enum
from typing import Unpack

from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest

from notifications.events import NotificationEvent, NotificationPriority, register
from notifications.manager import NotificationManager, SendOptions
from notifications.recipients import Address, Members, Recipient, Recipients, To, Topic


class ShopEvents(Enum):
    SHIPPED = "shipped"


SHIPPED = ShopEvents.SHIPPED
register(SHIPPED, NotificationEvent(priority=NotificationPriority.LOW, supported_channels=["email"]))
register(SHIPPED, NotificationEvent("shipped", NotificationPriority.LOW, ["email"], context={"number": str}))
register(SHIPPED, NotificationEvent(supported_channels=["email"]))  # wrong: call-arg
register("shipped", NotificationEvent("shipped", NotificationPriority.LOW, ["email"]))  # wrong: arg-type


def ship(user: User, group: Group, shop: Model, request: HttpRequest) -> bool:
    one: Recipient = user
    many: Recipients = [user, group, Members(shop), Topic("road works"), Address(email="a@example.com")]
    result = NotificationManager.send(SHIPPED, one)
    NotificationManager.send("shipped", many, shop, {"number": "7"}, channels=["email"], level="info")
    NotificationManager.send(SHIPPED, User.objects.filter(is_staff=True), send_at=datetime.now(), topic=Topic("x"))
    NotificationManager.send(SHIPPED, [To(group, channels=["app"]), Group.objects.all()], actor=request.user)
    NotificationManager.send(SHIPPED, user, attachments=[("a.txt", b"a")], priority=1, cancel_key=None)
    NotificationManager.send(SHIPPED, user, chanels=["email"])  # wrong: call-arg
    NotificationManager.send(SHIPPED, user, channels=5)  # wrong: arg-type
    NotificationManager.send(SHIPPED, user, send_at="tomorrow")  # wrong: arg-type
    NotificationManager.send(SHIPPED, user, at=datetime.now())  # wrong: call-arg
    NotificationManager.send(SHIPPED, "a@example.com")  # wrong: arg-type
    NotificationManager.send(SHIPPED, [1])  # wrong: list-item
    NotificationManager.send(SHIPPED, shop)  # wrong: arg-type
    NotificationManager.send(SHIPPED, user, {"number": "7"})  # wrong: arg-type
    NotificationManager.send(SHIPPED)  # wrong: call-arg
    return result.refused


async def ship_later(user: User) -> int:
    result = await NotificationManager.asend(SHIPPED, [user], context={"number": "7"}, expires_at=datetime.now())
    await NotificationManager.asend(SHIPPED, user, idempotency_kee="7")  # wrong: call-arg
    await NotificationManager.asend(SHIPPED, user, idempotency_key=7)  # wrong: arg-type
    return result.queued


def explain(user: User) -> str:
    explanation = NotificationManager.explain(SHIPPED, user, at=datetime.now(), channels=["email"])
    NotificationManager.explain(SHIPPED, Address(email="a@example.com"), levle="info")  # wrong: call-arg
    NotificationManager.explain(SHIPPED, user, level=5)  # wrong: arg-type
    NotificationManager.explain(SHIPPED, [user])  # wrong: arg-type
    return str(explanation)


def pass_on(user: User, **options: Unpack[SendOptions]) -> None:
    NotificationManager.send(SHIPPED, user, **options)
    NotificationManager.explain(SHIPPED, user, **options)


pass_on(User(), campain="spring")  # wrong: call-arg
