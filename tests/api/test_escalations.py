"""Escalations and rotas: who may read and change them, and what repeating a request does."""

from datetime import date, time, timedelta

import pytest
from django.contrib.auth.models import User

from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, EscalationRun, Notification, Rota
from tests.api.conftest import Api, problem
from tests.escalation.events import Alarms, make_event

pytestmark = [pytest.mark.needs("ninja"), pytest.mark.django_db]
KEY = {"Idempotency_Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
def event(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"log": {}, "email": {}}}
    with NOTIFICATION_EVENTS.restored():
        NOTIFICATION_EVENTS[Alarms.PUMP] = make_event()
        yield


@pytest.fixture
def run(event, ann):
    User.objects.create_user("supervisor", "supervisor@example.com")
    return send(ann).escalation_run


def send(user, **options):
    context = {"message": "Pump 3 has stopped.", "title": None}
    result = NotificationManager.send(Alarms.PUMP, [user], context=context, **options)
    return Notification.objects.get(pk=result.notification_id)


def test_escalations_are_listed_by_state(staff, run, ann):
    acknowledged = send(ann)
    NotificationManager.acknowledge(acknowledged, ann)
    [item] = staff.get("escalations").json()["items"]
    assert (item["id"], item["state"], item["next_step"], item["cluster"]) == (
        *(run.pk, "active", 1, str(run.notification.cluster_id)),
    )
    [item] = staff.get("escalations?state=acknowledged").json()["items"]
    assert (item["notification"], item["acknowledged_by"]) == (acknowledged.pk, str(ann.pk))
    first = staff.get("escalations?state=all&limit=1").json()
    [last] = staff.get(f"escalations?state=all&limit=1&cursor={first['next_cursor']}").json()["items"]
    assert last["id"] == run.pk
    assert problem(staff.get("escalations?state=lost")) == (422, "invalid")


def test_an_escalation_is_shown_with_its_steps_and_history(staff, run):
    found = staff.get(f"escalations/{run.pk}").json()
    assert [(step["step"], step["is_sent"]) for step in found["steps"]] == [(n, False) for n in (1, 2, 3, 3, 3)]
    assert found["steps"][0]["at"] == found["due_at"]
    assert "office@" not in str(found["steps"])
    assert [entry["kind"] for entry in found["entries"]] == ["started"]


def test_what_people_do_changes_it_once(api, run, ann):
    """Ann is a recipient without any permission."""
    until = clock.now() + timedelta(hours=2)
    place, boss = f"escalations/{run.pk}", User.objects.get(username="supervisor")
    for _ in range(2):
        assert api.post(f"{place}/escalate", {}, **KEY).json()["next_step"] == 2
    for _ in range(2):
        assert api.post(f"{place}/hand-over", {"to": str(boss.pk), "reason": "No car."}).status_code == 200
    for _ in range(2):
        assert api.post(f"{place}/snooze", {"until": until.isoformat()}).status_code == 200
    for _ in range(2):
        assert api.post(f"{place}/acknowledge").json()["acknowledged_by"] == str(ann.pk)
    for _ in range(2):
        assert api.post(f"{place}/resolve", {"reason": "It runs."}).json()["state"] == "resolved"
    kinds = list(run.entries.values_list("kind", flat=True))
    assert kinds == ["started", "by_hand", "sent", "handed_over", "snoozed", "acknowledged", "resolved"]
    assert Delivery.objects.filter(notification__escalates=run.notification_id).count() == 4


def test_values_must_fit(api, run, foreign):
    place = f"escalations/{run.pk}"
    stranger = User.objects.create_user("stranger", is_active=False)
    for to in ("999999", "nobody", "1_0"):
        answer = api.post(f"{place}/hand-over", {"to": to})
        assert problem(answer) == (422, "invalid")
        assert answer.json()["errors"][0]["location"] == "body.to"
    assert problem(api.post(f"{place}/hand-over", {"to": str(stranger.pk)})) == (422, "invalid")
    assert problem(api.post(f"{place}/snooze", {"until": "2020-01-01T00:00:00Z"})) == (422, "invalid")
    assert problem(api.post(f"{place}/escalate", {})) == (400, "idempotency-key-missing")
    assert list(run.entries.values_list("kind", flat=True)) == ["started"]


def test_a_notification_is_escalated_by_hand(staff, event, ann):
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=None)
    notification = send(ann)
    body = {"notification": notification.pk, "reason": "Smoke."}
    first, second = (staff.post("escalations", body, **KEY) for _ in range(2))
    assert (first.status_code, first.content) == (201, second.content)
    assert EscalationRun.objects.get().entries.filter(kind="by_hand").count() == 1
    assert problem(staff.post("escalations", {"notification": 999_999}, Idempotency_Key="k2")) == (404, "not-found")


def test_strangers_and_keys_for_little_are_refused(run, olga, issue, foreign, api):
    stranger = Api(User.objects.create_user("stranger"))
    place = f"escalations/{run.pk}"
    calls = [(f"{place}/acknowledge", None), (f"{place}/resolve", {}), (f"{place}/escalate", {})]
    calls += [(f"{place}/hand-over", {"to": "1"}), (f"{place}/snooze", {"until": "2030-01-01T00:00:00Z"})]
    calls += [("escalations", {"notification": run.notification_id})]
    for number, (path, body) in enumerate(calls):
        key = {"Idempotency_Key": f"k{number}"}
        answer = stranger.post(path, body, **key)
        assert problem(answer) == (403, "not-permitted")
        assert "pump" not in answer.content.decode()
        assert problem(Api(token=issue(olga, "escalations:read")).post(path, body, **key)) == (403, "missing-scope")
        assert problem(Api(token=issue(olga, clusters=[foreign])).post(path, body, **key)) == (404, "not-found")
    for path in ("escalations", place):
        assert problem(api.get(path)) == (403, "not-permitted")
    assert problem(Api(token=issue(olga, clusters=[foreign])).get(place)) == (404, "not-found")
    assert list(run.entries.values_list("kind", flat=True)) == ["started"]


def test_rotas_say_who_is_on_call(api, ann, foreign):
    rota = Rota.objects.create(cluster=Cluster.objects.default(), key="surgery", name="Surgery", time_zone="UTC")
    Rota.objects.create(cluster=foreign, key="x", name="X", time_zone="UTC")
    layer = rota.layers.create(starts_on=date(2020, 1, 1), hand_over=time(8), turn_days=1)
    for number, user in enumerate((ann, User.objects.create_user("ben", first_name="Ben"))):
        layer.members.create(user=user, order=number)
    [found] = api.get("rotas").json()["items"]
    assert {found["now"]["name"], found["next"]["name"]} == {"ann", "Ben"}
    assert found["now"]["end"] == found["next"]["start"]
    assert api.get(f"rotas/{rota.pk}/gaps").json()["items"] == []
    layer.delete()
    [gap] = api.get(f"rotas/{rota.pk}/gaps?days=7").json()["items"]
    assert (gap["source"], gap["user"]) == ("gap", None)
    assert api.get("rotas").json()["items"][0]["next"] is None
    assert problem(api.get(f"rotas/{Rota.objects.get(key='x').pk}/gaps")) == (404, "not-found")
    assert problem(api.get(f"rotas?cluster={foreign.pk}")) == (404, "not-found")
