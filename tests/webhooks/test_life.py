"""Five days of failures, and what is sent again afterwards; answers that never end."""

import gzip
import time
from datetime import timedelta

import pytest

from notifications import signals
from notifications.channels.webhook import WebhookChannel
from notifications.events import BuiltInEvents
from notifications.exceptions import InvalidOption
from notifications.models import Delivery, Notification, NotificationLog, WebhookAttempt, WebhookEndpoint
from notifications.testing.travel import travelling
from notifications.webhooks import list_attempts, replay_failed, send_again, set_enabled
from tests.channels.http_services import Answer
from tests.factories import ClusterFactory, UserFactory
from tests.webhooks.conftest import OPTIONS, make_due, send, work

pytestmark = [pytest.mark.django_db, pytest.mark.needs("requests_hardened", "standardwebhooks")]
WARNING = BuiltInEvents.WEBHOOK_DISABLED.value


def live(clock, days, hours=8):
    """Send a notification every few hours, and let a worker do what is due."""
    end = clock.time + timedelta(days=days)
    while clock.time < end:
        send()
        for _ in range(2):
            clock.forward(hours=hours / 2)
            work(2)


def test_after_five_days_of_failures_only_the_endpoint_is_disabled_once_and_the_replay_is_exact(
    service, endpoint, owner, mailoutbox
):
    disabled = []
    signals.webhook_endpoint_disabled.connect(lambda endpoint, **kwargs: disabled.append(endpoint.uid), weak=False)
    with travelling() as clock:
        live(clock, 1)
        accepted = {received.headers["webhook-id"] for received in service.received}
        assert len(accepted) == 3
        began = clock.time
        service.default = Answer(500)
        live(clock, 4.9)
        endpoint.refresh_from_db()
        assert endpoint.enabled
        assert timedelta() <= endpoint.failing_since - began <= timedelta(hours=8)
        live(clock, 2)
        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.disabled_reason) == (False, "failing")
        assert timedelta(days=5) <= endpoint.disabled_at - endpoint.failing_since <= timedelta(days=5, hours=12)
        assert disabled == [endpoint.uid]
        assert Notification.objects.filter(event=WARNING).count() == 1
        work()
        assert [mail.to for mail in mailoutbox] == [[owner.email]]
        waiting = Delivery.objects.filter(channel="webhook").exclude(state__in=("sent", "dead"))
        assert not waiting.exists()
        failed = set(
            Delivery.objects.filter(channel="webhook", state="dead").values_list("provider_message_id", flat=True)
        )
        dead = Delivery.objects.filter(state="dead", channel="webhook").count()
        assert dead >= 15

        with pytest.raises(InvalidOption, match="disabled"):
            replay_failed(endpoint, began, "after the repair")
        service.default = Answer(204)
        set_enabled(endpoint, True)
        service.received.clear()
        assert replay_failed(endpoint, began, "after the repair", owner) == dead
        assert replay_failed(endpoint, began, "after the repair", owner) == 0
        clock.forward(seconds=2)
        work(3)
        again = [received.headers["webhook-id"] for received in service.received]
        assert len(again) == len(set(again)) == dead
        assert set(again) >= failed - {""}
        assert not set(again) & accepted
        assert {row.state for row in Delivery.objects.filter(channel="webhook")} == {"sent"}
        assert NotificationLog.objects.filter(kind=NotificationLog.Kind.RESENT).count() == dead
        endpoint.refresh_from_db()
        assert endpoint.failing_since is None
        assert len(disabled) == 1


@pytest.mark.one_database
def test_one_success_in_between_is_enough(service, endpoint):
    with travelling() as clock:
        service.default = Answer(500)
        live(clock, 4)
        service.default = Answer(204)
        live(clock, 0.5)
        service.default = Answer(500)
        live(clock, 4)
    endpoint.refresh_from_db()
    assert endpoint.enabled


def fail_often(endpoint):
    """Let an endpoint have failed often enough to be disabled at the next failure."""
    one = {"endpoint": endpoint, "message_id": "msg_1", "event": "order_shipped", "at": endpoint.created_at}
    WebhookAttempt.objects.bulk_create(WebhookAttempt(**one) for _ in range(5))


def test_two_workers_disable_it_once(service, endpoint):
    fail_often(endpoint)
    now = endpoint.created_at
    rows = WebhookEndpoint.objects
    rows.record_failure(endpoint.pk, now, timedelta(days=5))
    later = now + timedelta(days=5)
    assert [rows.record_failure(endpoint.pk, later, timedelta(days=5)) for _ in range(3)] == [True, False, False]
    assert Notification.objects.filter(event=WARNING).count() == 1


