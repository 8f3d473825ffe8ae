"""The Pushover channel, and the acknowledgement of its emergencies."""

import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse

from notifications.channels.pushover import PURPOSE, PushoverChannel
from notifications.core.tokens import make_token
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Acknowledgement, Delivery, NotificationLog, UserSettings
from notifications.models.cluster import Cluster
from notifications.outcomes import Blame as B
from notifications.outcomes import Verdict as V
from notifications.recipients import Address
from notifications.testing import temporary_events, travelling
from notifications.testing.contract import ProviderContract
from tests.channels.chat_services import (
    NOON,
    PUSHOVER_RECEIPT,
    PUSHOVER_TOKEN,
    PUSHOVER_USER,
    answer_as_pushover,
    chat_service,
    make_delivery,
    make_rendered,
    post,
)
from tests.channels.http_services import Answer
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]
CRITICAL = NotificationPriority.CRITICAL


@pytest.fixture(scope="module")
def running():
    with chat_service(answer_as_pushover) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def channel(service):
    channel = PushoverChannel(PUSHOVER_TOKEN, timeout=0.5, url=service.url)
    yield channel
    channel.close()


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with chat_service(answer_as_pushover) as self.service:
            yield

    def make_channel(self):
        return PushoverChannel(PUSHOVER_TOKEN, timeout=1, url=self.service.url)

    def address(self, number):
        return PUSHOVER_USER[:-1] + str(number)

    def break_provider(self, channel):
        channel.close()
        self.service.stop()


def fields_of(channel, rendered=None, address=PUSHOVER_USER, **values):
    return channel.prepare(make_delivery(address, **values), rendered or make_rendered()).fields


@pytest.mark.parametrize(("priority", "number"), [(CRITICAL, "1"), (2, "0"), (3, "-1"), (4, "-2")])
def test_each_priority_has_its_number(channel, priority, number):
    assert fields_of(channel, priority=priority)["priority"] == number


def test_a_digest_has_the_priority_of_its_notification_and_is_no_emergency(channel, emergency):
    fields = fields_of(channel, event="order_shipped", priority=CRITICAL, context={}, digest_kind="batch")
    assert fields["priority"] == "1"


def test_the_device_of_the_address_comes_first(service):
    channel = PushoverChannel(PUSHOVER_TOKEN, device="phone", url=service.url)
    assert fields_of(channel)["device"] == "phone"
    fields = fields_of(channel, address=f"{PUSHOVER_USER}:tablet,watch")
    assert (fields["user"], fields["device"]) == (PUSHOVER_USER, "tablet,watch")
    assert "device" not in fields_of(PushoverChannel(PUSHOVER_TOKEN))


def test_the_link_is_kept(channel, service):
    rendered = make_rendered("👩🏽‍🚒" * 500, "t" * 400, action_url="https://a.example/x", action_label="l" * 200)
    assert channel.prepare(make_delivery(PUSHOVER_USER), rendered).fields["url"] == "https://a.example/x"
    for length in (512, 600, 1000):
        url = "https://a.example/".ljust(length, "x")
        receipt = post(channel, PUSHOVER_USER, text="👩🏽‍🚒" * 500, subject="t" * 400, action_url=url)
        assert receipt.error == ""
    short, in_text, none = (received.form for received in service.received)
    assert short["url"].startswith("https://a.example/x")
    assert "url" not in in_text
    assert in_text["message"].endswith("x" * 100)
    assert "https" not in str(none)


def test_a_message_without_text_says_its_title(channel):
    assert fields_of(channel, make_rendered(text=" "))["message"] == "A subject"


@pytest.mark.parametrize("retry", [29, 61])
def test_wrong_options_are_refused(retry):
    with pytest.raises(ValueError, match="'retry' must be"):
        PushoverChannel("abc", retry=retry, expire=60)
    with pytest.raises(ValueError, match="'expire' must be"):
        PushoverChannel("abc", expire=10_801)
    with pytest.raises(ValueError, match="Set the option 'token'"):
        PushoverChannel()


@pytest.mark.django_db
def test_a_message_does_not_outlive_its_notification(channel, service, emergency):
    later = NOON + timedelta(seconds=90)
    with travelling(NOON):
        for event in ("message", "order_shipped"):
            delivery = make_delivery(PUSHOVER_USER, event=event, priority=CRITICAL, context={}, expires_at=later)
            list(channel.send([channel.prepare(delivery, make_rendered())]))
    ordinary, urgent = (received.form for received in service.received)
    assert (ordinary["ttl"], "expire" in ordinary) == ("90", False)
    assert (urgent["expire"], "ttl" in urgent) == ("90", False)


@pytest.mark.parametrize(
    ("answer", "verdict", "blames"),
    [
        (Answer(200, {"status": 0, "errors": ["x"]}), V.PERMANENT, B.MESSAGE),
        (Answer(200, [1]), V.ACCEPTED, B.PROVIDER),
        (Answer(400, {"user": "invalid", "errors": ["user key is invalid"], "status": 0}), V.PERMANENT, B.RECIPIENT),
        (Answer(400, {"device": "invalid", "errors": ["x"], "status": 0}), V.PERMANENT, B.RECIPIENT),
        (Answer(400, {"token": "invalid", "errors": ["x"], "status": 0}), V.CONFIGURATION, B.PROVIDER),
        (Answer(400, {"message": "cannot be blank", "errors": {"a": 1}}), V.PERMANENT, B.MESSAGE),
        (Answer(400, '{"errors":' * 20_000), V.PERMANENT, B.MESSAGE),
        (Answer(500, {"errors": ["x"]}), V.UNKNOWN, B.PROVIDER),
    ],
    ids=lambda value: str(value.body)[:40] if isinstance(value, Answer) else "",
)
def test_answers(channel, service, answer, verdict, blames):
    service.answers = [answer]
    receipt = post(channel, PUSHOVER_USER)
    assert (receipt.verdict, receipt.blames) == (verdict, blames)


