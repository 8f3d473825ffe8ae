"""The channel for phones against a Firebase that checks tokens and messages."""

import json
import logging
from datetime import timedelta
from enum import Enum

import pytest
from django.utils import timezone

from notifications.channels.base import Rendered
from notifications.channels.fcm import MAX_PAYLOAD_BYTES, FCMChannel, FCMMessage, add_times, make_content
from notifications.channels.push_content import cut_to_fit
from notifications.devices import register_device
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, Device, NotificationLog
from notifications.outcomes import Blame, Verdict
from notifications.testing import capture_notifications, temporary_events
from notifications.testing.contract import ProviderContract
from tests.channels.fcm_service import MESSAGES, TOKENS, firebase, make_account, make_error
from tests.channels.http_services import Answer
from tests.factories import UserFactory

pytestmark = pytest.mark.needs("google", "requests")
TOKEN = "c-K9device:APA91bExample"


class Lamps(Enum):
    LAMP = "lamp"


@pytest.fixture(scope="module")
def running():
    with firebase() as running:
        yield running


@pytest.fixture
def service(running):
    running.reset()
    return running


def make_channel(service, **options):
    return FCMChannel(**{"credentials": make_account(service.url), "timeout": 2, "url": service.url, **options})


@pytest.fixture
def channel(service):
    channel = make_channel(service, timeout=5)
    yield channel
    channel.close()


@pytest.fixture
def hasty(service):
    """A channel for a service that is silent."""
    channel = make_channel(service, timeout=1)
    yield channel
    channel.close()


def send(channel, user):
    [receipt] = channel.send([make_message(user)])
    return receipt


def make_message(user, text="It is broken.", **values):
    values = {
        "title": "Lamp 7",
        "priority": NotificationPriority.HIGH,
        "tag": "t" * 32,
        "data": {"notification_id": "1"},
        "destination": ("https://shop.example.com/lamps/7/", ""),
        **values,
    }
    return FCMMessage(user.pk, make_content(text=text, **values), None)


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def _service(self):
        with firebase() as self.service:
            yield

    def make_channel(self):
        return make_channel(self.service)

    def _delivery(self, notification, number, users):
        delivery = super()._delivery(notification, number, users)
        register_device(delivery.recipient, f"{TOKEN}{number}", "android")
        return delivery

    def break_provider(self, channel):
        channel.close()
        self.service.service.stop()


@pytest.mark.django_db
class TestADelivery:
    """One event on the channel, through the whole outbox."""

    @pytest.fixture(autouse=True)
    def site(self, service, settings, tmp_path):
        self.service = service
        templates = tmp_path / "notifications" / "lamp"
        templates.mkdir(parents=True)
        (templates / "fcm.subject.txt").write_text("Lamp {{ number }}")
        (templates / "fcm.txt").write_text("It is broken.")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        options = {"credentials": make_account(service.url), "url": service.url, "timeout": 2}
        settings.NOTIFICATIONS = {
            "CHANNELS": {"fcm": {"OPTIONS": options}},
            "BASE_URL": "https://shop.example.com",
            "RETRY_DELAYS": [60],
        }
        self.user = UserFactory()
        with temporary_events() as registry:
            registry[Lamps.LAMP] = NotificationEvent(
                "lamp", NotificationPriority.HIGH, ["fcm"], context={"number": str}, url="/lamps/{number}/"
            )
            yield

    def send(self, **options):
        with capture_notifications() as captured:
            result = NotificationManager.send(Lamps.LAMP, [self.user], None, {"number": "7"}, **options)
            captured.deliver()
        return result

    def test_reaches_the_phone(self):
        register_device(self.user, TOKEN, "android")
        self.send()
        delivery = Delivery.objects.get()
        [message] = self.service.messages
        assert message["token"] == TOKEN
        assert message["notification"] == {"title": "Lamp 7", "body": "It is broken."}
        url = "https://shop.example.com/lamps/7/"
        assert message["data"] == {"notification_id": str(delivery.notification_id), "url": url}
        tag = message["android"]["notification"]["tag"]
        assert message["android"] == {
            "priority": "HIGH",
            "ttl": "86400s",
            "collapse_key": tag,
            "notification": {"tag": tag},
        }
        assert message["apns"]["headers"]["apns-collapse-id"] == tag
        assert message["webpush"]["fcm_options"] == {"link": url}
        assert delivery.state == "sent"
        assert NotificationLog.objects.get().provider_message_id == "projects/shop-1234/messages/1"
        assert Device.objects.get().accepted_at is not None

    def test_lives_in_firebase_until_the_notification_expires(self):
        register_device(self.user, TOKEN, "ios")
        expires_at = timezone.now() + timedelta(minutes=5)
        self.send(expires_at=expires_at)
        [message] = self.service.messages
        assert 290 <= int(message["android"]["ttl"].rstrip("s")) <= 300
        assert abs(int(message["apns"]["headers"]["apns-expiration"]) - expires_at.timestamp()) <= 2

    def test_goes_to_all_devices_and_forgets_those_that_are_gone(self, caplog):
        for name in ("old", "busy", "new"):
            register_device(self.user, name, "android")
        self.service.devices["old"] = make_error(404, "UNREGISTERED", "NOT_FOUND")
        self.service.devices["busy"] = make_error(503, "UNAVAILABLE")
        self.send()
        assert [message["token"] for message in self.service.messages] == ["new"]
        assert set(Device.objects.values_list("token", flat=True)) == {"busy", "new"}
        assert Delivery.objects.get().state == "sent"
        assert "A device of a recipient was not reached" in caplog.text

    def test_is_dead_if_the_last_device_is_gone(self):
        register_device(self.user, TOKEN, "android")
        self.service.devices[TOKEN] = make_error(404, "UNREGISTERED", "NOT_FOUND")
        self.send()
        assert Delivery.objects.get().state == "dead"
        assert "no device" in NotificationLog.objects.get().error_message

    def test_is_dropped_for_a_user_without_a_device(self):
        result = self.send()
        assert result.reasons == {"no_address": 1}
        explanation = NotificationManager.explain(Lamps.LAMP, self.user, None, {"number": "7"})
        assert "no fcm address" in str(explanation)
        assert NotificationLog.objects.get().reason == "no_address"

    def test_shows_no_content_of_a_sensitive_event(self):
        channel = make_channel(self.service)
        register_device(self.user, TOKEN, "android")
        self.send()
        [delivery] = Delivery.objects.all()
        message = channel.prepare(delivery, Rendered({"txt": "Look."}, label="Lamp", is_sensitive=True))
        assert message.content["data"]["url"] == "https://shop.example.com/notifications/inbox/"
        assert "lamps" not in json.dumps(message.content)