@pytest.mark.parametrize("who", ["nobody", "inactive", "gone from the cluster"])
def test_if_the_owner_cannot_be_told_somebody_else_is(service, endpoint, owner, who, settings, django_user_model):
    other = UserFactory(username="operator")
    if who == "nobody":
        owner.delete()
    elif who == "inactive":
        django_user_model.objects.filter(pk=owner.pk).update(is_active=False)
    else:
        WebhookEndpoint.objects.update(cluster=ClusterFactory(members=[other]))
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MESSAGE_RECIPIENTS": f"{__name__}.get_operators"}
    endpoint.refresh_from_db()
    fail_often(endpoint)
    WebhookEndpoint.objects.record_failure(endpoint.pk, endpoint.created_at, timedelta())
    assert {row.recipient for row in Delivery.objects.filter(notification__event=WARNING)} == {other}


def get_operators(cluster):
    from django.contrib.auth.models import User

    return User.objects.filter(username="operator")


def test_if_nobody_can_be_told_the_log_says_so(service, endpoint, owner, caplog):
    owner.delete()
    fail_often(endpoint)
    WebhookEndpoint.objects.record_failure(endpoint.pk, endpoint.created_at, timedelta())
    endpoint.refresh_from_db()
    assert not endpoint.enabled
    assert "nobody is informed" in caplog.text


def test_a_wrong_setting_does_not_keep_the_endpoint_enabled(service, endpoint, owner, settings, caplog):
    owner.delete()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MESSAGE_RECIPIENTS": "No such group"}
    fail_often(endpoint)
    WebhookEndpoint.objects.record_failure(endpoint.pk, endpoint.created_at, timedelta())
    endpoint.refresh_from_db()
    assert not endpoint.enabled
    assert "Nobody could be informed" in caplog.text


def test_a_failed_message_can_be_sent_again_with_its_own_id(service, endpoint, owner):
    service.answers = [Answer(410)]
    send()
    work()
    delivery = Delivery.objects.get(channel="webhook")
    with pytest.raises(InvalidOption, match="disabled"):
        send_again(endpoint, delivery.pk, "repaired")
    set_enabled(endpoint, True)
    send_again(endpoint, delivery.pk, "repaired", owner)
    work()
    first, second = service.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    with pytest.raises(InvalidOption, match="sent; only"):
        send_again(endpoint, delivery.pk, "again")
    with pytest.raises(InvalidOption, match="not exist"):
        send_again(endpoint, delivery.pk + 1000, "again")
    assert [attempt.status for attempt in list_attempts(endpoint)] == [204, 410]


def test_a_replay_leaves_other_endpoints_and_times_alone(service, endpoint):
    from notifications.webhooks import create_endpoint

    other = create_endpoint(None, f"{service.url}/other").endpoint
    with travelling() as clock:
        moments = []
        for _ in range(3):
            send()
            moments.append(clock.time)
            Delivery.objects.filter(state="ready").update(state="dead", settled_at=clock.time)
            clock.forward(hours=1)
        assert replay_failed(endpoint, moments[1], "repaired", until=moments[2]) == 1
        assert replay_failed(other, moments[1], "repaired") == 2
    ready = Delivery.objects.filter(state="ready")
    assert ready.filter(address=endpoint.uid).count() == 1
    assert ready.filter(address=other.uid).count() == 2


@pytest.mark.parametrize(
    ("answer", "status", "least"),
    [
        (Answer(way="drip"), None, 1.0),
        (Answer(200, way="endless"), 200, 0.0),
        (Answer(200, b"x" * 100_000), 200, 0.0),
        (Answer(500, gzip.compress(b"\0" * 50_000_000), {"Content-Encoding": "gzip"}), 500, 0.0),
        (Answer(307, b"x" * 100_000, {"Location": "/elsewhere"}), 307, 0.0),
        (Answer(200, b"[" * 100_000), 200, 0.0),
        (Answer(200, b"\xff\x00\xed\xa0\x80"), 200, 0.0),
    ],
    ids=["drip", "endless", "long", "gzip bomb", "redirect", "nested", "bytes"],
)
def test_an_answer_is_cut_at_the_deadline_and_the_limit(service, endpoint, answer, status, least, settings):
    options = {**OPTIONS, "timeout": 1.0, "answer_bytes": 5000}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"webhook": {"OPTIONS": options}}}
    service.default = answer
    send()
    begun = time.monotonic()
    work()
    assert least <= time.monotonic() - begun < 10
    attempt = WebhookAttempt.objects.get()
    assert attempt.status == status
    assert attempt.duration < 3
    assert len(attempt.response_body) <= 5001
    assert attempt.accepted is (status == 200)
    assert len(service.received) == 1


def test_make_due_helps_only_what_waits(service, endpoint):
    service.answers = [Answer(500)]
    send()
    work()
    make_due()
    work()
    assert [attempt.accepted for attempt in list_attempts(endpoint)] == [True, False]
    assert WebhookChannel.address_kind == "webhook"