def test_errors_quote_pushover_and_no_key(channel, service):
    errors = [f"no {PUSHOVER_USER}", {"a": 1}, f"bad {PUSHOVER_TOKEN}"]
    service.answers = [Answer(400, {"errors": errors, "status": 0})]
    message = channel.prepare(make_delivery(PUSHOVER_USER), make_rendered())
    [receipt] = channel.send([message])
    assert receipt.error == "400 Bad Request: no ***; bad ***"
    assert PUSHOVER_USER not in repr(message)


def test_a_limit_lasts_until_it_is_reset(channel, service):
    reset = str(int(time.time()) + 500)
    service.answers = [Answer(429, {"status": 0}, {"X-Limit-App-Reset": reset}), Answer(429)]
    assert 490 < post(channel, PUSHOVER_USER).retry_after <= 500
    assert post(channel, PUSHOVER_USER).retry_after is None


@pytest.fixture
def emergency():
    with temporary_events() as events:
        events[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", CRITICAL, ["pushover"], actions=["acknowledge"]
        )
        yield


@pytest.fixture
def site(settings, service, tmp_path):
    folder = tmp_path / "notifications" / "order_shipped"
    folder.mkdir(parents=True)
    (folder / "pushover.txt").write_text("The pump has stopped.")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    options = {"token": PUSHOVER_TOKEN, "url": service.url}
    settings.NOTIFICATIONS = {
        "CHANNELS": {"pushover": {"OPTIONS": options}},
        "BASE_URL": "https://shop.example.com",
    }


@pytest.fixture
def guard(db):
    user = UserFactory()
    UserSettings.objects.create(user=user, cluster=Cluster.objects.default(), addresses={"pushover": PUSHOVER_USER})
    return user


@pytest.mark.parametrize(
    ("level", "number"), [("critical", "1"), ("warning", "0"), ("info", "-1"), ("debug", "-2"), (None, "-1")]
)
def test_free_text_arrives_with_the_priority_of_its_level(site, service, guard, level, number):
    result = NotificationManager.send_notification("The disk is full.", level, ["pushover"], recipients=[guard])
    assert result.queued == 1
    call_command("dispatch_notifications")
    [received] = service.received
    assert (received.form["message"], received.form["priority"]) == ("The disk is full.", number)
    assert received.form["user"] == PUSHOVER_USER
    row = NotificationLog.objects.get()
    assert (row.success, row.address) == (True, "uQi***sG")


class TestAnEmergency:
    @pytest.fixture(autouse=True)
    def sent(self, site, emergency, service, guard):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, guard, context={})
        call_command("dispatch_notifications")
        [received] = service.received
        self.form, self.guard = received.form, guard
        self.delivery = Delivery.objects.get()

    def call_back(self, client, **values):
        path = self.form["callback"].removeprefix("https://shop.example.com")
        return client.post(path, {"receipt": PUSHOVER_RECEIPT, "acknowledged": "1", **values})

    def test_it_is_repeated_until_it_is_acknowledged(self):
        assert (self.form["priority"], self.form["retry"], self.form["expire"]) == ("2", "60", "3600")
        assert self.delivery.provider_message_id == PUSHOVER_RECEIPT

    def test_its_acknowledgement_is_recorded_once(self, client):
        assert [self.call_back(client).status_code, self.call_back(client).status_code] == [204, 204]
        acknowledged = Acknowledgement.objects.get()
        assert (acknowledged.user, acknowledged.notification) == (self.guard, self.delivery.notification)

    def test_nothing_else_is_recorded(self, client):
        assert self.call_back(client, acknowledged="0").status_code == 204
        assert client.get(self.form["callback"]).status_code == 405
        for token in ("x", make_token("click", self.delivery.pk), make_token(PURPOSE, self.delivery.pk + 1)):
            path = reverse("notifications:pushover_callback", args=[token])
            assert client.post(path, {"acknowledged": "1"}).status_code == 404
        assert not Acknowledgement.objects.exists()

    def test_a_user_who_may_not_acknowledge_is_logged(self, client, caplog):
        type(self.guard).objects.update(is_active=False)
        assert self.call_back(client).status_code == 204
        assert not Acknowledgement.objects.exists()
        assert "is not recorded" in caplog.text


def test_a_site_without_an_address_gets_no_callback(site, settings, emergency, service, guard):
    settings.NOTIFICATIONS = {key: value for key, value in settings.NOTIFICATIONS.items() if key != "BASE_URL"}
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, guard, context={})
    call_command("dispatch_notifications")
    assert "callback" not in service.received[0].form
    assert service.received[0].form["priority"] == "2"


@pytest.mark.django_db
def test_an_acknowledgement_of_an_address_is_nobodys(site, emergency, service, client):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, Address(pushover=PUSHOVER_USER), context={})
    call_command("dispatch_notifications")
    path = service.received[0].form["callback"].removeprefix("https://shop.example.com")
    assert client.post(path, {"acknowledged": "1"}).status_code == 204
    assert not Acknowledgement.objects.exists()
