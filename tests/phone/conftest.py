"""A site with SMS and calls by Twilio and SMS by a gateway, and these services, which send and sign as they do."""

import base64
import hashlib
import hmac
import json
from enum import Enum
from urllib.parse import urlencode, urlsplit

import pytest
from django.test import Client

from notifications.events import BuiltInEvents, NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Suppression, TrackingEvent
from notifications.testing import capture_notifications, temporary_events
from tests.channels.http_services import Answer, http_service
from tests.factories import UserFactory, UserSettingsFactory

SID, TOKEN, GATEWAY_SECRET = "AC0000000000000000000000000000000a", "placeholder-of-a-token", "placeholder-of-a-key"
PHONE, SITE_PHONE = "+4915112345678", "+15005550006"
PREFIX = "/notifications/phone/"


class Alarm(Enum):
    FIRE = "fire"


@pytest.fixture(scope="session")
def running():
    with http_service(Answer(201, {"sid": "SM1", "id": "g-1"})) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def options(service):
    """The options of each channel, which a test can change before it uses ``site``."""
    account = {"account_sid": SID, "auth_token": TOKEN, "sender": SITE_PHONE, "callbacks": True, "timeout": 2}
    callback = {
        "secret": GATEWAY_SECRET, "id": "message.id", "reference": "ref", "status": "status", "error": "why",
        "to": "to", "delivered": ["DELIVRD"], "failed": ["EXPIRED", "7"], "wrong_number": ["UNKNOWN"],
        "text": "text", "sender": "from",
    }  # fmt: skip
    return {
        "sms": {"api_url": service.url, **account, "help_text": "Shop & Co: call 110."},
        "voice": {"api_url": service.url, **account},
        "gateway": {
            "url": service.url,
            "body": {"to": "{to}", "text": "{text}", "ref": "{reference}"},
            "id_path": "id",
            "callback": callback,
            "timeout": 2,
        },
    }


@pytest.fixture
def site(settings, options, tmp_path):
    folder = tmp_path / "notifications" / "fire"
    folder.mkdir(parents=True)
    for name in options:
        folder.joinpath(f"{name}.txt").write_text("Fire in {{ place }}.")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    channels = {name: {"OPTIONS": values} for name, values in options.items()}
    channels["gateway"]["BACKEND"] = "notifications.channels.sms_gateway.SMSGatewayChannel"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": channels}
    with temporary_events() as events:
        events[Alarm.FIRE] = NotificationEvent(
            "fire", NotificationPriority.CRITICAL, ["sms", "voice", "gateway"], context={"place": str}
        )
        yield settings


@pytest.fixture
def ann(db):
    user = UserFactory(username="ann")
    addresses = {"sms": PHONE, "voice": PHONE, "gateway": PHONE}
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), addresses=addresses)
    return user


def send(user, channel="sms", deliver=True):
    """Send an alarm to a user, and return its delivery."""
    with capture_notifications() as captured:
        NotificationManager.send(Alarm.FIRE, user, context={"place": "Hall 3"}, channels=[channel])
    if deliver:
        assert captured.deliver() == {"sent": 1}
    return captured.deliveries.get()


def send_test(user, channel):
    return NotificationManager.send(BuiltInEvents.TEST_MESSAGE, user, context={}, channels=[channel])


class Twilio:
    """Calls the site as Twilio does, over a proxy that ends TLS."""

    def __init__(self, token=TOKEN, base="https://shop.example.com"):
        self.token, self.base = token, base
        self.client = Client(enforce_csrf_checks=True)

    def post(self, path, fields, signed_fields=None, signed_url="", **headers):
        signed = sorted((signed_fields or fields).items())
        text = (signed_url or self.base + path) + "".join(name + value for name, value in signed)
        mac = hmac.new(self.token.encode(), text.encode(), hashlib.sha1).digest()
        headers = {"X-Twilio-Signature": base64.b64encode(mac).decode(), **headers}
        kind = "application/x-www-form-urlencoded"
        return self.client.post(path, urlencode(fields), content_type=kind, headers=headers)

    def report(self, service, status, sid="SM1", number=-1, **fields):
        """Report the status of a message or call to the address that the site has given in its request."""
        form = service.received[number].form
        name = "Call" if "Twiml" in form else "Message"
        ids = {"AccountSid": SID, "To": form["To"], f"{name}Sid": sid, f"{name}Status": status}
        return self.post(urlsplit(form["StatusCallback"]).path, {**ids, **fields})

    def answer(self, text, sid="SMin1", number=PHONE, **fields):
        """Hand over what a recipient has written."""
        form = {"AccountSid": SID, "MessageSid": sid, "From": number, "To": SITE_PHONE, "Body": text, **fields}
        return self.post(f"{PREFIX}twilio/message/", form)


class Gateway:
    """Calls the site as an SMS gateway does."""

    def __init__(self, secret=GATEWAY_SECRET):
        self.secret = secret
        self.client = Client(enforce_csrf_checks=True)

    def post(self, data, name="gateway", kind="application/json", signature=None, prefix="sha256="):
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        made = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": prefix + made if signature is None else signature}
        return self.client.post(f"{PREFIX}gateway/{name}/", body, content_type=kind, headers=headers)


@pytest.fixture
def twilio(site):
    return Twilio()


@pytest.fixture
def gateway(site):
    return Gateway()


def suppressed():
    return list(Suppression.objects.filter(is_active=True).values_list("kind", "reason"))


def kinds():
    return list(TrackingEvent.objects.order_by("pk").values_list("kind", flat=True))


def refreshed(delivery):
    return Delivery.objects.get(pk=delivery.pk)
