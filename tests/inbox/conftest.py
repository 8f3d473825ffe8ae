"""Two users with inboxes, and a browser in which one of them is signed in."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from notifications.core import clock
from notifications.models import Cluster, InboxItem

NOON = datetime(2030, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def browser(ann: User) -> Client:
    """A client that is signed in as Ann."""
    client = Client(enforce_csrf_checks=False)
    client.force_login(ann)
    return client


@pytest.fixture
def put(db: None) -> Callable[..., list[InboxItem]]:
    """Add items to a user's inbox, the oldest first."""

    def write(user: User, count: int = 1, **values: Any) -> list[InboxItem]:
        defaults = {"cluster": Cluster.objects.default(), "event": "order_shipped", "priority": 3, "title": "Shipped"}
        rows = [
            InboxItem(**{"recipient": user, "created_at": NOON + timedelta(minutes=number), **defaults, **values})
            for number in range(count)
        ]
        known = set(InboxItem.objects.values_list("pk", flat=True))
        InboxItem.objects.add_items(rows)
        return list(InboxItem.objects.exclude(pk__in=known).order_by("pk"))

    return write


@pytest.fixture
def noon() -> Any:
    """Let it be 12:30 on the day of the items."""
    with clock.override(lambda: NOON + timedelta(minutes=30)):
        yield NOON
