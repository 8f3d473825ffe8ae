"""Fixtures: sent notifications, and staff who view them."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery
from tests.shop.notification_events import ShopEvents

ORDER = {"order_number": "7", "eta": None}


@pytest.fixture
def boss(db: None) -> Client:
    """A client that is signed in with every permission."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def staff_with(db: None) -> Callable[..., Client]:
    """A client that is signed in as staff with only these permissions."""

    def sign_in(*codenames: str) -> Client:
        user = User.objects.create_user("clerk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def cluster(db: None) -> Cluster:
    return Cluster.objects.default()


def customers(count: int, prefix: str = "ann") -> list[User]:
    rows = [User(username=f"{prefix}{number}", email=f"{prefix}{number}@example.com") for number in range(count)]
    return User.objects.bulk_create(rows)


def send(users: Iterable[User], dispatch: bool = True, **options: Any) -> int:
    """Send a notification by email and app, and return its primary key."""
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, list(users), None, ORDER, **options)
    if dispatch:
        Dispatcher().run_until_idle()
    return result.notification_id


def put_into(state: str, *, of: int | None = None, **values: Any) -> list[int]:
    """Set the state of all deliveries, or of those of one notification."""
    rows = Delivery.objects.filter(notification=of) if of else Delivery.objects.all()
    rows.update(state=state, **values)
    return list(rows.order_by("pk").values_list("pk", flat=True))
