"""The page that Prometheus reads: who may read it, what it says, and what it says without a database."""

import importlib
import sys

import pytest
from django.core.checks import run_checks
from django.db import connection, connections
from django.utils import timezone

from notifications import conf
from notifications.exceptions import MissingExtra
from notifications.models import Circuit, Heartbeat, NotificationLog, Pause
from notifications.monitoring import prometheus
from notifications.monitoring.pages import metrics
from notifications.outcomes import Verdict
from tests.delivering.conftest import scripted_channel  # noqa: F401 - a fixture
from tests.delivering.scripted import ScriptedChannel, dispatch, refuse_orders
from tests.factories import UserFactory
from tests.monitoring.scrapes import parse, scrape, value

pytestmark = pytest.mark.needs("prometheus_client")
TOKEN = "correct-horse-battery-staple"
URL = "/notifications/metrics"


@pytest.fixture
def token(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "METRICS": {"TOKEN": TOKEN}}
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.django_db
class TestAccess:
    def test_the_token_opens_it(self, client, token):
        response = client.get(URL, headers=token)
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "no-store" in response["Cache-Control"]
        assert value(parse(response.text), "notification_database_up") == 1

    @pytest.mark.parametrize(
        "given",
        ["", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}é"],
    )
    def test_anything_else_does_not(self, client, token, given):
        response = client.get(URL, headers={"Authorization": given} if given else {})
        assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
        assert TOKEN not in response.text

    def test_without_a_token_in_the_settings_none_is_right(self, client):
        for given in ("Bearer ", "Bearer None"):
            assert client.get(URL, headers={"Authorization": given}).status_code == 401

    def test_a_user_needs_the_permission(self, client, django_user_model):
        client.force_login(UserFactory())
        assert client.get(URL).status_code == 403
        client.force_login(UserFactory(is_superuser=True))
        assert client.get(URL).status_code == 200

    def test_a_wrong_token_reads_no_database(self, client, token, django_assert_num_queries):
        client.force_login(UserFactory(is_superuser=True))
        with django_assert_num_queries(0):
            assert client.get(URL, headers={"Authorization": "Bearer wrong"}).status_code == 401

    def test_it_cannot_be_posted(self, client, token):
        assert client.post(URL, headers=token).status_code == 405


@pytest.mark.django_db
class TestContent:
    def test_everything_is_named_and_bounded(self, scripted_channel):  # noqa: F811
        now = timezone.now()
        ScriptedChannel.answers = [Verdict.ACCEPTED, Verdict.TEMPORARY]
        refuse_orders(2)
        dispatch()
        Heartbeat.objects.beat("worker", "host", 1, now)
        Pause.objects.pause("email", "", now)
        Circuit.objects.record_failures("log", 1, "gone", now, open_immediately=True)
        found = scrape()
        assert value(found, "notification_sent_total", channel="log", provider="script", band="high") == 1
        assert value(found, "notification_failed_total", channel="log", provider="script", reason="temporary") == 1
        assert value(found, "notification_queue_size", state="waiting", band="high") == 1
        assert value(found, "notification_latency_seconds_bucket", channel="log", band="high", le="1.0") == 1
        assert value(found, "notification_latency_seconds_count", channel="log", band="high") == 1
        assert value(found, "notification_call_seconds_count", channel="log", provider="script") == 2
        assert value(found, "notification_workers") == 1
        assert value(found, "notification_paused", channel="email") == 1
        assert value(found, "notification_circuit_open_seconds", provider="log") is not None
        labels = {label for _name, pairs in found for label, _value in pairs}
        assert labels == {"channel", "provider", "band", "reason", "state", "le"}

    def test_a_channel_has_at_most_a_hundred_providers(self, scripted_channel, monkeypatch):  # noqa: F811
        monkeypatch.setattr(prometheus, "MAX_PROVIDERS", 3)
        rows = [
            NotificationLog(kind="attempt", channel="log", success=True, provider=f"p{number}", sent_at=timezone.now())
            for number in range(5)
        ]
        NotificationLog.objects.append(rows)
        found = scrape()
        assert value(found, "notification_sent_total", channel="log", provider="other", band="critical") == 5

    def test_it_reads_no_log(self, django_assert_max_num_queries):
        with django_assert_max_num_queries(20) as captured:
            scrape()
        assert not [query["sql"] for query in captured if "notificationlog" in query["sql"]]


@pytest.mark.django_db(transaction=True)
def test_without_the_database_it_says_only_that(client, token, caplog, monkeypatch):
    connection.close()
    away = {"PORT": "1", "HOST": "127.0.0.1"} if connection.vendor == "postgresql" else {"NAME": "/nowhere/klaxon.db"}
    with monkeypatch.context() as patched:
        for name, changed in away.items():
            patched.setitem(connection.settings_dict, name, changed)
        response = client.get(URL, headers=token)
        connection.close()
    assert response.status_code == 200
    assert parse(response.text) == {("notification_database_up", ()): 0.0}
    assert "the database cannot be reached" in caplog.text
    assert value(parse(client.get(URL, headers=token).text), "notification_database_up") == 1


def test_no_database_with_atomic_requests_begins_a_transaction(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(connections.settings, "other", connections.settings["default"])
        exempt = importlib.reload(metrics).show_metrics._non_atomic_requests
    importlib.reload(metrics)
    assert exempt == {"default", "other"}


@pytest.mark.django_db
def test_without_the_extra_the_error_and_the_check_say_what_to_install(client, token, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    monkeypatch.setattr("notifications.core.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"django-klaxon\[metrics\]"):
        client.get(URL, headers=token)
    [found] = [message for message in run_checks() if message.id == "klaxon.E005"]
    assert "django-klaxon[metrics]" in found.hint


@pytest.mark.parametrize(
    ("value_", "expected"),
    [("short", ["klaxon.W022"]), ("", []), (TOKEN, [])],
)
def test_a_short_token_is_reported(settings, value_, expected):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "METRICS": {"TOKEN": value_}}
    found = [message for message in run_checks() if message.id in ("klaxon.E005", "klaxon.W022")]
    assert [message.id for message in found] == expected
    assert not any(value_ and value_ in f"{message.msg} {message.hint}" for message in found)


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"TOKEN": 17}, "NOTIFICATIONS['METRICS']['TOKEN'] is not valid."),
        ({"TOKEN": f"{TOKEN}\n"}, "NOTIFICATIONS['METRICS']['TOKEN'] is not valid."),
        ({"TOKEN": "ü" * 30}, "NOTIFICATIONS['METRICS']['TOKEN'] is not valid."),
        ({"TOKENS": ""}, "NOTIFICATIONS['METRICS'] has an unknown key 'TOKENS'."),
        ({"LATENCY": {"urgent": 1}}, "NOTIFICATIONS['METRICS']['LATENCY'] is {'urgent': 1}."),
        ({"LATENCY": {"high": 0}}, "NOTIFICATIONS['METRICS']['LATENCY'] is {'high': 0}."),
        ({"KEEP_DAYS": 0}, "NOTIFICATIONS['METRICS']['KEEP_DAYS'] is 0."),
        ({"KEEP_DAYS": 10**6}, "NOTIFICATIONS['METRICS']['KEEP_DAYS'] is 1000000."),
        ([], "NOTIFICATIONS['METRICS'] is not valid."),
    ],
)
def test_wrong_settings_are_reported(settings, metrics, expected):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "METRICS": metrics}
    assert [problem.message for problem in conf.problems()] == [expected]
