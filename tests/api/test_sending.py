"""Sending: the options of ``send()``, once for each key; what became of it; and sending again."""

import base64
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User

from notifications.core import clock
from notifications.models import Delivery, IdempotentRequest, Notification, NotificationLog, TopicSubscription
from notifications.models.idempotent_request import LEASE
from notifications.outcomes import DeliveryState
from tests.api.conftest import Api, problem

pytestmark = pytest.mark.needs("ninja")


@pytest.fixture
def send(staff, ann):
    """Send as Olga. Every call has a new key unless it names one."""
    number = iter(range(1000))

    def call(recipients=None, api=staff, key=None, event="message", **body):
        body.setdefault("context", {"message": "Hello", "title": None})
        content = {"event": event, "recipients": [{"user": str(ann.pk)}] if recipients is None else recipients, **body}
        return api.post("notifications", content, Idempotency_Key=key or f"key-{next(number)}")

    return call


def test_a_notification_is_queued_with_the_caller_as_its_actor(send, olga, ann):
    answer = send(level="warning", campaign="spring", topic="News", correlation_id="c-1", channels=["app"])
    assert answer.status_code == 202
    content = answer.json()
    assert (content["queued"], content["dropped"], content["is_refused"]) == (1, 0, False)
    row = Notification.objects.get(pk=content["id"])
    assert (row.actor, row.campaign, row.topic, row.correlation_id, row.priority) == (olga, "spring", "News", "c-1", 2)
    assert [(one.recipient, one.channel) for one in row.deliveries.all()] == [(ann, "app")]


def test_times_files_and_cancel_keys_are_passed_on(send):
    later = datetime(2040, 1, 1, 12, tzinfo=UTC)
    files = [{"name": "a.txt", "content": base64.b64encode(b"x").decode(), "mimetype": "text/plain"}]
    content = send(
        send_at="2040-01-01T13:00:00+01:00", expires_at="2040-02-01T00:00:00Z", cancel_key="k", attachments=files
    ).json()
    row = Notification.objects.get(pk=content["id"])
    assert (row.send_at, row.expires_at.year, row.cancel_key) == (later, 2040, "k")
    assert content["held"] > 0
    assert row.attachment_bytes > 0


def test_dates_of_a_context_are_texts(send):
    answer = send(event="order_shipped", context={"order_number": "7", "eta": "2030-05-04"})
    assert Notification.objects.get(pk=answer.json()["id"]).values["eta"] == date(2030, 5, 4)
    assert problem(send(event="order_shipped", context={"order_number": "7", "eta": "soon"})) == (422, "invalid")
    assert problem(send(event="order_shipped", context={"order_number": 7, "eta": None})) == (422, "invalid")


