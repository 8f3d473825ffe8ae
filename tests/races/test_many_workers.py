"""Eight worker processes on one outbox. ``KLAXON_DELIVERIES`` is the number of mails."""

import os
from collections import Counter

import pytest
from django.contrib.auth.models import User

from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from tests.processes import finished, smtp_ledger, start
from tests.shop.notification_events import ShopEvents

DELIVERIES = int(os.environ.get("KLAXON_DELIVERIES", "4000"))
WORKERS = 8


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_eight_workers_hand_each_mail_over_exactly_once(tmp_path):
    User.objects.bulk_create(User(username=f"u{i}", email=f"u{i}@example.com") for i in range(DELIVERIES))
    result = NotificationManager.send(ShopEvents.NEWSLETTER, User.objects.all())
    assert result.queued == DELIVERIES
    ledger = tmp_path / "ledger"
    with smtp_ledger(ledger) as port:
        workers = [start("dispatch_notifications", "--batch-size", "50", port=port) for _ in range(WORKERS)]
        said = [finished(worker) for worker in workers]
    accepted = Counter(ledger.read_text().splitlines())
    assert len(accepted) == DELIVERIES
    assert set(accepted.values()) == {1}
    assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}
    assert NotificationLog.objects.filter(success=True).count() == DELIVERIES
    busy = [line for line in said if "deliveries:" in line]
    assert len(busy) > 1, "one worker did everything: this proves nothing"