@pytest.mark.django_db
class TestAnswers:
    @pytest.fixture(autouse=True)
    def device(self, service, channel, hasty):
        self.service, self.channel, self.hasty, self.user = service, channel, hasty, UserFactory()
        register_device(self.user, TOKEN, "android")

    def post(self, answer=None):
        if answer is not None:
            self.service.answers[MESSAGES] = [answer]
        return send(self.channel if answer is None or answer.way != "silence" else self.hasty, self.user)

    @pytest.mark.parametrize(
        ("answer", "verdict", "blames", "code"),
        [
            (make_error(400, "INVALID_ARGUMENT"), Verdict.PERMANENT, Blame.MESSAGE, "400 INVALID_ARGUMENT"),
            (make_error(403, "SENDER_ID_MISMATCH"), Verdict.CONFIGURATION, Blame.MESSAGE, "403 SENDER_ID_MISMATCH"),
            (
                make_error(401, "THIRD_PARTY_AUTH_ERROR"),
                Verdict.CONFIGURATION,
                Blame.MESSAGE,
                "401 THIRD_PARTY_AUTH_ERROR",
            ),
            (make_error(403, canonical="PERMISSION_DENIED"), Verdict.CONFIGURATION, Blame.PROVIDER, "403"),
            (make_error(404, canonical="NOT_FOUND"), Verdict.CONFIGURATION, Blame.PROVIDER, "404"),
            (make_error(500, "INTERNAL"), Verdict.TEMPORARY, Blame.PROVIDER, "500 INTERNAL"),
            (make_error(503, "UNAVAILABLE"), Verdict.TEMPORARY, Blame.PROVIDER, "503 UNAVAILABLE"),
            (Answer(502, "<html>"), Verdict.UNKNOWN, Blame.PROVIDER, "502"),
            (Answer(400, {"error": [1]}), Verdict.PERMANENT, Blame.MESSAGE, "400"),
            (Answer(way="close"), Verdict.UNKNOWN, Blame.PROVIDER, ""),
            (Answer(way="silence"), Verdict.UNKNOWN, Blame.SILENCE, ""),
        ],
    )
    def test_an_error_has_a_meaning(self, answer, verdict, blames, code):
        receipt = self.post(answer)
        assert (receipt.verdict, receipt.blames, receipt.code) == (verdict, blames, code)
        assert receipt.error
        assert Device.objects.exists()

    @pytest.mark.parametrize(
        "answer",
        [
            make_error(404, "UNREGISTERED", "NOT_FOUND"),
            make_error(400, "INVALID_ARGUMENT", violation="message.token"),
            make_error(400, "INVALID_ARGUMENT", message="The registration token is not a valid FCM registration token"),
        ],
    )
    def test_a_token_that_is_of_no_device_is_deleted(self, answer):
        assert self.post(answer).verdict is Verdict.PERMANENT
        assert not Device.objects.exists()

    def test_an_answer_about_the_content_deletes_no_token(self):
        receipt = self.post(make_error(400, "INVALID_ARGUMENT", violation="message.data[0].value"))
        assert receipt.verdict is Verdict.PERMANENT
        assert Device.objects.exists()

    @pytest.mark.parametrize(("headers", "wait"), [({"Retry-After": "7"}, 7), ({}, 60)])
    def test_a_quota_is_respected(self, headers, wait):
        receipt = self.post(make_error(429, "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", headers=headers))
        assert (receipt.verdict, receipt.retry_after) == (Verdict.TEMPORARY, wait)

    def test_a_token_that_has_ended_is_renewed_once(self):
        assert self.post(make_error(401, canonical="UNAUTHENTICATED")).verdict is Verdict.ACCEPTED
        assert (self.service.count(TOKENS), self.service.count(MESSAGES)) == (2, 2)

    def test_an_account_that_is_refused_is_a_matter_of_the_settings(self):
        refusal = make_error(401, canonical="UNAUTHENTICATED")
        self.service.answers[MESSAGES] = [refusal, refusal]
        receipt = self.post()
        assert (receipt.verdict, receipt.blames) == (Verdict.CONFIGURATION, Blame.PROVIDER)
        assert self.service.count(MESSAGES) == 2

    def test_a_service_that_is_silent_is_not_asked_for_every_device(self):
        for number in range(3):
            register_device(self.user, f"more-{number}", "android")
        assert self.post(Answer(way="silence")).blames is Blame.SILENCE
        assert self.service.count(MESSAGES) == 1

    def test_the_newest_devices_come_first(self):
        for number in range(12):
            register_device(self.user, f"more-{number}", "android")
        self.post()
        assert [message["token"] for message in self.service.messages] == [f"more-{n}" for n in range(11, 1, -1)]

    def test_no_error_and_no_log_shows_a_token(self, caplog):
        caplog.set_level(logging.DEBUG)
        receipt = self.post(make_error(400, "INVALID_ARGUMENT", message=f"Bad {TOKEN} of ya29.access-0"))
        assert receipt.error.startswith("400 Bad Request: ")
        assert "Bad *** of ***" in receipt.error
        self.post(Answer(way="close"))
        for secret in (TOKEN, "ya29", "PRIVATE KEY"):
            assert secret not in caplog.text
            assert secret not in repr(receipt)
        assert TOKEN not in repr(Device.objects.get())


