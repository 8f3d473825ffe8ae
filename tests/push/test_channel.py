"""The push channel against a push service that checks VAPID, TTL, Topic and the encryption."""

import gzip
import json
import time
from datetime import timedelta
from enum import Enum

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.channels.push_services import is_allowed_service, make_private_key
from notifications.channels.web_push import MAX_PAYLOAD_BYTES, PushMessage, WebPushChannel, write_payload
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog, PushSubscription
from notifications.outcomes import Blame, Verdict
from notifications.testing import capture_notifications, temporary_events
from notifications.testing.contract import ProviderContract
from tests.channels.http_services import Answer as HTTPAnswer
from tests.channels.http_services import http_service
from tests.factories import UserFactory
from tests.push.service import Browser, decode, push_service

pytestmark = pytest.mark.needs("pywebpush")
KEY = "aG5tZqB6XlU2sQfYV8k1cU2cXh2dZ0f8Q0xwWq8r1nQ"  # placeholder, only for tests
BOMB = {"Location": "http://127.0.0.1:1/", "Content-Encoding": "gzip"}


class Lamps(Enum):
    LAMP = "lamp"


@pytest.fixture
def service():
    with push_service() as service:
        yield service


def make_channel(service, **options):
    return WebPushChannel(KEY, "mailto:admin@example.com", services=[service.url], timeout=2, **options)


def subscribe(user, service, channel, path="/one"):
    browser = Browser()
    keys = {"p256dh": browser.p256dh, "auth": browser.auth, "server_key": channel.client.public_key, "browser": "Test"}
    PushSubscription.objects.store(user, service.url + path, keys, timezone.now())
    return browser


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def _service(self, service):
        self.service = service

    def make_channel(self):
        return make_channel(self.service)

    def _delivery(self, notification, number, users):
        delivery = super()._delivery(notification, number, users)
        subscribe(delivery.recipient, self.service, make_channel(self.service), f"/{number}")
        return delivery

    def break_provider(self, channel):
        self.service.close()