def test_recipients_of_all_kinds(send, ann, cluster):
    bob = User.objects.create_user("bob", "bob@example.com")
    Group.objects.create(name="guards").user_set.add(bob)
    TopicSubscription.objects.subscribe(bob, "news", cluster)
    for recipient, keys in (
        ({"group": "guards"}, {f"u:{bob.pk}"}),
        ({"topic": "News"}, {f"u:{bob.pk}"}),
        ({"user": str(ann.pk), "channels": ["app"]}, {f"u:{ann.pk}"}),
        ({"members": True}, {f"u:{user.pk}" for user in User.objects.all()}),
    ):
        answer = send([recipient]).json()
        assert set(Delivery.objects.filter(notification=answer["id"]).values_list("recipient_key", flat=True)) == keys
    answer = send([{"address": {"email": "contact@example.com"}}], channels=["email"]).json()
    assert Delivery.objects.get(notification=answer["id"]).address == "contact@example.com"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"event": "no_such_event"}, None),
        ({"recipients": [{"user": "999999"}]}, "body.recipients.0.user"),
        ({"recipients": [{"user": "abc"}]}, "body.recipients.0.user"),
        ({"recipients": [{"user": "9" * 60}]}, "body.recipients.0.user"),
        ({"recipients": [{"user": "1", "topic": "a"}]}, "body.recipients.0"),
        ({"recipients": [{}]}, "body.recipients.0"),
        ({"recipients": []}, "body.recipients"),
        ({"recipients": [{"group": "nobody"}]}, "body.recipients.0.group"),
        ({"recipients": [{"address": {"pigeon": "x"}}]}, None),
        ({"recipients": [{"members": False}]}, "body.recipients.0.members"),
        ({"recipients": [{"address": {"self": "x"}}]}, None),
        ({"channels": ["fax"]}, None),
        ({"level": "loud"}, "body.level"),
        ({"priority": True}, "body.priority"),
        ({"level": "info", "priority": 1}, None),
        ({"send_at": "2030-01-01T00:00:00"}, "body.send_at"),
        ({"send_at": "9999-01-01T00:00:00Z"}, "body.send_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "body.expires_at"),
        ({"send_at": "2040-01-02T00:00:00Z", "expires_at": "2040-01-01T00:00:00Z"}, None),
        ({"attachments": [{"name": "a", "content": "%"}]}, "body.attachments.0.content"),
        ({"context": {"message": 5, "title": None}}, None),
        ({"context": {}}, None),
        ({"actor": "1"}, "body.actor"),
    ],
)
def test_what_send_refuses_is_a_problem_and_nothing_is_queued(send, change, where):
    answer = send(**change)
    assert problem(answer) == (422, "invalid")
    if where:
        assert answer.json()["errors"][0]["location"] == where
    else:
        assert answer.json()["detail"]
    assert not Notification.objects.exists()
    assert not IdempotentRequest.objects.exists()


