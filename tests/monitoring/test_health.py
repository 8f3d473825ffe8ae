"""The probes, the page of the status, and who may see it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client

from notifications.core import clock
from notifications.models import (
    APIKey,
    APIScope,
    Circuit,
    Cluster,
    Delivery,
    Heartbeat,
    Notification,
    NotificationLog,
    Pause,
)
from notifications.monitoring import readiness
from notifications.monitoring.findings import Finding
from notifications.monitoring.probes import PROBES, examine, register_probe
from notifications.monitoring.readings import share_readings
from notifications.monitoring.success import Success, find_last_success, measure_recent_success, measure_success

pytestmark = pytest.mark.django_db
STATUS = "/notifications/health/status"


@pytest.fixture
def ann():
    return User.objects.create_user("ann", "ann@example.com")


@pytest.fixture
def olga():
    user = User.objects.create_user("olga", "olga@example.com", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    return user


@pytest.fixture
def operator(olga):
    client = Client()
    client.force_login(olga)
    return client


@pytest.fixture
def worker():
    return Heartbeat.objects.create(
        pk="web1:1:a", host="web1", pid=1, started_at=clock.now() - timedelta(hours=3), beat_at=clock.now()
    )


def find(name):
    return next(one for one in examine("default", clock.now()) if one.name == name)


def list_unhealthy():
    return {one.name for one in examine("default", clock.now()) if not one.is_healthy}


def log(number, success, ago=0.0, channel="email"):
    """Log attempts that many minutes ago."""
    sent_at = clock.now() - timedelta(minutes=ago)
    values = {"kind": "attempt", "event": "order_shipped", "recipient_key": "u:1", "channel": channel}
    NotificationLog.objects.append(
        NotificationLog(**values, success=success, sent_at=sent_at) for _number in range(number)
    )


def queue(number, user, **values):
    notification = Notification.objects.create(
        event="order_shipped", cluster=Cluster.objects.default(), priority=3, context={}, created_at=clock.now()
    )
    rows = (
        Delivery(
            notification=notification, recipient=user, recipient_key=f"u:{user.pk}", channel="email",
            address=f"{index}@example.com", address_hash=str(index), score=50, **values,
        )
        for index in range(number)
    )  # fmt: skip
    Delivery.objects.bulk_create(rows)
    return notification


def test_an_idle_site_with_a_worker_is_healthy(worker):
    assert not list_unhealthy()
    assert find("workers").detail == "1 worker is alive. The oldest was started 3 h ago."
    assert all(not one.remedy for one in examine("default", clock.now()))


def test_each_unhealthy_finding_has_a_remedy(ann):
    now = clock.now()
    notification = queue(1000, ann, state="ready")
    Notification.objects.filter(pk=notification.pk).update(created_at=now - timedelta(seconds=61))
    queue(100, ann, state="dead", settled_at=now)
    Pause.objects.create(channel="sms", since=now)
    Circuit.objects.create(key="email", opened_at=now, open_until=now + timedelta(minutes=1), error="refused")
    log(20, False)
    findings = examine("default", clock.now())
    assert {one.name for one in findings if not one.is_healthy} == {
        "queue", "delay", "dead letters", "dead letters growing", "workers", "pauses", "providers", "success",
        "channels",
    }  # fmt: skip
    assert all(len(one.remedy) > 30 for one in findings if not one.is_healthy)
    assert not any("example.com" in one.detail for one in findings)


def test_the_limits_are_exact(ann, worker):
    notification = queue(1000 - 1, ann, state="ready")
    long_ago = clock.now() - timedelta(hours=1)
    queue(100 - 1, ann, state="dead", settled_at=long_ago)
    created_at = clock.now() - timedelta(seconds=50)
    Notification.objects.filter(pk=notification.pk).update(created_at=created_at)
    assert not list_unhealthy()
    queue(1, ann, state="ready")
    queue(1, ann, state="dead", settled_at=long_ago)
    assert list_unhealthy() == {"queue", "dead letters"}


def test_a_delivery_that_waited_for_its_time_is_not_late(ann, worker):
    now = clock.now()
    notification = queue(3, ann, state="ready", reason="scheduled", due_at=now - timedelta(seconds=50))
    Notification.objects.filter(pk=notification.pk).update(created_at=now - timedelta(days=1))
    queue(1, ann, state="held", reason="scheduled", due_at=now + timedelta(days=1))
    assert not list_unhealthy()
    queue(1, ann, state="held", reason="scheduled", due_at=now - timedelta(seconds=70))
    # Nobody has made it ready.
    assert list_unhealthy() == {"delay"}


def test_a_circuit_is_an_obstacle_while_its_provider_is_not_used(worker, settings):
    two = {"BACKEND": "notifications.channels.email.EmailChannel", "PROVIDERS": [{"NAME": "a"}, {"NAME": "b"}]}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"email": two}}
    now = clock.now()
    Circuit.objects.create(key="email/b")
    half_open = Circuit.objects.create(key="email/a", opened_at=now, open_until=now)
    finding = find("providers")
    assert finding.is_healthy
    assert finding.detail == "The next delivery tries: email/a."
    Circuit.objects.filter(pk=half_open.pk).update(open_until=now + timedelta(minutes=5))
    assert "another provider of its channel is" in find("providers").detail
    Circuit.objects.filter(pk="email/b").update(open_until=now + timedelta(minutes=5))
    finding = find("providers")
    assert not finding.is_healthy
    assert "its channel has no other provider that works" in finding.detail


def test_a_site_that_is_switched_off_says_so(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENABLED": False}
    finding = find("pauses")
    assert not finding.is_healthy
    assert "ENABLED" in finding.detail


def test_the_success_of_24_hours(worker):
    assert measure_success("default", clock.now()) == (0, 0)
    assert find("success").detail == "No attempts within 24 hours. No attempts within 15 minutes."
    log(5, True, ago=24 * 60 + 1)
    log(999, True, ago=120)
    log(1, False, ago=60)
    success = measure_success("default", clock.now())
    assert success == Success(999, 1)
    assert success.rate == 0.999
    assert find_last_success("default", clock.now()) <= clock.now() - timedelta(minutes=119)
    assert "99.9 % of 1000 attempts within 24 hours succeeded." in find("success").detail
    assert "email: accepted 2 h ago." in find("channels").detail
    assert not list_unhealthy()


def test_attempts_that_fail_now(worker):
    log(100, True, ago=60)
    log(17, True)
    log(3, False)
    assert list_unhealthy() == {"success"}
    log(10, True)
    assert not list_unhealthy()
    log(5, False, channel="sms")
    assert list_unhealthy() == {"success", "channels"}
    assert "Nothing of sms is accepted" in find("channels").remedy


def test_only_the_newest_log_rows_are_counted(monkeypatch):
    log(10, False, ago=2)
    log(10, True, ago=1)
    monkeypatch.setattr("notifications.storage.attempt_summary.MAX_ROWS", 10)
    assert measure_recent_success("default", clock.now()) == (10, 0)
    assert measure_success("default", clock.now()) == (10, 10)


def test_the_probes_share_their_readings(worker, django_assert_max_num_queries):
    now = clock.now()
    with django_assert_max_num_queries(14) as once:
        examine("default", now)
    with django_assert_max_num_queries(2 * len(once) - 6), share_readings():
        examine("default", now)
        examine("default", now)


def test_the_status_of_a_healthy_and_of_a_degraded_site(operator, worker):
    log(3, True, ago=1)
    answer = operator.get(STATUS)
    found = answer.json()
    assert (answer.status_code, found["status"]) == (200, "healthy")
    assert answer.headers["Cache-Control"] == "no-store"
    assert found["success_24h"] == {"succeeded": 3, "failed": 0, "rate": 1.0}
    assert 3 * 3600 <= found["uptime_seconds"] < 3 * 3600 + 60
    assert found["last_success_at"] < found["at"]
    assert {one["name"] for one in found["components"]} >= set(PROBES) - {"queue"} - {"success"}
    Pause.objects.create(channel="sms", since=clock.now(), note="Invoice")
    answer = operator.get(STATUS)
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    [pauses] = [one for one in answer.json()["components"] if not one["is_healthy"]]
    assert (pauses["name"], pauses["detail"]) == ("pauses", "Paused: sms.")
    assert "resume_notifications" in pauses["remedy"]


def test_a_probe_of_the_host(operator, worker, monkeypatch):
    monkeypatch.setattr("notifications.monitoring.probes.PROBES", {**PROBES})
    register_probe("log seal", lambda using, now: [Finding("log seal", False, "It is broken.", "Call the police.")])
    answer = operator.get(STATUS)
    assert answer.status_code == 503
    assert answer.json()["components"][-1]["name"] == "log seal"


def test_a_probe_of_the_host_that_fails_hides_nothing(operator, worker, monkeypatch):
    monkeypatch.setattr("notifications.monitoring.probes.PROBES", {**PROBES})
    register_probe("log seal", lambda using, now: int("s3cret"))
    answer = operator.get(STATUS)
    found = {one["name"]: one for one in answer.json()["components"]}
    assert (answer.status_code, found["workers"]["is_healthy"]) == (503, True)
    assert found["log seal"]["detail"] == "It cannot be examined: ValueError."


def test_who_may_see_the_status(ann, olga, worker):
    client = Client()
    assert client.get(STATUS).status_code == 401
    assert "Bearer" in client.get(STATUS).headers["WWW-Authenticate"]
    client.force_login(ann)
    assert client.get(STATUS).status_code == 403
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    assert client.get(STATUS).status_code == 403
    client.force_login(olga)
    assert client.get(STATUS).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "clusters", "may_look", "status"),
    [
        ([APIScope.OPERATIONS], None, True, 200),
        ([APIScope.OPERATIONS], None, False, 403),
        ([APIScope.STATUS], None, True, 403),
        ([APIScope.OPERATIONS], [], True, 403),
    ],
)
def test_a_program_needs_a_key_for_all_clusters_with_the_scope(ann, olga, worker, scopes, clusters, may_look, status):
    row, token = APIKey.objects.issue(olga if may_look else ann, "monitor", scopes, clock.now(), clusters)
    assert Client().get(STATUS, headers={"Authorization": f"Bearer {token}"}).status_code == status
    APIKey.objects.filter(pk=row.pk).revoke(clock.now())
    assert Client().get(STATUS, headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_wrong_key_is_noticed_even_with_a_session(operator):
    assert operator.get(STATUS, headers={"Authorization": "Bearer klx_0"}).status_code == 401


def test_without_the_database_everybody_gets_503_with_a_reason(monkeypatch, worker):
    def fail(using):
        raise OperationalError("password of ann@db.example.com")

    with monkeypatch.context() as patch:
        patch.setattr(readiness, "read_tables", fail)
        readiness.forget_answers()
        answer = Client().get(STATUS)
    readiness.forget_answers()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    [finding] = answer.json()["components"]
    assert (answer.json()["status"], finding["name"]) == ("degraded", "database")
    assert b"example.com" not in answer.content


def test_a_database_that_is_lost_meanwhile(operator, monkeypatch):
    def fail(using, now):
        raise OperationalError("gone")

    monkeypatch.setattr("notifications.monitoring.pages.health.build_health", fail)
    assert operator.get(STATUS).status_code == 503


def test_the_api_gives_the_same_health(olga, worker, settings):
    pytest.importorskip("ninja")
    settings.ROOT_URLCONF = "tests.api.urls"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "API": {}}
    User.objects.filter(pk=olga.pk).update(is_superuser=True)
    client = Client()
    client.force_login(olga)
    Pause.objects.create(channel="sms", since=clock.now())
    found = client.get("/api/health/status")
    assert found.status_code == 200
    assert [one["name"] for one in found.json()["components"] if not one["is_healthy"]] == ["pauses"]
    assert found.json()["success_24h"] == {"succeeded": 0, "failed": 0, "rate": None}


def test_a_worker_of_the_future_is_not_alive():
    """The clock was set back after it had died."""
    now = clock.now()
    Heartbeat.objects.create(owner="w", host="h", pid=1, started_at=now, beat_at=now + timedelta(hours=1))
    [workers] = (finding for finding in examine("default", now) if finding.name == "workers")
    assert not workers.is_healthy
