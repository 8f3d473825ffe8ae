"""Fixtures of the tests of Celery. They import it themselves, because one run of CI has no Celery."""

import pytest

from notifications import signals


@pytest.fixture
def celery_app(settings, monkeypatch):
    """Switch Celery on in this process, as ``ready()`` does. By default its broker is in memory."""
    from kombu import pools

    from notifications.celery import broker, calls
    from notifications.celery.receiver import call_workers
    from tests.celery.app import app
    from tests.celery.settings import NOTIFICATIONS

    settings.NOTIFICATIONS = NOTIFICATIONS
    app.set_current()
    app.conf.update(broker_url="memory://", task_always_eager=False)
    monkeypatch.setattr(calls, "broker", broker.Broker())
    signals.notifications_queued.connect(call_workers, dispatch_uid="klaxon.celery")
    yield app
    signals.notifications_queued.disconnect(dispatch_uid="klaxon.celery")
    # The broker and its connections end with the test.
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
    """The test database with a broker. The test starts the workers."""
    from tests.celery.processes import Site

    celery_app.conf.broker_url = redis.url
    site = Site(redis, tmp_path)
    yield site
    site.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what the workers have logged, and what waits, when a test fails."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.when == "call" and report.failed and hasattr(site, "describe"):
        report.sections.append(("the site when the test failed", site.describe()))
    return report
