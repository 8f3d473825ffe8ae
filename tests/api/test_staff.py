"""What staff do: templates, suppressions, figures, and the state of the queue."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from notifications.core import clock
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, Heartbeat, Pause, StaffTemplate, Suppression, TrackingFigure
from notifications.outcomes import DeliveryState
from tests.api.conftest import Api, problem
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.needs("ninja")
ORDER = {"order_number": "7", "eta": None}


@pytest.fixture
def boss(db):
    """A superuser reaches all clusters."""
    return Api(User.objects.create_superuser("boss"))


def add_template(api, **values):
    return api.post("templates", {"event": "order_shipped", "channel": "email", **values})


@pytest.mark.needs("jinja2")
def test_a_template_is_written_published_and_withdrawn(staff, olga):
    template = add_template(staff, language="de_AT").json()
    assert (template["language"], template["latest_version"], template["published_version"]) == ("de-at", 0, 0)
    path = f"templates/{template['id']}"
    texts = {"subject": "Order {{ order_number }}", "html": "<p>On its way.</p>", "text": "On its way."}
    first = staff.post(f"{path}/versions", {**texts, "expected_version": 0})
    assert (first.status_code, first.json()["number"], first.json()["author"]) == (201, 1, str(olga.pk))
    assert problem(staff.post(f"{path}/versions", {"text": "x", "expected_version": 0})) == (409, "conflict")
    staff.post(f"{path}/versions", {**texts, "text": "Soon.", "expected_version": 1})
    assert staff.post(f"{path}/publish", {"version": 2, "expected_version": 0}).json()["published_version"] == 2
    assert problem(staff.post(f"{path}/publish", {"version": 1, "expected_version": 0})) == (409, "conflict")
    assert staff.post(f"{path}/publish", {"version": 1, "expected_version": 2}).json()["published_version"] == 1
    versions = staff.get(f"{path}/versions").json()["items"]
    assert [(one["number"], one["is_published"]) for one in versions] == [(2, False), (1, True)]
    assert problem(staff.post(f"{path}/publish", {"version": 9, "expected_version": 1})) == (422, "invalid")
    assert problem(staff.post(f"{path}/unpublish", {"expected_version": 2})) == (409, "conflict")
    assert staff.post(f"{path}/unpublish", {"expected_version": 1}).json()["published_version"] == 0
    assert staff.get("templates").json()["items"][0]["latest_version"] == 2


@pytest.mark.needs("jinja2")
def test_the_gate_refuses_what_would_break(staff):
    path = f"templates/{add_template(staff).json()['id']}"
    answer = staff.post(f"{path}/versions", {"html": "{% if %}", "expected_version": 0})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["location"] == "body.html"
    staff.post(f"{path}/versions", {"subject": "{{ 1 // 0 }}", "text": "x", "html": "x", "expected_version": 0})
    answer = staff.post(f"{path}/publish", {"version": 1, "expected_version": 0})
    assert problem(answer) == (409, "conflict")
    assert answer.json()["errors"]
    assert StaffTemplate.objects.get().published is None


@pytest.mark.parametrize(
    "values", [{"event": "nonsense"}, {"channel": "sms"}, {"language": "!"}, {"event": "daily_digest"}, {"cluster": ""}]
)
def test_a_template_must_fit_the_site(staff, values):
    assert problem(add_template(staff, **values)) == (422, "invalid")


def test_a_place_has_one_template(staff, cluster):
    assert add_template(staff).status_code == 201
    assert problem(add_template(staff)) == (409, "conflict")
    assert add_template(staff, cluster=str(cluster.pk)).status_code == 201


def test_what_concerns_all_clusters_is_for_those_who_reach_all(staff, boss, olga, foreign, cluster, issue):
    """There are two clusters now, and Olga is a member of one."""
    assert problem(add_template(staff)) == (403, "not-permitted")
    assert problem(staff.get("admin/overview")) == (403, "not-permitted")
    assert problem(staff.get("health/status")) == (403, "not-permitted")
    new = {"kind": "email", "address": "a@example.com", "reason": "x", "all_clusters": True}
    assert problem(staff.post("suppressions", new)) == (403, "not-permitted")
    assert add_template(boss).status_code == 201
    template = StaffTemplate.objects.get()
    assert staff.get(f"templates/{template.pk}").status_code == 200
    body = {"text": "x", "expected_version": 0}
    assert problem(staff.post(f"templates/{template.pk}/versions", body)) == (403, "not-permitted")
    limited = Api(token=issue(User.objects.get(username="boss"), clusters=[cluster]))
    assert problem(limited.get("admin/overview")) == (403, "not-permitted")


def test_templates_and_suppressions_of_another_cluster_do_not_exist(staff, boss, foreign):
    template = add_template(boss, cluster=str(foreign.pk)).json()
    new = {"kind": "email", "address": "a@example.com", "reason": "x", "cluster": str(foreign.pk)}
    suppression = boss.post("suppressions", new).json()
    missing = staff.get("templates/999999").json()
    for path, body in (
        (f"templates/{template['id']}/versions", {"text": "x", "expected_version": 0}),
        (f"templates/{template['id']}/unpublish", {"expected_version": 1}),
        (f"suppressions/{suppression['id']}/lift", {"reason": "x"}),
    ):
        # Every word is the same, so nobody learns that it exists.
        assert staff.post(path, body).json() == missing
    assert staff.get(f"templates/{template['id']}").json() == missing
    for answer in (
        staff.get(f"templates/{template['id']}"),
        staff.get(f"templates/{template['id']}/versions"),
        staff.post(f"templates/{template['id']}/publish", {"version": 1, "expected_version": 0}),
        staff.get(f"templates?cluster={foreign.pk}"),
        staff.post(f"suppressions/{suppression['id']}/lift", {"reason": "x"}),
        staff.get(f"suppressions?cluster={foreign.pk}"),
        staff.post("suppressions", new),
        staff.get(f"analytics/summary?cluster={foreign.pk}"),
    ):
        assert problem(answer) == (404, "not-found")
    assert staff.get("templates").json()["items"] == staff.get("suppressions").json()["items"] == []


def test_lists_of_staff_have_pages_and_a_constant_number_of_queries(
    staff, cluster, still_clock, django_assert_num_queries
):
    rows = [StaffTemplate(event="order_shipped", channel="email", language=f"x{n}", cluster=cluster) for n in range(7)]
    StaffTemplate.objects.bulk_create(rows)
    found, cursor = [], ""
    while cursor is not None:
        page = staff.get(f"templates?limit=3{f'&cursor={cursor}' if cursor else ''}").json()
        found += [row["language"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert found == [f"x{n}" for n in reversed(range(7))]
    for limit in (1, 7):
        with django_assert_num_queries(8):
            staff.get(f"templates?limit={limit}")
        with django_assert_num_queries(7):
            staff.get(f"suppressions?limit={limit}")


def test_an_address_is_suppressed_found_and_lifted(staff, olga, cluster):
    new = {"kind": "email", "address": " Gone@Example.com ", "reason": "asked by gone@example.com"}
    answer = staff.post("suppressions", new)
    row = answer.json()
    assert (answer.status_code, row["reason"], row["is_active"]) == (201, "manual", True)
    assert row["cluster"] == str(cluster.pk)
    assert row["address"] == row["address"].strip()
    assert b"gone@example.com" not in answer.content.lower()
    assert staff.post("suppressions", new).json()["id"] == row["id"]
    assert [one["id"] for one in staff.get("suppressions?address=gone@example.com").json()["items"]] == [row["id"]]
    assert staff.get("suppressions?address=other@example.com").json()["items"] == []
    result = NotificationManager.send_notification("Hi", recipients=[User.objects.create_user("g", "gone@example.com")])
    assert result.reasons["suppressed"] == 1
    lifted = staff.post(f"suppressions/{row['id']}/lift", {"reason": "It is back"}).json()
    assert (lifted["is_active"], lifted["lift_note"]) == (False, "It is back")
    assert Suppression.objects.get().lifted_by == olga
    assert problem(staff.post(f"suppressions/{row['id']}/lift", {"reason": "again"})) == (409, "conflict")
    assert problem(staff.post(f"suppressions/{row['id']}/lift", {"reason": " "})) == (422, "invalid")


@pytest.mark.parametrize(
    "values", [{"kind": "pigeon"}, {"address": "nonsense"}, {"reason": ""}, {"address": "a\nb@example.com"}]
)
def test_a_suppression_must_be_usable(staff, values):
    new = {"kind": "email", "address": "a@example.com", "reason": "x", **values}
    assert problem(staff.post("suppressions", new)) == (422, "invalid")


def test_a_summary_counts_attempts_and_drops(staff, ann, cluster):
    from notifications.delivering.dispatcher import Dispatcher

    gone = User.objects.create_user("gone", is_active=False)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann, gone], context=ORDER)
    Dispatcher().run_until_idle()
    TrackingFigure.objects.create(
        day=clock.now().date(), cluster=cluster, event="order_shipped", metric="opened", count=5
    )
    summary = staff.get("analytics/summary").json()
    assert (summary["succeeded"], summary["failed"], summary["success_rate"]) == (2, 0, 1.0)
    assert [one["channel"] for one in summary["channels"]] == ["app", "email"]
    assert (summary["dropped"], summary["tracked"]) == ({"inactive": 2}, {"opened": 5})
    assert summary["is_complete"] is True
    later = (clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    end = (clock.now() + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert staff.get(f"analytics/summary?start={later}&end={end}").json()["succeeded"] == 0
    assert staff.get("analytics/summary?window=1h").json()["succeeded"] == 2


def test_a_summary_of_very_many_rows_says_that_it_is_incomplete(staff, ann, monkeypatch):
    from notifications.delivering.dispatcher import Dispatcher

    monkeypatch.setattr("notifications.storage.log_summary.MAX_ROWS", 1)
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], context=ORDER)
    Dispatcher().run_until_idle()
    summary = staff.get("analytics/summary").json()
    assert (summary["succeeded"], summary["is_complete"]) == (1, False)
    assert summary["counted_from"] > summary["start"]


@pytest.mark.parametrize(
    "query",
    [
        "window=2h", "window=1h&start=2030-01-01T00:00:00Z", "end=2030-01-01T00:00:00Z", "start=2030-01-01T00:00:00",
        "start=2030-01-02T00:00:00Z&end=2030-01-01T00:00:00Z", "start=2020-01-01T00:00:00Z&end=2030-01-01T00:00:00Z",
        "start=0001-01-01T00:00:00Z", "start=2030-01-01T00:00:00Z&end=9999-12-31T23:59:59-12:00", "start=5",
    ],
)  # fmt: skip
def test_a_time_without_sense_is_refused(staff, query):
    assert problem(staff.get(f"analytics/summary?{query}")) == (422, "invalid")


def test_the_overview_shows_queue_circuits_pauses_and_workers(staff, ann):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], context=ORDER)
    first, second = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=first.pk).update(state=DeliveryState.DEAD)
    now = clock.now()
    Circuit.objects.create(
        key="email/smtp", failures=5, opened_at=now, open_until=now + timedelta(minutes=1), error="refused"
    )
    Circuit.objects.create(key="app")
    Pause.objects.create(channel="sms", since=now, note="Invoice")
    Heartbeat.objects.beat("web1:1:a", "web1", 1, now)
    Heartbeat.objects.beat("web2:1:a", "web2", 1, now - timedelta(minutes=5))
    found = staff.get("admin/overview").json()
    assert found["depth"]["ready"] == {"critical": 0, "high": 0, "medium": 1, "low": 0}
    assert (found["dead"], found["is_bounded"]) == (1, False)
    assert found["oldest_ready_at"][:19] == second.notification.created_at.isoformat()[:19]
    assert [one["provider"] for one in found["circuits"]] == ["email/smtp"]
    assert [one["channel"] for one in found["pauses"]] == ["sms"]
    assert {one["host"]: one["is_alive"] for one in found["workers"]} == {"web1": True, "web2": False}
    health = staff.get("health/status").json()
    assert health["status"] == "degraded"
    assert {one["name"] for one in health["components"] if not one["is_healthy"]} == {"pauses", "providers"}


def test_an_idle_system_with_a_worker_is_healthy_and_one_without_is_not(staff):
    assert staff.get("health/status").json()["status"] == "degraded"
    Heartbeat.objects.beat("web1:1:a", "web1", 1, clock.now())
    assert staff.get("health/status").json()["status"] == "healthy"
    assert staff.get("admin/overview").json()["oldest_due_at"] is None


def test_the_overview_takes_a_constant_number_of_queries(staff, ann, cluster, still_clock, django_assert_num_queries):
    with django_assert_num_queries(13):
        staff.get("admin/overview")
    for _ in range(5):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], context=ORDER)
    with django_assert_num_queries(13):
        staff.get("admin/overview")
