"""The alert rules and the dashboard, read by promtool.

Each fault is provoked in the tables and recorded by real scrapes, so a rule that names a metric wrongly does not fire.
"""

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.utils import timezone

import notifications.monitoring
from notifications.models import Circuit, Delivery, EscalationRun, Heartbeat, Notification, NotificationLog, Pause
from tests.delivering.scripted import refuse_orders
from tests.monitoring.scrapes import Samples, scrape

pytestmark = [
    pytest.mark.needs("prometheus_client"),
    pytest.mark.needs_program("promtool"),
    pytest.mark.one_database,
    pytest.mark.django_db,
]
FILES = Path(notifications.monitoring.__file__).parent / "operations"
RULES = FILES / "alerts.yml"


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def write_series(idle: Samples, early: Samples, late: Samples) -> list[dict[str, str]]:
    """Five minutes without the fault, one with its beginning, and 100 with all of it, scraped each minute."""
    series = []
    for name, labels in sorted({*idle, *early, *late}):
        texts = "".join(f', {label}="{escape(text)}"' for label, text in labels)
        values = [samples.get((name, labels)) for samples in (idle, early, late)]
        first, second, third = ("_" if value is None else repr(value) for value in values)
        repeated = [f"{first}x4", second, f"{third}x100"]
        series.append({"series": f'{name}{{job="klaxon", instance="web"{texts}}}', "values": " ".join(repeated)})
    return series


def list_firing(tmp_path: Path, idle: Samples, early: Samples, late: Samples, minutes: int = 20) -> set[str]:
    """The names of the alerts that fire after these minutes, found by asserting of each whether promtool sees it."""
    names = [rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
    tests = [
        {
            "interval": "1m",
            "input_series": write_series(idle, early, late),
            "promql_expr_test": [
                {
                    "expr": f'count by (alertname) (ALERTS{{alertstate="firing", alertname="{name}"}})',
                    "eval_time": f"{minutes}m",
                    "exp_samples": [],
                }
                for name in names
            ],
        }
    ]
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60)
    output = done.stdout + done.stderr
    assert "error" not in output.lower().replace("errors", ""), output
    firing = {name for name in names if re.search(rf'got:[^\n]*alertname="{name}"', output)}
    assert bool(firing) == bool(done.returncode), output
    return firing


def work() -> None:
    """A worker is alive, so the site is as it should be."""
    Heartbeat.objects.beat("worker", "host", 1, timezone.now())


def add_attempts(count: int, success: bool, latency: float = 0.1, band: str = "high") -> None:
    rows = []
    for _ in range(count):
        row = NotificationLog(kind="attempt", channel="log", provider="log", success=success, sent_at=timezone.now())
        row.reason, row.duration, row.latency, row.band = "" if success else "temporary", 0.1, latency, band
        rows.append(row)
    NotificationLog.objects.append(rows)


def add_deliveries(count: int, **fields) -> None:
    refuse_orders(1)
    first = Delivery.objects.latest("pk")
    Delivery.objects.bulk_create(
        Delivery.build(first.notification, "log", f"a:{number}-{first.pk}", f"{number}", **fields)
        for number in range(count)
    )


def queue_many():
    add_deliveries(1000)


def be_late():
    add_deliveries(1)
    Notification.objects.update(created_at=timezone.now() - timedelta(minutes=10))


def have_dead_letters():
    add_deliveries(150, state="dead", settled_at=timezone.now())
    Delivery.objects.filter(state="ready").delete()


def open_circuit():
    circuit = Circuit.objects.record_failures("log", 1, "gone", timezone.now(), open_immediately=True)
    Circuit.objects.filter(pk=circuit.pk).update(opened_at=timezone.now() - timedelta(minutes=10))


def leave_escalation():
    refuse_orders(1)
    Delivery.objects.all().delete()
    then = timezone.now() - timedelta(minutes=5)
    EscalationRun.objects.create(
        notification=Notification.objects.latest("pk"),
        event="order_refused",
        pages=[],
        repeat_every=timedelta(hours=1),
        base_at=then,
        due_at=then,
        started_at=then,
    )


FAULTS = {
    "no worker": (lambda: Heartbeat.objects.all().delete(), {"KlaxonNoWorker"}),
    "a deep queue": (queue_many, {"KlaxonQueueDeep"}),
    "late deliveries": (be_late, {"KlaxonDeliveriesLate"}),
    "dead letters": (have_dead_letters, {"KlaxonDeadLetters", "KlaxonDeadLettersGrow"}),
    "failures": (lambda: add_attempts(60, success=False), {"KlaxonFailures"}),
    "slow critical messages": (lambda: add_attempts(60, True, 50.0, "critical"), {"KlaxonCriticalSlow"}),
    "an open circuit": (open_circuit, {"KlaxonCircuitOpen"}),
    "late escalations": (leave_escalation, {"KlaxonEscalationsOverdue"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_fires_on_its_fault_and_no_other_does(fault, tmp_path):
    work()
    add_attempts(1, success=False)
    add_attempts(30, success=True, band="critical")
    idle = scrape()
    provoke, expected = FAULTS[fault]
    add_attempts(1, success=True)
    early = scrape()
    provoke()
    assert list_firing(tmp_path, idle, early, scrape()) == expected


def test_a_pause_is_announced_after_an_hour(tmp_path):
    work()
    idle = scrape()
    Pause.objects.pause("log", "", timezone.now())
    late = scrape()
    assert list_firing(tmp_path, idle, late, late) == set()
    assert list_firing(tmp_path, idle, late, late, minutes=90) == {"KlaxonPaused"}


def test_without_the_database_only_that_is_announced(tmp_path, monkeypatch):
    work()
    idle = scrape()
    with monkeypatch.context() as patched:
        patched.setattr("notifications.monitoring.prometheus._read_if_reachable", lambda core, using: [])
        down = scrape()
    assert list_firing(tmp_path, idle, down, down) == {"KlaxonDatabaseDown"}
    assert list_firing(tmp_path, idle, {}, {}) == {"KlaxonMetricsMissing"}


def test_an_idle_site_is_silent(tmp_path):
    work()
    idle = scrape()
    assert list_firing(tmp_path, idle, idle, idle, minutes=100) == set()


def test_a_busy_site_without_faults_is_silent(tmp_path):
    work()
    idle = scrape()
    add_attempts(400, True, band="critical")
    add_attempts(5, False)
    early = scrape()
    add_attempts(400, True, band="critical")
    add_attempts(5, False)
    add_deliveries(20)
    assert list_firing(tmp_path, idle, early, scrape()) == set()


def test_the_dashboard_asks_only_for_metrics_that_exist(tmp_path):
    work()
    add_attempts(1, True)
    add_attempts(1, False)
    open_circuit()
    Pause.objects.pause("log", "", timezone.now())
    NotificationLog.objects.append([NotificationLog(kind="drop", channel="log", sent_at=timezone.now())])
    exported = {name for name, _labels in scrape()}
    dashboard = json.loads((FILES / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert {name for text in expressions for name in re.findall(r"notification_\w+", text)} <= exported
    rules = [
        {"record": f"klaxon:panel{number}", "expr": text.replace("$__rate_interval", "5m").replace("$job", ".*")}
        for number, text in enumerate(expressions)
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    for checked in (path, RULES):
        done = subprocess.run(["promtool", "check", "rules", str(checked)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"notification_\w+", RULES.read_text())) <= exported
