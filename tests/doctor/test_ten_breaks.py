"""Ten things are broken on purpose. The doctor names each, says how to mend it, and is content after the mend."""

from datetime import timedelta
from enum import Enum

import pytest
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from notifications.core import clock
from notifications.events import NotificationEvent, NotificationPriority, register
from notifications.models import Circuit, Heartbeat
from notifications.storage.engine import get_engine
from notifications.testing import temporary_events
from tests.channels.http_services import Answer, http_service
from tests.doctor.diagnosing import diagnose, find_faults, list_faults

pytestmark = pytest.mark.django_db
TEXTS = {"example.com": ["v=spf1 -all"], "_dmarc.example.com": ["v=DMARC1; p=reject; rua=mailto:d@example.com"]}
TOKEN = "placeholder-of-a-token"
READY = "klaxon_delivery_ready"
Orders = Enum("Orders", {"SHIPPED": "order_shipped"})
EVENT = NotificationEvent("order_shipped", NotificationPriority.HIGH, ["log"], context={"number": str})


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def run_remedy(remedy):
    """Run the SQL of a remedy as an operator does. Within the transaction of a test, an index cannot be CONCURRENT."""
    sql = remedy.removeprefix("Run this SQL: ").replace(" CONCURRENTLY", "")
    if connection.vendor == "postgresql":
        execute(sql)
    else:
        # The driver of SQLite takes one statement at a time, and the body of a trigger has semicolons of its own.
        first, _, rest = sql.partition("END;") if "BEGIN" in sql else (sql, "", "")
        for statement in filter(None, (f"{first}END;" if rest else first, rest.strip())):
            execute(statement)


@pytest.mark.one_database
@pytest.mark.needs("dns", "dnslib")
def test_dns():
    from tests.email_setup.name_server import name_server

    with name_server() as zone:
        zone.texts = {**TEXTS, "example.com": []}
        options = ["--nameserver", zone.address]
        found = find_faults("mail", options=options)
        assert list(found) == ["SPF of example.com"]
        assert "has no SPF record" in found["SPF of example.com"]["detail"]
        assert "Add a TXT record to example.com" in found["SPF of example.com"]["remedy"]
        zone.texts = TEXTS
        assert diagnose("mail", options=options)[0] == 0


@pytest.mark.one_database
@pytest.mark.needs("requests")
def test_credentials(settings):
    refused = Answer(401, {"code": 20003, "message": f"Authenticate {TOKEN}", "status": 401})
    with http_service(refused) as service:
        options = {"account_sid": "AC0a", "auth_token": TOKEN, "sender": "+15005550006", "api_url": service.url}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}, "sms": {"OPTIONS": options}}}
        found = find_faults("channels")["channel sms"]
        assert found["status"] == "error"
        assert "Twilio answers: 401" in found["detail"]
        assert "'account_sid' and 'auth_token' in OPTIONS of NOTIFICATIONS['CHANNELS']['sms']" in found["remedy"]
        assert TOKEN not in str(found)
        service.default = Answer(200, {"sid": "AC0a", "status": "active"})
        assert find_faults("channels") == {}
        assert {request.method for request in service.received} == {"GET"}


def test_index_dropped():
    execute(f"DROP INDEX {READY}")
    found = find_faults("schema")
    assert list(found) == [f"index {READY}"]
    remedy = found[f"index {READY}"]["remedy"]
    assert f'"{READY}"' in remedy
    assert "CREATE INDEX" in remedy
    run_remedy(remedy)
    assert find_faults("schema") == {}


@pytest.mark.one_database
def test_template_missing(settings, tmp_path):
    def find():
        # A process caches which templates exist, so each run gets a new engine.
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        return [one for one in list_faults("templates") if "order_shipped" in one["detail"]]

    folder = tmp_path / "notifications" / "order_shipped"
    folder.mkdir(parents=True)
    with temporary_events():
        register(Orders.SHIPPED, EVENT)
        [found] = find()
        assert "'notifications/order_shipped/log.txt' does not exist" in found["detail"]
        assert "templates folder of an installed app" in found["remedy"]
        (folder / "log.txt").write_text("Order {{ number }}")
        assert find() == []


def test_the_space_of_the_database_is_95_percent_full(settings):
    limit = int(get_engine("default").get_data_size() / 0.95)
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "STORAGE": {"LIMIT_BYTES": limit}}
    code, [result] = diagnose("storage")
    assert code == 1
    assert "The database is 95% full" in result["detail"]
    assert "purge_notifications" in result["remedy"]


def test_clock_off(monkeypatch):
    assert find_faults("clock") == {}
    exact = clock.local_now
    monkeypatch.setattr(clock, "local_now", lambda: exact() + timedelta(minutes=5))
    found = find_faults("clock")
    if connection.vendor == "sqlite":
        # It has no clock of its own.
        assert found == {}
    else:
        assert "ahead of" in found["clock"]["detail"]
        assert "NTP" in found["clock"]["remedy"]


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no pool.")
def test_pool_too_small(settings, monkeypatch):
    settings.NOTIFICATIONS = {"WORKERS": 8}
    options = {**connections.settings["default"].get("OPTIONS", {}), "pool": {"max_size": 4}}
    # The connection of the test is open already, so only the settings have a pool.
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)
    found = find_faults("pool")["check klaxon.W004"]
    assert "has at most 4 connections" in found["detail"]
    assert "['pool']['max_size'] to at least 8" in found["remedy"]
    assert diagnose("pool", options=["--fail-level", "WARNING"])[0] == 1
    options["pool"] = {"max_size": 8}
    assert find_faults("pool") == {}


def test_worker_dead():
    beaten_at = clock.now() - timedelta(minutes=10)
    Heartbeat.objects.beat("web1:1:a", "web1", 1, beaten_at)
    found = find_faults("workers")["workers"]
    assert found["status"] == "error"
    assert "dispatch_notifications" in found["remedy"]
    Heartbeat.objects.beat("web1:1:a", "web1", 1, clock.now())
    assert find_faults("workers") == {}


def test_circuit_open():
    Circuit.objects.record_failures("email", 1, "refused", clock.now(), open_immediately=True)
    found = find_faults("providers")["providers"]
    assert "email" in found["detail"]
    assert "circuit" in found["remedy"]
    Circuit.objects.close("email")
    assert find_faults("providers") == {}


def test_migration_missing():
    recorded = MigrationRecorder.Migration.objects.filter(app="klaxon").order_by("name").last()
    recorded.delete()
    found = find_faults("migrations")["migrations"]
    assert f"klaxon.{recorded.name}" in found["detail"]
    assert found["remedy"] == "Run `manage.py migrate`."
    MigrationRecorder(connection).record_applied("klaxon", recorded.name)
    assert find_faults("migrations") == {}
