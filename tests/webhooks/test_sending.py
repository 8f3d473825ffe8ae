"""Which endpoints get a notification, what they get, and what their answers mean."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError
from django.test import TestCase
from standardwebhooks.webhooks import Webhook

from notifications.channels.webhook import WebhookChannel
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents, NotificationEvent, NotificationPriority
from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, Notification, NotificationLog, WebhookAttempt, WebhookEndpoint
from notifications.outcomes import Blame, Verdict
from notifications.recipients import Address
from notifications.testing.contract import ProviderContract
from notifications.testing.travel import travelling
from notifications.webhooks import (
    create_endpoint,
    delete_endpoint,
    send_test_message,
    set_enabled,
    update_endpoint,
)
from tests.channels.http_services import Answer, http_service
from tests.factories import ClusterFactory, UserFactory
from tests.webhooks.conftest import OPTIONS, WebhookEvents, make_due, send, work

pytestmark = [pytest.mark.django_db, pytest.mark.needs("requests_hardened", "standardwebhooks")]


class TestWebhookChannel(ProviderContract):
    @pytest.fixture(autouse=True)
    def receiver(self, cluster):
        with http_service(Answer(204)) as self.service:
            yield

    def make_channel(self):
        return WebhookChannel(**OPTIONS)

    def address(self, number):
        return create_endpoint(None, f"{self.service.url}/{number}").endpoint.uid

    def break_provider(self, channel):
        channel.close()
        self.service.stop()


def test_an_endpoint_gets_a_notification_once_whoever_the_recipients_are(service, endpoint):
    result = send(recipients=UserFactory.create_batch(3))
    assert (result.queued, result.dropped) == (1, 0)
    work()
    [received] = service.received
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.address, delivery.recipient_id) == ("sent", endpoint.uid, None)
    assert received.headers["webhook-id"] == delivery.provider_message_id
    assert received.path == "/hook"


def test_many_endpoints_of_many_recipients_get_it_once_each(service, cluster):
    for number in range(60):
        create_endpoint(None, f"{service.url}/{number}")
    assert send(recipients=UserFactory.create_batch(2)).queued == 60
    assert send(recipients=[]).queued == 60
    assert send(idempotency_key="once").queued == 60
    assert Delivery.objects.count() == 180


def test_only_endpoints_of_the_cluster_that_are_subscribed_get_it(service, cluster):
    other = ClusterFactory(open_to_all=True)
    everything = create_endpoint(None, f"{service.url}/all", events=["*"]).endpoint
    one = create_endpoint(None, f"{service.url}/one", events=[WebhookEvents.ORDER_SHIPPED]).endpoint
    create_endpoint(None, f"{service.url}/two", events=["ORDER_RETURNED"])
    create_endpoint(other, f"{service.url}/all")
    set_enabled(create_endpoint(None, f"{service.url}/off").endpoint, False)
    send()
    assert {row.address for row in Delivery.objects.all()} == {everything.uid, one.uid}


def test_explain_and_why_know_endpoints(service, endpoint, owner):
    address = Address(webhook=endpoint.uid)
    explanation = NotificationManager.explain(WebhookEvents.ORDER_SHIPPED, address, context={})
    assert [channel.channel for channel in explanation.channels] == ["webhook"]
    assert explanation.channels[0].arrives_at is not None
    assert not NotificationManager.explain(WebhookEvents.ORDER_SHIPPED, owner, context={}).channels
    send()
    set_enabled(endpoint, False)
    work()
    [channel] = NotificationManager.why(Notification.objects.get(), address).channels
    assert "The endpoint is disabled" in channel.summary


def test_a_call_can_name_one_endpoint(service, endpoint):
    create_endpoint(None, f"{service.url}/other")
    assert send_test_message(endpoint).queued == 1
    work()
    assert [received.json["type"] for received in service.received] == ["test_message"]


def test_events_for_one_recipient_go_to_no_endpoint(endpoint, owner):
    NotificationManager.send(BuiltInEvents.TEST_MESSAGE, owner, context={}, channels=["webhook"])
    assert not Delivery.objects.exists()


def test_user_settings_and_batches_do_not_concern_endpoints(service, endpoint, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LIMITS": {"user": "1/h"}, "QUIET_HOURS": ["00:00", "23:59"]}
    event = NotificationEvent(
        "order_shipped", NotificationPriority.LOW, ["webhook"], batch_window=900, limit="1/h", over_limit="drop"
    )
    NOTIFICATION_EVENTS[WebhookEvents.ORDER_SHIPPED] = event
    for _ in range(3):
        send()
    work()
    assert len(service.received) == 3


def test_a_limit_of_the_channel_applies_to_each_endpoint(service, endpoint, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LIMITS": {"user_channel": {"webhook": "1/h"}}}
    create_endpoint(None, f"{service.url}/other")
    send()
    send()
    work()
    assert sorted(received.path for received in service.received) == ["/hook", "/other"]


def test_sensitive_events_are_not_sent(endpoint, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
    NOTIFICATION_EVENTS[WebhookEvents.ORDER_SHIPPED] = NotificationEvent(
        "order_shipped", NotificationPriority.LOW, ["webhook"], sensitive=True
    )
    assert send().reasons == {"no_address": 1}


def test_the_payload_is_plain_json(service, endpoint):
    context = {
        "order": "Ä-1 😀",
        "day": date(2026, 11, 30),
        "at": datetime(2026, 11, 30, 12, tzinfo=UTC),
        "price": Decimal("9.90"),
        "wait": timedelta(minutes=5),
        "lines": [{"sku": 1, "ok": True, "note": None}],
    }
    send(context=context, topic="Orders")
    work()
    [received] = service.received
    notification = Notification.objects.get()
    assert received.headers["Content-Type"] == "application/json"
    assert received.json == {
        "type": "order_shipped",
        "timestamp": notification.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "notification_id": str(notification.pk),
            "cluster": str(notification.cluster_id),
            "priority": "medium",
            "topic": notification.topic,
            "correlation_id": notification.correlation_id,
            "context": {
                "order": "Ä-1 😀",
                "day": "2026-11-30",
                "at": "2026-11-30T12:00:00Z",
                "price": "9.90",
                "wait": 300.0,
                "lines": [{"sku": 1, "ok": True, "note": None}],
            },
        },
    }


def test_a_retry_has_the_same_id_and_body_and_a_new_timestamp(service, created):
    service.answers = [Answer(500), Answer(500)]
    send()
    with travelling() as clock:
        work()
        clock.forward(seconds=30)
        make_due()
        work()
    first, second = service.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 30
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    Webhook(created.secret).verify(first.body, dict(first.headers))
    Webhook(created.secret).verify(second.body, dict(second.headers))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_a_success(service, endpoint, status):
    service.default = Answer(status)
    send()
    work()
    assert Delivery.objects.get().state == "sent"
    endpoint.refresh_from_db()
    assert endpoint.succeeded_at is not None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 418, 422, 500, 501, 503])
def test_any_other_status_is_tried_again(service, endpoint, status):
    service.default = Answer(status, "Not <b>now</b>.", {"Location": f"{service.url}/elsewhere"})
    send()
    work()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason, delivery.attempts) == ("retry", "temporary", 1)
    assert len(service.received) == 1
    assert f"{status}" in NotificationLog.objects.get().error_message
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    assert endpoint.slowed_until is None


def test_the_schedule_takes_a_day(service, endpoint):
    service.default = Answer(500)
    with travelling() as clock:
        start = clock.time
        send()
        moments = []
        for _ in range(100_000):
            delivery = Delivery.objects.get()
            if delivery.state == "dead":
                break
            clock.to(max(clock.time, delivery.due_at or clock.time) + timedelta(seconds=1.5))
            work(2)
            if len(service.received) > len(moments):
                moments.append((clock.time - start).total_seconds())
    assert Delivery.objects.get().state == "dead"
    assert len(moments) == 8
    assert 23.9 * 3600 < moments[-1] < 24.5 * 3600


def test_410_disables_the_endpoint_and_what_waits_for_it_ends(service, endpoint, owner, mailoutbox):
    service.default = Answer(410)
    for _ in range(3):
        send()
    work()
    assert len(service.received) == 1
    assert {row.state for row in Delivery.objects.filter(channel="webhook")} == {"dead"}
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "gone")
    errors = NotificationLog.objects.filter(channel="webhook").values_list("error_message", flat=True)
    assert sum("is disabled" in error for error in errors) == 2
    assert send().queued == 0
    work()
    [mail] = mailoutbox
    assert mail.to == [owner.email]
    assert "The shop" in mail.subject
    assert "127.0.0.1" in mail.body
    assert "/hook" not in mail.body
    assert f"https://shop.example.com/notifications/webhooks/{endpoint.uid}/" in mail.body


@pytest.mark.parametrize(("status", "asked", "wait"), [(429, 7200, 7200), (502, None, 60), (504, 5, 60)])
def test_an_endpoint_that_asks_for_less_gets_less(service, endpoint, status, asked, wait):
    other = create_endpoint(None, f"{service.url}/other").endpoint
    service.answer = lambda received: (
        Answer(status, headers={"Retry-After": str(asked)} if asked else {})
        if received.path == "/hook"
        else Answer(204)
    )
    with travelling() as clock:
        for _ in range(5):
            send()
        work(2)
        assert [received.path for received in service.received].count("/hook") == 1
        assert [received.path for received in service.received].count("/other") == 5
        rows = Delivery.objects.filter(address=endpoint.uid).order_by("pk")
        assert sorted(row.attempts for row in rows) == [0, 0, 0, 0, 1]
        assert {row.state for row in rows} == {"retry"}
        assert NotificationLog.objects.filter(success=False).count() == 1
        endpoint.refresh_from_db()
        assert wait <= (endpoint.slowed_until - clock.time).total_seconds() <= max(wait, 72)
        service.answer = lambda received: Answer(204)
        clock.to(endpoint.slowed_until + timedelta(seconds=2))
        work(2)
        clock.forward(hours=3)
        work(2)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert other.enabled


def test_silence_slows_down_too_and_costs_one_deadline(service, endpoint, settings):
    options = {**OPTIONS, "timeout": 0.3}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"webhook": {"OPTIONS": options}}}
    service.default = Answer(way="silence")
    for _ in range(5):
        send()
    work()
    assert len(service.received) == 1
    rows = Delivery.objects.order_by("attempts")
    assert [row.reason for row in rows] == ["temporary"] * 4 + ["lost_contact"]


def test_an_endpoint_that_takes_long_gets_half_of_the_time(service, endpoint, monkeypatch):
    monkeypatch.setattr("notifications.channels.webhook.LONG_SECONDS", 0.0)
    for _ in range(3):
        send()
    with travelling() as clock:
        work()
        assert len(service.received) == 1
        assert sorted(Delivery.objects.values_list("state", "attempts")) == [("retry", 0), ("retry", 0), ("sent", 1)]
        for _ in range(2):
            clock.forward(seconds=2)
            work(2)
    assert len(service.received) == 3


def test_immediate_delivery_warns_the_owner_too(service, endpoint, owner, settings, mailoutbox):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DELIVERY": "immediate"}
    service.default = Answer(410)
    with TestCase.captureOnCommitCallbacks(execute=True):
        send()
    assert len(service.received) == 1
    work()
    assert [mail.to for mail in mailoutbox] == [[owner.email]]


def test_test_messages_are_limited(service, endpoint):
    for _ in range(20):
        send_test_message(endpoint)
    work(5)
    with pytest.raises(InvalidOption, match="too many"):
        send_test_message(endpoint)


def test_failing_endpoints_do_not_stop_the_others(service, cluster):
    for number in range(12):
        create_endpoint(None, f"{service.url}/bad/{number}")
    create_endpoint(None, f"{service.url}/good")
    kinds = [Answer(410), Answer(500), Answer(way="close"), Answer(404)]
    service.answer = lambda received: (
        kinds[int(received.path.rpartition("/")[2]) % 4] if "bad" in received.path else Answer(204)
    )
    for _ in range(3):
        send()
        work(5)
    assert [received.path for received in service.received].count("/good") == 3
    assert not Circuit.objects.exclude(open_until=None).exists()


def test_a_deleted_endpoint_ends_what_waits_for_it(service, endpoint):
    send()
    delete_endpoint(endpoint)
    work()
    assert Delivery.objects.get().state == "dead"
    assert "deleted" in NotificationLog.objects.get().error_message
    assert not service.received


def test_an_endpoint_can_be_deleted_while_its_delivery_is_in_flight(service, endpoint):
    channel = WebhookChannel(**OPTIONS)
    send()
    delivery = Delivery.objects.select_related("notification").get()
    message = channel.prepare(delivery, None)
    request = channel._request

    def delete_after(*args):
        attempt = request(*args)
        WebhookEndpoint.objects.all().delete()
        return attempt

    channel._request = delete_after
    [receipt] = channel.send([message])
    assert receipt.verdict is Verdict.ACCEPTED
    assert not WebhookAttempt.objects.exists()


def test_an_endpoint_of_another_cluster_is_not_reached(service, endpoint):
    WebhookEndpoint.objects.update(cluster=ClusterFactory())
    message = {"channel": "webhook", "address": endpoint.uid}
    notification = Notification.objects.create(
        cluster=ClusterFactory(), event="order_shipped", priority=3, context={}, created_at=datetime.now(UTC)
    )
    delivery = Delivery.objects.create(notification=notification, recipient_key="a:1", address_hash="x", **message)
    channel = WebhookChannel(**OPTIONS)
    [receipt] = channel.send([channel.prepare(delivery, None)])
    assert (receipt.verdict, receipt.blames) == (Verdict.PERMANENT, Blame.ENDPOINT)
    assert not service.received


def test_an_event_that_was_renamed_is_simply_not_sent(service, endpoint):
    WebhookEndpoint.objects.update(events=["old_name"])
    endpoint.refresh_from_db()
    assert send().queued == 0
    updated = update_endpoint(endpoint, events=["old_name", "order_shipped"])
    assert updated.events == ["old_name", "order_shipped"]
    assert send().queued == 1


def test_an_attempt_is_logged_with_request_and_answer(service, created):
    secret = created.secret
    WebhookEndpoint.objects.update(url=f"{service.url}/hook?token=geheim")
    service.default = Answer(400, "x" * 20_000, {"Set-Cookie": "session=geheim", "X-Long": "y" * 5000})
    send(context={"order": "z" * 20_000})
    work()
    attempt = WebhookAttempt.objects.get()
    received = service.received[0]
    assert (attempt.status, attempt.accepted, attempt.event) == (400, False, "order_shipped")
    assert attempt.request_headers["webhook-id"] == received.headers["webhook-id"] == attempt.message_id
    assert json.loads(received.body)["type"] in attempt.request_body
    assert len(attempt.request_body) == len(attempt.response_body) == 10_001
    assert len(attempt.response_headers["X-Long"]) == 300
    stored = " ".join(
        str(value)
        for row in (*WebhookAttempt.objects.values(), *NotificationLog.objects.values())
        for value in row.values()
    )
    assert "geheim" not in stored
    assert secret not in stored
    assert attempt.delivery == Delivery.objects.get()
    assert attempt.duration > 0


def test_an_error_of_the_database_does_not_lose_the_outcome(service, endpoint, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise DatabaseError("disk full")

    monkeypatch.setattr("notifications.models.webhook_endpoint.WebhookEndpointQuerySet.record_success", fail)
    send()
    work()
    assert Delivery.objects.get().state == "sent"
    assert "could not be recorded" in caplog.text
