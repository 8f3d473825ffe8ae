"""The events of a small shop, one of each priority."""

from datetime import date
from enum import Enum

from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, register

EMAIL, APP, LOG = NotificationChannel.EMAIL, NotificationChannel.APP, NotificationChannel.LOG


class ShopEvents(Enum):
    STORE_ON_FIRE = "store_on_fire"
    ORDER_REFUSED = "order_refused"
    ORDER_SHIPPED = "order_shipped"
    NEWSLETTER = "shop_newsletter"


register(
    ShopEvents.STORE_ON_FIRE,
    NotificationEvent("store_on_fire", NotificationPriority.CRITICAL, [EMAIL, APP], context={"place": str}),
)
register(
    ShopEvents.ORDER_REFUSED,
    NotificationEvent("order_refused", NotificationPriority.HIGH, [LOG], context={}),
)
register(
    ShopEvents.ORDER_SHIPPED,
    NotificationEvent(
        "order_shipped",
        NotificationPriority.MEDIUM,
        [EMAIL, APP],
        context={"order_number": str, "eta": date | None},
        category="orders",
        loggable=("order_number", "eta"),
    ),
)
register(
    ShopEvents.NEWSLETTER,
    NotificationEvent("shop_newsletter", NotificationPriority.LOW, [EMAIL], category="news"),
)