def test_a_critical_text_needs_the_permission_that_the_site_names(send, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CRITICAL_MESSAGE_PERMISSION": "auth.delete_user"}
    assert problem(send(event="critical_message")) == (403, "not-permitted")


@pytest.mark.parametrize(
    ("event", "context"),
    [
        ("magic_link", {"url": "https://evil.example"}),
        (" Webhook_Disabled ", {"endpoint": "x", "server": "x", "reason": "x", "action_url": "https://x.example"}),
        ("address_confirmation", {"title": "", "message": "", "action_url": "https://x.example", "action_label": ""}),
        ("test_message", {}),
        ("daily_digest", {"sections": []}),
    ],
)
def test_what_klaxon_sends_itself_is_not_sent_for_others(send, event, context):
    answer = send([{"address": {"email": "contact@example.com"}}], event=event, context=context)
    assert problem(answer) == (403, "not-permitted")
    assert not Notification.objects.exists()


def test_a_wrong_call_is_refused_even_if_the_site_only_logs_them(send, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ON_BAD_CALL": "log"}
    assert problem(send(event="no_such_event")) == (422, "invalid")
    assert not Notification.objects.exists()


def test_another_cluster_is_not_found(send, olga, ann, issue, foreign, cluster):
    assert problem(send(cluster=str(foreign.pk))) == (404, "not-found")
    limited = Api(token=issue(olga, clusters=[foreign]))
    assert problem(send(api=limited)) == (404, "not-found")
    foreign.members.add(olga, ann)
    assert send(api=limited).status_code == 202
    assert problem(send(api=limited, cluster=str(cluster.pk))) == (404, "not-found")
    assert {row.cluster for row in Notification.objects.all()} == {foreign}


def test_a_user_of_another_cluster_is_not_found(send, olga, ann, foreign):
    foreign.members.add(olga)
    answer = send([{"user": str(ann.pk)}], cluster=str(foreign.pk))
    missing = send([{"user": "999999"}], cluster=str(foreign.pk))
    assert problem(answer) == (422, "invalid")
    assert answer.json() == missing.json()


# The header Idempotency-Key


def test_the_header_is_required(staff, ann):
    body = {"event": "message", "recipients": [{"user": str(ann.pk)}], "context": {"message": "Hello", "title": None}}
    assert problem(staff.post("notifications", body)) == (400, "idempotency-key-missing")
    for key in (" ", "a b", '"', "ä", "x" * 201):
        assert problem(staff.post("notifications", body, Idempotency_Key=key))[0] == 400


def test_the_same_request_gives_the_same_answer_and_is_done_once(send):
    answers = {send(key=key).content for key in ("one", "one", '"one"')}
    assert len(answers) == 1
    assert Notification.objects.count() == 1


def test_another_request_with_the_key_is_refused(send, staff):
    first = send(key="one").json()
    assert problem(send(key="one", campaign="other")) == (422, "idempotency-key-reused")
    path = f"notifications/{first['id']}/resend"
    assert problem(staff.post(path, {"reason": "why"}, Idempotency_Key="one")) == (422, "idempotency-key-reused")


def test_a_key_belongs_to_its_caller(send, olga, issue):
    first = send(key="one").json()
    second = send(key="one", api=Api(token=issue(olga))).json()
    assert first["id"] != second["id"]


def test_a_request_that_fails_changes_nothing_and_releases_its_key(send, monkeypatch):
    assert problem(send(key="one", event="no_such_event"))[0] == 422

    def fail(*args, **kwargs):
        Notification.objects.update(campaign="half done")
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("notifications.api.operations.sending.Sent", fail)
        assert problem(send(key="one")) == (500, "internal")
    assert not Notification.objects.exists()
    assert send(key="one").status_code == 202


def test_a_running_request_is_not_repeated_and_an_interrupted_one_does_not_run_for_ever(send):
    send(key="one")
    # As if the process had been killed before its answer.
    Notification.objects.all().delete()
    IdempotentRequest.objects.update(status=None, body="")
    running = send(key="one")
    assert problem(running) == (409, "idempotency-key-running")
    assert running.headers["Retry-After"] == "1"
    later = clock.now() + LEASE + timedelta(seconds=1)
    with clock.override(lambda: later):
        assert send(key="one").status_code == 202
    assert Notification.objects.count() == 1


def test_a_request_that_was_overtaken_is_rolled_back(send, monkeypatch):
    from notifications.api.operations import sending

    original = sending.Sent

    def overtake(**values):
        IdempotentRequest.objects.update(owner="somebody else")
        return original(**values)

    monkeypatch.setattr(sending, "Sent", overtake)
    assert problem(send(key="one")) == (409, "idempotency-key-running")
    assert not Notification.objects.exists()


def test_answers_are_kept_for_their_time_and_then_deleted(send):
    first = send(key="one").json()
    later = clock.now() + timedelta(days=1, seconds=1)
    with clock.override(lambda: later):
        assert send(key="one").json()["id"] != first["id"]
    assert IdempotentRequest.objects.delete_expired(later) == 0
    assert IdempotentRequest.objects.delete_expired(later + timedelta(days=2)) == 1


def test_who_has_lost_the_cluster_does_not_get_the_stored_answer(send, olga, ann, foreign):
    foreign.members.add(olga, ann)
    assert send(key="one", cluster=str(foreign.pk)).status_code == 202
    foreign.members.remove(olga)
    assert problem(send(key="one", cluster=str(foreign.pk))) == (404, "not-found")


# Status


def test_the_status_counts_deliveries_and_drops(send, staff, ann):
    bob = User.objects.create_user("bob", is_active=False)
    Group.objects.create(name="both").user_set.add(ann, bob)
    sent = send([{"group": "both"}], channels=["app"]).json()
    assert sent["reasons"] == {"inactive": 1}
    status = staff.get(f"notifications/{sent['id']}").json()
    assert (status["states"], status["dropped"]) == ({"ready": 1}, {"inactive": 1})
    rows = staff.get(f"notifications/{sent['id']}/deliveries").json()["items"]
    assert [(row["recipient"], row["state"], row["reason"]) for row in rows] == [
        (f"u:{ann.pk}", "ready", ""),
        (f"u:{bob.pk}", "dropped", "inactive"),
    ]


def test_addresses_are_masked(send, staff):
    sent = send([{"address": {"email": "contact@example.com"}}], channels=["email"]).json()
    answer = staff.get(f"notifications/{sent['id']}/deliveries")
    assert "contact@example.com" not in answer.content.decode()
    assert answer.json()["items"][0]["address"].endswith("example.com")


def test_pages_of_deliveries_continue_with_drops(send, staff, ann):
    users = [User.objects.create_user(f"u{number}", is_active=number % 2 == 0) for number in range(8)]
    Group.objects.create(name="all").user_set.add(*users)
    sent = send([{"group": "all"}], channels=["app"]).json()
    found, cursor = [], ""
    while cursor is not None:
        page = staff.get(f"notifications/{sent['id']}/deliveries?limit=3{f'&cursor={cursor}' if cursor else ''}").json()
        found += [row["recipient"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(found) == sorted(f"u:{user.pk}" for user in users)


def test_only_its_actor_and_who_may_view_notifications_see_a_status(send, olga, ann, issue, foreign, staff):
    sent = send().json()
    path = f"notifications/{sent['id']}"
    assert problem(Api(ann).get(path)) == (404, "not-found")
    assert problem(Api(ann).get(f"{path}/deliveries")) == (404, "not-found")
    assert problem(Api(token=issue(olga, clusters=[foreign])).get(path)) == (404, "not-found")
    Notification.objects.update(actor=ann)
    assert Api(ann).get(path).status_code == 200
    olga.user_permissions.clear()
    assert problem(Api(olga).get(path)) == (404, "not-found")


def test_the_content_of_a_notification_is_not_in_its_status(send, staff):
    sent = send(context={"message": "the secret text", "title": None}).json()
    for path in ("", "/deliveries"):
        assert b"the secret text" not in staff.get(f"notifications/{sent['id']}{path}").content


def test_a_status_takes_a_constant_number_of_queries(send, staff, ann, still_clock, django_assert_num_queries):
    users = [User.objects.create_user(f"u{number}") for number in range(30)]
    Group.objects.create(name="all").user_set.add(*users)
    one, many = send(channels=["app"]).json()["id"], send([{"group": "all"}], channels=["app"]).json()["id"]
    for pk in (one, many):
        with django_assert_num_queries(7):
            staff.get(f"notifications/{pk}")
        with django_assert_num_queries(7):
            staff.get(f"notifications/{pk}/deliveries")


# Sending again


def test_dead_deliveries_are_sent_again_with_a_reason(send, staff, olga):
    sent = send(channels=["app", "log"]).json()
    path = f"notifications/{sent['id']}/resend"
    assert problem(staff.post(path, {"reason": "why"}, Idempotency_Key="r1")) == (409, "conflict")
    Delivery.objects.update(state=DeliveryState.DEAD)
    first, second = Delivery.objects.order_by("pk")
    answer = staff.post(path, {"reason": "Outage is over", "deliveries": [first.pk]}, Idempotency_Key="r2")
    assert (answer.status_code, answer.json()) == (202, {"deliveries": [first.pk], "has_more": False})
    assert staff.post(path, {"reason": "All"}, Idempotency_Key="r3").json()["deliveries"] == [second.pk]
    # The same request again does not start another round.
    Delivery.objects.update(state=DeliveryState.DEAD)
    assert staff.post(path, {"reason": "All"}, Idempotency_Key="r3").json()["deliveries"] == [second.pk]
    assert Delivery.objects.filter(state=DeliveryState.DEAD).count() == 2
    log = NotificationLog.objects.filter(kind=NotificationLog.Kind.RESENT).order_by("pk").first()
    assert log.error_message == f"by u:{olga.pk}: Outage is over"


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": None}])
def test_sending_again_needs_a_reason(send, staff, body):
    sent = send().json()
    answer = staff.post(f"notifications/{sent['id']}/resend", body, Idempotency_Key="r")
    assert problem(answer) == (422, "invalid")


def test_sending_again_needs_the_permission_the_header_and_the_cluster(send, staff, api, olga, issue, foreign):
    sent = send().json()
    path = f"notifications/{sent['id']}/resend"
    Delivery.objects.update(state=DeliveryState.DEAD)
    assert problem(api.post(path, {"reason": "why"}, Idempotency_Key="r")) == (403, "not-permitted")
    assert problem(staff.post(path, {"reason": "why"})) == (400, "idempotency-key-missing")
    limited = Api(token=issue(olga, clusters=[foreign]))
    assert problem(limited.post(path, {"reason": "why"}, Idempotency_Key="r")) == (404, "not-found")
    assert Delivery.objects.filter(state=DeliveryState.DEAD).exists()
