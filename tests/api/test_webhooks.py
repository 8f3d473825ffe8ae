"""Webhook endpoints through the API: who reaches them, secrets that are shown once, and messages sent again."""

from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from notifications.core import clock
from notifications.models import Delivery, NotificationLog, WebhookAttempt, WebhookEndpoint
from notifications.webhooks import create_endpoint, set_enabled
from tests.api.conftest import Api, problem
from tests.channels.http_services import Answer, http_service
from tests.webhooks.conftest import OPTIONS, send, work
from tests.webhooks.conftest import site as webhook_events  # noqa: F401 - a fixture

pytestmark = [pytest.mark.needs("ninja", "requests_hardened"), pytest.mark.usefixtures("webhook_site")]
WHY = {"reason": "The receiver was down."}


@pytest.fixture
def webhook_site(webhook_events, settings):  # noqa: F811
    settings.NOTIFICATIONS = {
        "CHANNELS": {"webhook": {"OPTIONS": OPTIONS, "RETRY_DELAYS": []}},
        "BASE_URL": "https://shop.example.com",
        "API": {"THROTTLE": "", "ADDRESS_THROTTLE": ""},
    }


@pytest.fixture(scope="module")
def running_service():
    with http_service(Answer(204)) as service:
        yield service


@pytest.fixture
def service(running_service):
    running_service.reset()
    running_service.default = Answer(204)
    return running_service


@pytest.fixture
def created(staff, service):
    answer = staff.post("webhooks", {"url": f"{service.url}/hook", "description": "Shop", "events": ["order_shipped"]})
    assert answer.status_code == 201
    return answer.json()


@pytest.fixture
def path(created):
    return f"webhooks/{created['id']}"


def verify(secret, received):
    return Webhook(secret).verify(received.body, dict(received.headers))


def fail(service):
    """Let a message fail for good."""
    service.default = Answer(400)
    send()
    work()
    service.default = Answer(204)
    assert Delivery.objects.order_by("pk").last().state == "dead"


def list_calls(path):
    return (
        ("get", path, None),
        ("patch", path, {"description": "x"}),
        ("post", f"{path}/enable", None),
        ("post", f"{path}/disable", None),
        ("post", f"{path}/rotate", {}),
        ("post", f"{path}/test", None),
        ("post", f"{path}/replay", {"since": "2026-01-01T00:00:00Z", **WHY}),
        ("get", f"{path}/attempts", None),
        ("post", f"{path}/attempts/1/resend", WHY),
        ("delete", path, None),
    )


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_an_endpoint_is_added_and_its_secret_shown_once(staff, olga, service, cluster, kind):
    answer = staff.post("webhooks", {"url": f"{service.url}/new", "kind": kind})
    row = WebhookEndpoint.objects.get()
    assert (answer.status_code, row.owner, row.cluster, row.events, row.kind) == (201, olga, cluster, [], kind)
    created = answer.json()
    secret = created.pop("secret")
    assert secret.startswith("whsec_" if kind == "v1" else "whpk_")
    assert (created["owner"], created["cluster"]) == (str(olga.pk), str(cluster.pk))
    for other in (staff.get(f"webhooks/{row.uid}"), staff.get("webhooks"), staff.patch(f"webhooks/{row.uid}", {})):
        assert secret.encode() not in other.content
        assert row.secret.encode() not in other.content
    assert staff.get("webhooks").json()["items"] == [created] == [staff.get(f"webhooks/{row.uid}").json()]


@pytest.mark.parametrize(
    ("values", "location"),
    [
        ({"url": "http://10.0.0.1/"}, "body.url"), ({"url": "ftp://127.0.0.1/"}, "body.url"), ({"url": ""}, "body.url"),
        ({"events": ["nonsense"]}, None), ({"events": "order_shipped"}, "body.events"), ({"kind": "v2"}, "body.kind"),
        ({"description": "x" * 201}, "body.description"), ({"secret": "whsec_x"}, "body.secret"),
    ],
)  # fmt: skip
def test_an_endpoint_must_fit_the_site(staff, service, values, location):
    answer = staff.post("webhooks", {"url": f"{service.url}/new", **values})
    assert problem(answer) == (422, "invalid")
    assert [error["location"] for error in answer.json().get("errors", [])] == ([location] if location else [])
    assert not WebhookEndpoint.objects.exists()


