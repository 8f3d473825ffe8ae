"""Two clicks at the same moment on the button that confirms an action."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse

from notifications.core import clock
from notifications.escalation.start import start
from notifications.events import Escalation, NotificationPriority, Step
from notifications.models import Cluster, Delivery, EscalationEntry, EscalationRun, Notification, NotificationLog
from tests.admin.conftest import customers, put_into, send

CLICKS = 4

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def boss(transactional_db: None) -> User:
    Cluster.objects.default()
    return User.objects.create_superuser("boss")


def click_together(boss: User, url: str, fields: dict[str, Any]) -> None:
    """Send the same form several times at once."""
    clients = []
    for _ in range(CLICKS):
        client = Client()
        client.force_login(boss)
        clients.append(client)
    barrier = threading.Barrier(CLICKS)

    def click(client: Client) -> int:
        barrier.wait(30)
        try:
            return client.post(url, fields).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLICKS) as pool:
        assert list(pool.map(click, clients)) == [302] * CLICKS


def ask(boss: User, url: str, action: str, keys: list[int]) -> dict[str, str]:
    client = Client()
    client.force_login(boss)
    page = client.post(url, {"action": action, "_selected_action": keys}).content.decode()
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_deliveries_are_sent_again_once(boss: User) -> None:
    send(customers(10), dispatch=False)
    keys = put_into("dead")
    url = reverse("admin:klaxon_delivery_changelist")
    click_together(boss, url, ask(boss, url, "send_again", keys))
    assert set(Delivery.objects.values_list("epoch", flat=True)) == {1}
    assert NotificationLog.objects.filter(kind="resent").count() == len(keys)
    assert LogEntry.objects.count() == len(keys)


def test_deliveries_are_cancelled_once(boss: User) -> None:
    send(customers(10), dispatch=False)
    keys = put_into("ready")
    url = reverse("admin:klaxon_delivery_changelist")
    click_together(boss, url, ask(boss, url, "cancel", keys))
    assert set(Delivery.objects.values_list("state", flat=True)) == {"cancelled"}
    assert LogEntry.objects.count() == len(keys)


def test_one_step_of_an_escalation_is_sent(boss: User) -> None:
    first = Notification.objects.get(pk=send(customers(3), dispatch=False))
    steps = [Step(timedelta(minutes=10 * number), [f"user:ann{number % 3}"]) for number in range(1, 6)]
    escalation = Escalation(steps)
    run = start(first, escalation, escalation.list_pages(NotificationPriority.CRITICAL), clock.now(), "default")
    url = reverse("admin:klaxon_escalationrun_changelist")
    click_together(boss, url, ask(boss, url, "escalate_now", [run.pk]))
    assert EscalationEntry.objects.filter(kind="by_hand").count() == 1
    assert EscalationRun.objects.get().position == 1
    assert LogEntry.objects.count() == 1