def test_the_browser_decrypts_the_example_of_the_rfc():
    private = ec.derive_private_key(
        int.from_bytes(decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big"), ec.SECP256R1()
    )
    body = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3"
        "jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    browser = Browser(private, decode("BTBZMqHH6r4Tts7J_aSIgg"))
    assert browser.decrypt(decode(body)) == b"When I grow up, I want to be a watermelon"


@pytest.mark.django_db
class TestADelivery:
    """One event on the channel, through the whole outbox."""

    @pytest.fixture(autouse=True)
    def site(self, service, settings, tmp_path):
        self.service, self.channel = service, make_channel(service)
        templates = tmp_path / "notifications" / "lamp"
        templates.mkdir(parents=True)
        (templates / "push.subject.txt").write_text("Lamp {{ number }}")
        (templates / "push.txt").write_text("It is broken.")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        options = {"private_key": KEY, "subject": "mailto:admin@example.com", "services": [service.url]}
        settings.NOTIFICATIONS = {
            "CHANNELS": {"push": {"OPTIONS": options}},
            "BASE_URL": "https://shop.example.com",
            "RETRY_DELAYS": [60],
        }
        self.user = UserFactory()
        with temporary_events() as registry:
            registry[Lamps.LAMP] = NotificationEvent(
                "lamp", NotificationPriority.HIGH, ["push"], context={"number": str}, url="/lamps/{number}/"
            )
            yield

    def send(self, **options):
        with capture_notifications() as captured:
            result = NotificationManager.send(Lamps.LAMP, [self.user], None, {"number": "7"}, **options)
            captured.deliver()
        return result

    def test_reaches_the_browser_as_a_declarative_message(self):
        browser = subscribe(self.user, self.service, self.channel)
        self.send()
        [(path, headers, body, key)] = self.service.messages
        content = json.loads(browser.decrypt(body))
        assert content["web_push"] == 8030
        shown = content["notification"]
        assert (shown["title"], shown["body"]) == ("Lamp 7", "It is broken.")
        assert shown["navigate"] == "https://shop.example.com/lamps/7/"
        assert shown["tag"] == headers["Topic"]
        assert (path, headers["TTL"], headers["Urgency"], key) == (
            "/one",
            "86400",
            "high",
            self.channel.client.public_key,
        )
        assert Delivery.objects.get().state == "sent"

    def test_lives_in_the_push_service_until_the_notification_expires(self):
        subscribe(self.user, self.service, self.channel)
        self.send(expires_at=timezone.now() + timedelta(minutes=5))
        [(_, headers, _, _)] = self.service.messages
        assert 290 <= int(headers["TTL"]) <= 300

    @pytest.mark.parametrize("status", [404, 410])
    def test_deletes_a_subscription_that_has_ended(self, status):
        subscribe(self.user, self.service, self.channel, "/one")
        subscribe(self.user, self.service, self.channel, "/two")
        self.service.status["/one"] = status
        self.send()
        assert [row.endpoint for row in PushSubscription.objects.all()] == [f"{self.service.url}/two"]
        assert Delivery.objects.get().state == "sent"

    def test_is_dead_if_the_last_subscription_has_ended(self):
        subscribe(self.user, self.service, self.channel)
        self.service.status["/one"] = 410
        self.send()
        assert Delivery.objects.get().state == "dead"
        assert "no browser" in NotificationLog.objects.get().error_message

    @pytest.mark.parametrize(("status", "state"), [(429, "retry"), (503, "retry"), (403, "retry"), (413, "dead")])
    def test_follows_the_answer_of_the_service(self, status, state):
        subscribe(self.user, self.service, self.channel)
        self.service.status["/one"] = status
        self.send()
        assert Delivery.objects.get().state == state

    def test_is_not_redirected(self):
        subscribe(self.user, self.service, self.channel)
        self.service.status["/one"] = 302
        self.service.headers["Location"] = f"{self.service.url}/elsewhere"
        self.send()
        assert self.service.messages == []
        assert Delivery.objects.get().state == "dead"

    def test_is_dropped_for_a_user_without_a_browser(self):
        result = self.send()
        assert result.reasons == {"no_address": 1}
        explanation = NotificationManager.explain(Lamps.LAMP, self.user, None, {"number": "7"})
        assert "no push address" in str(explanation)

    def test_of_many_recipients_takes_as_many_queries_as_of_few(self):
        counts = []
        for size in (4, 40):
            users = UserFactory.create_batch(size)
            for number, user in enumerate(users[: size // 2]):
                subscribe(user, self.service, self.channel, f"/{size}-{number}")
            with CaptureQueriesContext(connection) as queries:
                result = NotificationManager.send(Lamps.LAMP, users, None, {"number": "7"})
            assert (result.queued, result.reasons) == (size // 2, {"no_address": size // 2})
            counts.append(len([one for one in queries if "klaxon_pushsubscription" in one["sql"]]))
        assert counts == [1, 1]


@pytest.mark.django_db
class TestTheConnection:
    """What a push service can do to a request."""

    @pytest.fixture
    def server(self):
        with http_service() as server:
            yield server

    def push(self, server, answer):
        channel, user = WebPushChannel(KEY, "mailto:a@example.com", services=[server.url], timeout=1), UserFactory()
        subscribe(user, server, channel)
        server.answers = [answer]
        [receipt] = channel.send([PushMessage(user.pk, "{}", "topic", "high", None)])
        channel.close()
        return receipt

    @pytest.mark.parametrize(
        ("answer", "verdict", "blames"),
        [
            (HTTPAnswer(way="silence"), Verdict.UNKNOWN, Blame.SILENCE),
            (HTTPAnswer(way="drip"), Verdict.UNKNOWN, Blame.SILENCE),
            (HTTPAnswer(way="close"), Verdict.UNKNOWN, Blame.PROVIDER),
            (HTTPAnswer(201, way="endless"), Verdict.ACCEPTED, Blame.PROVIDER),
            (HTTPAnswer(302, gzip.compress(b"0" * 5_000_000), BOMB), Verdict.PERMANENT, Blame.PROVIDER),
        ],
        ids=lambda value: value.way or "bomb" if isinstance(value, HTTPAnswer) else "",
    )
    def test_costs_no_more_than_the_deadline(self, server, answer, verdict, blames):
        began = time.monotonic()
        receipt = self.push(server, answer)
        assert (receipt.verdict, receipt.blames) == (verdict, blames)
        assert time.monotonic() - began < 6
        assert "/one" not in receipt.error

    def test_fails_before_anything_was_sent(self, server):
        server.stop()
        receipt = self.push(server, HTTPAnswer())
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK)


def test_a_long_text_is_shortened_to_what_every_service_accepts():
    payload = write_payload({"title": "T"}, "Ä\n" * 5000)
    assert len(payload.encode()) <= MAX_PAYLOAD_BYTES
    assert len(payload.encode()) > MAX_PAYLOAD_BYTES - 400
    assert json.loads(payload)["notification"]["body"].endswith("…")


@pytest.mark.parametrize(
    ("endpoint", "is_allowed"),
    [
        ("https://fcm.googleapis.com/fcm/send/x", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/x", True),
        ("http://fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com:8443/x", False),
        ("https://fcm.googleapis.com.evil.example/x", False),
        ("https://evilpush.services.mozilla.com.example/x", False),
        ("https://user@fcm.googleapis.com/x", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://127.0.0.1\\.notify.windows.com/x", False),
        ("https://127.0.0.1%2f.notify.windows.com/x", False),
        ("not a url", False),
    ],
)
def test_only_push_services_are_contacted(endpoint, is_allowed):
    from notifications.channels.push_services import DEFAULT_SERVICES

    assert is_allowed_service(endpoint, DEFAULT_SERVICES) is is_allowed


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "subject"),
        ({"subject": "admin@example.com"}, "subject"),
        ({"subject": "mailto:admin@example.com"}, "make_vapid_key"),
        ({"subject": "mailto:admin@example.com", "private_key": "short"}, "make_vapid_key"),
        ({"subject": "mailto:admin@example.com", "private_key": KEY[:-6]}, "make_vapid_key"),
        ({"subject": "mailto:admin@example.com", "private_key": KEY, "ttl": -1}, "ttl"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(options, fault):
    with pytest.raises(ValueError, match=fault):
        WebPushChannel(**options)


def test_a_new_key_can_be_used():
    text, _key = make_private_key()
    assert WebPushChannel(text, "https://example.com").client.public_key


def test_the_verdicts_of_several_browsers_make_one():
    from notifications.channels.push_targets import Answer, choose_receipt

    accepted, busy, gone = Answer(Verdict.ACCEPTED), Answer(Verdict.TEMPORARY, "busy"), Answer(None, "gone")
    assert choose_receipt("m", [busy, accepted, gone], "web push", "browser").verdict is Verdict.ACCEPTED
    assert choose_receipt("m", [gone, busy], "web push", "browser").verdict is Verdict.TEMPORARY
    assert choose_receipt("m", [gone], "web push", "browser").verdict is Verdict.PERMANENT
    assert choose_receipt("m", [], "web push", "browser").verdict is Verdict.PERMANENT