@pytest.mark.django_db
class TestAccessTokens:
    @pytest.fixture(autouse=True)
    def device(self, service, channel, hasty):
        self.service, self.channel, self.hasty, self.user = service, channel, hasty, UserFactory()
        register_device(self.user, TOKEN, "android")

    def post(self, answer=None):
        if answer is not None:
            self.service.answers[TOKENS] = [answer]
        return send(self.channel if answer is None or answer.way != "silence" else self.hasty, self.user)

    def test_one_is_used_for_many_messages(self):
        for _attempt in range(3):
            assert self.post().verdict is Verdict.ACCEPTED
        assert self.service.count(TOKENS) == 1

    def test_it_is_renewed_before_it_ends(self):
        self.service.lifetime = 100
        self.post()
        self.post()
        assert self.service.count(TOKENS) == 2

    @pytest.mark.parametrize(
        ("answer", "verdict", "blames"),
        [
            (Answer(400, {"error": "invalid_grant"}), Verdict.CONFIGURATION, Blame.PROVIDER),
            (Answer(401, {"error": "invalid_client"}), Verdict.CONFIGURATION, Blame.PROVIDER),
            (Answer(429), Verdict.TEMPORARY, Blame.PROVIDER),
            (Answer(503), Verdict.TEMPORARY, Blame.PROVIDER),
            (Answer(200, "<html>"), Verdict.TEMPORARY, Blame.PROVIDER),
            (Answer(200, {"access_token": "ya29.x", "expires_in": "soon"}), Verdict.TEMPORARY, Blame.PROVIDER),
            (Answer(way="close"), Verdict.TEMPORARY, Blame.PROVIDER),
            (Answer(way="silence"), Verdict.TEMPORARY, Blame.SILENCE),
        ],
    )
    def test_nothing_is_sent_without_one(self, answer, verdict, blames):
        receipt = self.post(answer)
        assert (receipt.verdict, receipt.blames) == (verdict, blames)
        assert receipt.error.startswith("There is no access token: ")
        assert "ya29" not in receipt.error
        assert (self.service.count(TOKENS), self.service.count(MESSAGES)) == (1, 0)

    def test_a_wait_that_the_endpoint_asks_for_is_kept(self):
        assert self.post(Answer(503, b"", {"Retry-After": "9"})).retry_after == 9

    def test_a_file_holds_the_account(self, tmp_path):
        path = tmp_path / "account.json"
        path.write_text(json.dumps(make_account(self.service.url)))
        for credentials in (path, str(path)):
            channel = make_channel(self.service, credentials=credentials)
            assert [one.verdict for one in channel.send([make_message(self.user)])] == [Verdict.ACCEPTED]
            channel.close()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"credentials": ""}, "'credentials' is missing"),
        ({"credentials": "/nowhere.json"}, "cannot be read"),
        ({"credentials": {"project_id": "p"}}, "no service account"),
        ({"credentials": {**make_account("http://x"), "private_key": "SECRET"}}, "no service account"),
        ({"credentials": {**make_account("http://x"), "project_id": "../x"}}, "no project_id"),
        ({"ttl": -1}, "ttl"),
        ({"timeout": 0}, "timeout"),
        ({"url": "fcm.googleapis.com"}, "'url' must begin with https://"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(service, changes, fault):
    with pytest.raises(ValueError, match=fault) as caught:
        make_channel(service, **changes)
    assert "SECRET" not in str(caught.value)


class TestContent:
    def make(self, **values):
        return make_message(UserFactory.build(pk=1), **values).content

    @pytest.mark.parametrize(
        ("priority", "android", "apns", "level", "sound"),
        [
            (NotificationPriority.CRITICAL, "HIGH", "10", "time-sensitive", "default"),
            (NotificationPriority.HIGH, "HIGH", "10", "active", "default"),
            (NotificationPriority.MEDIUM, "NORMAL", "5", "active", "default"),
            (NotificationPriority.LOW, "NORMAL", "5", "passive", None),
        ],
    )
    def test_follows_the_priority(self, priority, android, apns, level, sound):
        content = self.make(priority=priority)
        aps = content["apns"]["payload"]["aps"]
        assert (content["android"]["priority"], content["apns"]["headers"]["apns-priority"]) == (android, apns)
        assert (aps["interruption-level"], aps.get("sound")) == (level, sound)

    @pytest.mark.parametrize("letter", ["x", "Ä", "日", "👍🏽", '"', "e\u0301"])
    def test_a_long_text_is_cut(self, letter):
        content = add_times(self.make(text=letter * 5000), 86_400, timezone.now())
        size = len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
        assert MAX_PAYLOAD_BYTES - 60 <= size <= MAX_PAYLOAD_BYTES
        body = content["notification"]["body"]
        assert body.removesuffix("…").replace(letter, "") == ""

    def test_a_long_title_is_cut_after_the_text(self):
        content = self.make(title="T" * 9000)
        assert content["notification"]["title"].startswith("TTTT")
        assert "body" not in content["notification"]

    def test_a_link_that_firebase_would_refuse_is_only_data(self):
        content = self.make(destination=("http://127.0.0.1:8000/x", ""))
        assert "fcm_options" not in content["webpush"]
        assert content["data"]["url"] == "http://127.0.0.1:8000/x"

    def test_a_message_that_has_expired_is_for_now_or_never(self):
        content = add_times(self.make(), 0, timezone.now())
        assert content["android"]["ttl"] == "0s"
        assert content["apns"]["headers"]["apns-expiration"] == "0"


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcdefgh", 6, "abc…"),
        ("ab 👨‍👩‍👧 x", 14, "ab…"),
        ("abcde\u0301fghij", 8, "abcd…"),
        ("abcdefgh", 2, ""),
    ],
)
def test_a_text_is_cut_between_characters(text, limit, cut):
    assert cut_to_fit(text, lambda text: len(text.encode()), limit) == cut


@pytest.mark.needs("regex")
@pytest.mark.parametrize(
    "text",
    [
        "e\u0301",
        "👨‍👩‍👧",
        "👍🏽",
        "1\ufe0f\u20e3",
        "🇩🇪🇫🇷",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "हिन्दी",
        "กำลังที่",
        "தமிழ்",
        "\u1112\u1161\u11ab한",
        "a\r\nb",
    ],
)
def test_no_cut_divides_what_a_reader_sees_as_one_character(text):
    import regex

    parts = regex.findall(r"\X", f"a{text}b{text}")
    beginnings = {"".join(parts[:count]) + "…" for count in range(len(parts) + 1)}
    for limit in range(1, len("".join(parts))):
        cut = cut_to_fit("".join(parts), len, limit)
        assert cut in beginnings or cut == "" or cut.rstrip("…") + "\r\n…" in beginnings