def test_a_cluster_has_each_url_once(staff, service, created):
    answer = staff.post("webhooks", {"url": f"{service.url}/hook"})
    assert problem(answer) == (422, "invalid")
    assert "an endpoint with this URL already" in answer.json()["detail"]


def test_an_endpoint_is_changed_disabled_enabled_and_deleted(staff, path, created, service):
    changed = staff.patch(path, {"url": f"{service.url}/moved", "events": ["order_returned"]}).json()
    assert (changed["url"], changed["events"]) == (f"{service.url}/moved", ["order_returned"])
    assert changed["description"] == "Shop"
    assert problem(staff.patch(path, {"url": "http://10.0.0.1/"})) == (422, "invalid")
    assert staff.patch(path, {"description": "", "events": ["*"]}).json()["events"] == []
    off = staff.post(f"{path}/disable").json()
    assert (off["is_enabled"], off["disabled_reason"]) == (False, "person")
    assert problem(staff.post(f"{path}/test")) == (409, "conflict")
    on = staff.post(f"{path}/enable").json()
    assert (on["is_enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, "")
    assert staff.delete(path).status_code == 204
    assert not WebhookEndpoint.objects.exists()
    for method, place, body in list_calls(path):
        assert problem(staff.call(method, place, body)) == (404, "not-found")


def test_a_second_rotation_within_the_overlap_is_refused(staff, path, created, service):
    rotated = staff.post(f"{path}/rotate", {"overlap_hours": 1}).json()
    assert rotated["previous_until"] is not None
    answer = staff.post(f"{path}/rotate", {})
    assert problem(answer) == (409, "conflict")
    assert "was rotated already" in answer.json()["detail"]
    send()
    work()
    for secret in (created["secret"], rotated["secret"]):
        verify(secret, service.received[0])
    leaked = staff.post(f"{path}/rotate", {"overlap_hours": 0}).json()
    assert leaked["previous_until"] is None
    assert len({created["secret"], rotated["secret"], leaked["secret"]}) == 3
    for hours in (-1, 721, 0.5, "1"):
        assert problem(staff.post(f"{path}/rotate", {"overlap_hours": hours})) == (422, "invalid")


def test_a_test_message_arrives(staff, path, created, service):
    answer = staff.post(f"{path}/test")
    assert answer.status_code == 202
    assert staff.get(f"notifications/{answer.json()['notification']}").json()["event"] == "test_message"
    work()
    assert verify(created["secret"], service.received[0])["type"] == "test_message"
    [attempt] = staff.get(f"{path}/attempts").json()["items"]
    assert (attempt["status"], attempt["is_accepted"], attempt["can_be_resent"]) == (204, True, False)


def test_a_failed_message_is_sent_again_with_its_id(staff, olga, path, service):
    fail(service)
    [failed] = staff.get(f"{path}/attempts").json()["items"]
    assert (failed["status"], failed["can_be_resent"]) == (400, True)
    again = f"{path}/attempts/{failed['id']}/resend"
    assert problem(staff.post(again, {"reason": " "})) == (422, "invalid")
    assert staff.post(again, WHY).status_code == 202
    assert problem(staff.post(again, WHY)) == (409, "conflict")
    work()
    assert [one.headers["webhook-id"] for one in service.received] == [failed["message_id"]] * 2
    logged = NotificationLog.objects.get(kind=NotificationLog.Kind.RESENT)
    assert logged.error_message == f"by u:{olga.pk}: {WHY['reason']}"
    Delivery.objects.all().delete()
    assert problem(staff.post(again, WHY)) == (409, "conflict")


def test_failed_messages_since_a_time_are_replayed(staff, path, service):
    fail(service)
    fail(service)
    earlier, later = ((clock.now() + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
    assert staff.post(f"{path}/replay", {"since": later, **WHY}).json() == {"count": 0}
    answer = staff.post(f"{path}/replay", {"since": earlier, **WHY})
    assert (answer.status_code, answer.json()) == (202, {"count": 2})
    assert staff.post(f"{path}/replay", {"since": earlier, **WHY}).json() == {"count": 0}
    for since in ("0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "2026-01-01T00:00:00"):
        assert problem(staff.post(f"{path}/replay", {"since": since, **WHY})) == (422, "invalid")
    work()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


def test_endpoints_of_another_cluster_do_not_exist(staff, olga, issue, path, cluster, foreign, service):
    other = create_endpoint(foreign, f"{service.url}/other").endpoint
    limited = Api(token=issue(olga, clusters=[foreign]))
    for caller, place in ((staff, f"webhooks/{other.uid}"), (staff, "webhooks/ep_none"), (limited, path)):
        answers = [caller.call(method, target, body) for method, target, body in list_calls(place)]
        assert {problem(answer) for answer in answers} == {(404, "not-found")}
    assert problem(staff.get(f"webhooks?cluster={foreign.pk}")) == (404, "not-found")
    new = {"url": f"{service.url}/new", "cluster": str(foreign.pk)}
    assert problem(staff.post("webhooks", new)) == (404, "not-found")
    assert WebhookEndpoint.objects.count() == 2


def test_an_attempt_of_another_endpoint_does_not_exist(staff, path, foreign, service):
    fail(service)
    other = create_endpoint(None, f"{service.url}/other").endpoint
    attempt = WebhookAttempt.objects.get()
    answer = staff.post(f"webhooks/{other.uid}/attempts/{attempt.pk}/resend", WHY)
    assert problem(answer) == (404, "not-found")


def test_the_permission_and_the_scope_are_needed(api, olga, issue, path):
    reader = Api(token=issue(olga, "webhooks:read"))
    calls = [("get", "webhooks", None), ("post", "webhooks", {"url": "https://x.example"}), *list_calls(path)]
    for method, place, body in calls:
        assert problem(api.call(method, place, body)) == (403, "not-permitted")
        answer = reader.call(method, place, body)
        if method == "get":
            assert answer.status_code == 200
        else:
            assert problem(answer) == (403, "missing-scope")
    assert WebhookEndpoint.objects.count() == 1


@pytest.mark.parametrize("channels", [{"log": {}}, {"webhook": {"BACKEND": "notifications.channels.log.LogChannel"}}])
def test_a_site_without_the_channel_has_no_endpoints(staff, path, settings, channels):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": channels}
    for method, place, body in (("get", "webhooks", None), ("post", "webhooks", {"url": "https://x.example"})):
        assert problem(staff.call(method, place, body)) == (404, "not-found")
    assert problem(staff.get(path)) == (404, "not-found")


def test_lists_have_pages_and_a_constant_number_of_queries(
    staff, created, path, cluster, still_clock, django_assert_num_queries
):
    endpoint = WebhookEndpoint.objects.get()
    now = clock.now()
    WebhookAttempt.objects.bulk_create(
        WebhookAttempt(endpoint=endpoint, message_id=f"m{number}", event="order_shipped", at=now) for number in range(5)
    )
    WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(cluster=cluster, url=f"https://x.example/{number}", secret="whsec_x", created_at=now)  # noqa: S106
        for number in range(4)
    )
    set_enabled(endpoint, False)
    for place in ("webhooks", f"{path}/attempts"):
        found, cursor = [], ""
        while cursor is not None:
            page = staff.get(f"{place}?limit=2{f'&cursor={cursor}' if cursor else ''}").json()
            found += [row["id"] for row in page["items"]]
            cursor = page["next_cursor"]
        assert len(found) == len(set(found)) == 5
        assert problem(staff.get(f"{place}?cursor=x")) == (422, "invalid")
    for limit in (1, 5):
        with django_assert_num_queries(7):
            staff.get(f"webhooks?limit={limit}")
        with django_assert_num_queries(8):
            staff.get(f"{path}/attempts?limit={limit}")
