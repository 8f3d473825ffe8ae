"""A site with a hook and an operator, whose clock the tests set, and probes that say what the tests want."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from notifications.core import clock
from notifications.models import Alarm, Delivery
from notifications.monitoring import probes
from notifications.monitoring.alarm import task
from notifications.monitoring.findings import Finding
from tests.alarm.hooks import serve_hook

START = datetime(2026, 11, 2, 3, tzinfo=UTC)


@pytest.fixture(scope="session")
def hook_server():
    with serve_hook() as server:
        yield server


@pytest.fixture
def hook(hook_server):
    hook_server.reset()
    return hook_server


class System:
    """The parts of the system that are bad, and what the alarm does about them as time passes."""

    def __init__(self):
        self.now = START
        self.bad = set()

    def probe(self, using, now):
        for name in ("pump", "belt", "log seal"):
            yield Finding(name, name not in self.bad, f"The {name} is loose." if name in self.bad else "", "Fix it.")

    def run(self):
        """What a worker does regularly, all in this thread."""
        task.run_periodically(self.now, lambda: False)

    def wait(self, seconds, step=10):
        for _ in range(0, seconds, step):
            self.now += timedelta(seconds=step)
            self.run()

    def list_events(self):
        rows = Delivery.objects.order_by("pk").values_list("notification__event", "channel", "recipient__username")
        return [row for row in rows if row[0].startswith("system_")]

    @property
    def degraded(self):
        return set(Alarm.objects.degraded().values_list("cause", flat=True))


@pytest.fixture
def operators(db):
    group = Group.objects.create(name="Operators")
    User.objects.create_user("op", "op@example.com").groups.add(group)


@pytest.fixture
def system(operators, settings, hook, monkeypatch, tmp_path):
    """Only the probes of the test are registered."""
    settings.NOTIFICATIONS = {
        "OPERATORS": "role:Operators",
        "ALARM": {"HOOK": hook.url},
        "STATE_DIR": str(tmp_path),
    }
    assert connection.in_atomic_block, "so the calls are made in this thread"
    system = System()
    monkeypatch.setattr(task, "_database_alarms", {})
    monkeypatch.setattr(probes, "PROBES", {})
    probes.register_probe("machine", system.probe)
    with clock.override(lambda: system.now):
        yield system
