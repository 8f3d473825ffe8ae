"""Fixtures: published templates of staff, and messages that a worker sends."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core import mail

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import StaffTemplate, StaffTemplateVersion
from notifications.staff_templates import published, stopping
from notifications.staff_templates.cage.pool import CAGE
from notifications.staff_templates.publishing import publish
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

ORDER = {"order_number": "7", "eta": None}
TEXTS = {"subject": "Order {{ order_number }}", "text": "It is on its way, {{ recipient.username }}."}


@pytest.fixture(autouse=True)
def fresh_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own cache of published templates, which lasts no time."""
    monkeypatch.setattr(published, "_by_database", {})
    stopping.CAUTION.forget()
    monkeypatch.setattr(published, "CHECK_INTERVAL", 0.0)
    yield
    CAGE.close()


@pytest.fixture
def make_version(db: None) -> Callable[..., StaffTemplateVersion]:
    """Save a version of a template of staff, by default for the email of ``order_shipped``."""

    def make(
        event: str = "order_shipped", channel: str = "email", language: str = "", cluster: Any = None, **texts: str
    ) -> StaffTemplateVersion:
        template, _ = StaffTemplate.objects.get_or_create(
            event=event, channel=channel, language=language, cluster=cluster
        )
        latest = template.latest
        return template.save_version(texts or TEXTS, latest.number if latest else 0)

    return make


@pytest.fixture
def publish_texts(make_version: Callable[..., StaffTemplateVersion]) -> Callable[..., StaffTemplateVersion]:
    def publish_version(**values: Any) -> StaffTemplateVersion:
        version = make_version(**values)
        publish(version)
        return version

    return publish_version


def send(user: Any = None, event: Any = ShopEvents.ORDER_SHIPPED, context: Any = ORDER, **options: Any) -> Any:
    """Send a notification without delivering it."""
    return NotificationManager.send(event, [user or UserFactory()], options.pop("cluster", None), context, **options)


def deliver(**options: Any) -> Any:
    """Send a notification, deliver it, and return its mail, or None if there is none."""
    send(**options)
    count = len(mail.outbox)
    Dispatcher().run_until_idle()
    return mail.outbox[-1] if len(mail.outbox) > count else None
