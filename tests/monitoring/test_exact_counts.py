"""Four workers deliver and two of them are killed: counters, hourly figures and log agree exactly.

KLAXON_COUNTED_DELIVERIES sets how many deliveries it takes, and the report of the numbers is printed.
"""

import os
import signal
import time

import pytest
from django.contrib.auth.models import User
from django.db.models import Sum

from notifications.manager import NotificationManager
from notifications.models import Delivery, Figure, FigureDelta, NotificationLog
from notifications.monitoring.figures import move_all
from notifications.storage.figures import TOTAL
from tests.monitoring.flaky import NOTIFICATIONS, environment
from tests.monitoring.scrapes import counted, logged, scrape
from tests.processes import start
from tests.shop.notification_events import ShopEvents

DELIVERIES = int(os.environ.get("KLAXON_COUNTED_DELIVERIES", "600"))
SECONDS = 60 + DELIVERIES / 100
UNFINISHED = ("held", "ready", "claimed", "sending", "retry", "unknown")


def wait_until(condition) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "the deliveries take too long"
        time.sleep(0.1)


def attempts() -> int:
    return NotificationLog.objects.filter(kind="attempt").count()


@pytest.mark.needs("prometheus_client")
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_counters_equal_the_log_after_workers_were_killed(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **NOTIFICATIONS}
    User.objects.bulk_create(User(username=f"user{number}") for number in range(DELIVERIES))
    User.objects.filter(username="user5").update(is_active=False)
    # A queryset is asked for active users only, so that an inactive one is dropped as a single recipient.
    NotificationManager.send(ShopEvents.ORDER_REFUSED, User.objects.all(), None, {})
    NotificationManager.send(ShopEvents.ORDER_REFUSED, [User.objects.get(username="user5")], None, {})
    workers = [start("dispatch_notifications", "--watch", "--workers", "1", **environment()) for _ in range(4)]
    try:
        for number, worker in enumerate(workers[:2]):
            wait_until(lambda number=number: attempts() >= DELIVERIES * (number + 1) // 4)
            worker.send_signal(signal.SIGKILL)
            # What is moved while others count is neither lost nor doubled.
            assert counted(scrape()).total() >= DELIVERIES * (number + 1) // 4
        wait_until(lambda: not Delivery.objects.filter(state__in=UNFINISHED).exists())
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    expected = logged()
    assert expected["attempt", "log", "flaky", "sent"] > DELIVERIES // 2
    assert expected["attempt", "log", "flaky", "permanent"] > DELIVERIES // 20
    assert expected["drop", "log", "", "inactive"] >= 1
    deltas = FigureDelta.objects.count()
    assert counted(scrape()) == expected
    move_all(None)
    assert counted(scrape()) == expected
    hourly = Figure.objects.exclude(hour=TOTAL).aggregate(total=Sum("count"))["total"]
    assert (FigureDelta.objects.count(), hourly) == (0, expected.total())
    print(f"{DELIVERIES} deliveries, {expected.total()} counted, {deltas} deltas were left: {dict(expected)}")
