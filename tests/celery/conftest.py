"""What the tests of Celery share. Imported in the fixtures, for in one run of CI there is no Celery."""

import pytest

from notifications import signals


@pytest.fixture
def celery_app(settings, monkeypatch):
    """Celery switched on in this process as ``ready()`` does it; its broker is in memory until told otherwise."""
    from kombu import pools

    from notifications.celery import broker, calls
    from notifications.celery import receiver as nudge
    from tests.celery.app import app
    from tests.celery.settings import NOTIFICATIONS

    settings.NOTIFICATIONS = NOTIFICATIONS
    app.set_current()
    app.conf.update(broker_url="memory://", task_always_eager=False)
    monkeypatch.setattr(calls, "broker", broker.Broker())
    signals.notifications_queued.connect(nudge.call_workers, dispatch_uid="klaxon.celery")
    yield app
    signals.notifications_queued.disconnect(dispatch_uid="klaxon.celery")
    # Their broker ends with the test, and its connections with it.
    pools.reset()


@pytest.fixture
def redis():
    """A real Redis."""
    from tests.celery.processes import Redis

    server = Redis()
    server.start()
    yield server
    server.close()


@pytest.fixture
def site(tmp_path, redis, celery_app):
    """The test database with a broker; its workers are started by the test."""
    from tests.celery.processes import Site

    celery_app.conf.broker_url = redis.url
    site = Site(redis, tmp_path)
    yield site
    site.close()
