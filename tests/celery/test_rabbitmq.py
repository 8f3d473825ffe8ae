"""Delivery by real Celery workers through a real RabbitMQ, where its server is installed."""

import time

import pytest

from notifications.events import NotificationPriority
from notifications.models import NotificationLog
from tests.celery.rabbitmq import is_installed
from tests.celery.sending import send, states
from tests.processes import until

pytestmark = [
    pytest.mark.needs("celery"),
    pytest.mark.skipif(not is_installed(), reason="The server of RabbitMQ is not installed."),
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.one_database,
]


@pytest.fixture(scope="module")
def broker():
    from tests.celery.rabbitmq import RabbitMQ

    server = RabbitMQ()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def site(tmp_path, broker, celery_app):
    from tests.celery.processes import Site

    celery_app.conf.broker_url = broker.url
    site = Site(broker, tmp_path)
    yield site
    site.close()


def test_each_priority_has_its_queue_and_a_worker_delivers_what_is_sent(site, broker):
    for priority in NotificationPriority:
        send(priority=priority)
    assert broker.waiting() == {"klaxon.critical": 1, "klaxon.high": 1, "klaxon.medium": 1, "klaxon.low": 1}
    worker = site.worker("--pool", "prefork", "-c", "2")
    until(lambda: states() == {"sent": 4}, 60)
    began = time.monotonic()
    send(250)
    until(lambda: states() == {"sent": 254}, 60)
    print(f"250 deliveries after {time.monotonic() - began:.2f} s")
    assert (len(site.ledger.accepted), site.ledger.repeats) == (254, 0)
    assert NotificationLog.objects.filter(success=True).count() == 254
    site.end(worker)


def test_a_broker_that_is_away_costs_only_time(site, broker):
    send()
    worker = site.worker("--pool", "solo")
    until(lambda: states() == {"sent": 1}, 60)
    broker.kill()
    began = time.monotonic()
    assert send(3).queued == 3
    delay = time.monotonic() - began
    print(f"send() took {delay:.2f} s while the broker was away")
    assert delay < 5
    assert states() == {"sent": 1, "ready": 3}
    broker.start()
    site.beat(KLAXON_SWEEP_EVERY="1")
    until(lambda: states() == {"sent": 4}, 90)
    assert site.ledger.repeats == 0
    site.end(worker)
