"""The channels of the run over all channels at once, each with a provider that fails for one request in ten.

A channel adds itself to ``PARTICIPANTS``.
"""

import asyncio
import logging
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from example_project.mail import SMTP
from notifications.channels.push_services import encode_public_key, load_private_key
from notifications.channels.standard_webhooks import sign
from notifications.devices import register_device
from notifications.models import InboxItem, PushSubscription
from notifications.webhooks import create_endpoint
from tests.channels.chat_services import (
    DISCORD_PATH,
    PUSHOVER_TOKEN,
    PUSHOVER_USER,
    SLACK_PATH,
    TEAMS_PATH,
    answer_as_discord,
    answer_as_pushover,
    answer_as_slack,
    answer_as_teams,
)
from tests.channels.fcm_service import firebase, make_account
from tests.channels.http_services import Answer, http_service
from tests.channels.phone_matrix import CREATED
from tests.channels.servers import post_office
from tests.push.service import Browser, read_vapid

FAILURE_RATE = 0.1
TIMEOUT = 0.5
PUSH_KEY = "aG5tZqB6XlU2sQfYV8k1cU2cXh2dZ0f8Q0xwWq8r1nQ"  # placeholder, only for tests
MARK = re.compile(rb"mark\\*-(\d+)\\*-")
"""What a text contains, so that a provider's records can be compared with the outbox: ``mark-7-``. Some services need
a backslash before a hyphen."""
TROUBLES = (
    Answer(429, headers={"Retry-After": "7"}),
    Answer(500),
    Answer(503),
    Answer(way="close"),
    Answer(way="silence"),
)
REPLIES = {429: "451 4.7.0 Too many mails", 500: "451 4.3.0 Error", 503: "452 4.3.1 Try later"}


class Luck:
    """Chooses the requests that fail, the same ones for the same seed and order of requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.failures: Counter[str] = Counter()

    def draw(self) -> Answer | None:
        """Return a failure for one request in ten."""
        with self._lock:
            if self._random.random() >= FAILURE_RATE:
                return None
            trouble = self._random.choice(TROUBLES)
            self.failures[trouble.way or str(trouble.status)] += 1
            return trouble


@dataclass
class Provider:
    """A provider that runs.

    :param options: the options of the channel.
    :param accepted: how often each message was accepted, by the number in its mark.
    """

    options: dict[str, Any] = field(default_factory=dict)
    accepted: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, content: bytes) -> None:
        with self.lock:
            self.accepted.update({int(found) for found in MARK.findall(content)})

    def get_accepted(self) -> Counter[int]:
        return self.accepted


class Inbox(Provider):
    """The inbox has no provider that could fail: its records are in the database."""

    def get_accepted(self) -> Counter[int]:
        texts = InboxItem.objects.values_list("body", flat=True)
        return Counter(int(found) for text in texts for found in MARK.findall(text.encode()))


@dataclass(frozen=True)
class Participant:
    """A channel in the run.

    :param name: its name in the settings.
    :param serve: takes a ``Luck``, runs its provider and yields a ``Provider``.
    :param reach: makes a new user reachable on the channel of a ``Provider``.
    :param join: makes somebody reachable on it who is no recipient of a call.
    :param address: the address of a recipient without an account, and its kind. If there is one, the channel reaches
        that recipient and not the user.
    :param backend: the class of the channel, if the name does not imply it.
    """

    name: str
    serve: Callable[[Luck], AbstractContextManager[Provider]]
    reach: Callable[[Any, Any], Any] = lambda user, provider: None
    join: Callable[[Any], Any] = lambda provider: None
    address: tuple[str, str] | None = None
    backend: str = ""


def read_body(received):
    return received.body


def let_fail(service: Any, provider: Provider, luck: Luck, read: Callable[[Any], bytes] = read_body) -> None:
    """Let a service of ``http_service()`` fail by chance, and record what it accepts.

    :param read: returns the content of a request.
    """
    answer = service.answer

    def fail_or_answer(received):
        if trouble := luck.draw():
            return trouble
        found = answer(received)
        if 200 <= found.status < 300 and not found.way:
            provider.accept(read(received))
        return found

    service.answer = fail_or_answer


@contextmanager
def serve_fcm(luck):
    with firebase() as service:
        options = {"credentials": make_account(service.url), "url": service.url, "timeout": TIMEOUT}
        provider = Provider(options)
        let_fail(service.service, provider, luck)
        yield provider


class PushService(Provider):
    """A push service, and a browser that all users have. It decrypts messages."""

    def __init__(self, url: str) -> None:
        vapid = {"private_key": PUSH_KEY, "subject": "mailto:admin@example.com"}
        super().__init__({**vapid, "services": [url], "timeout": TIMEOUT})
        self.url = url
        self.browser = Browser()

    def answer(self, received):
        claims, _key = read_vapid(received.headers["Authorization"])
        return Answer(201 if claims["aud"] == self.url else 403)

    def subscribe(self, user):
        server_key = encode_public_key(load_private_key(PUSH_KEY))
        keys = {"p256dh": self.browser.p256dh, "auth": self.browser.auth, "server_key": server_key, "browser": "Test"}
        PushSubscription.objects.store(user, f"{self.url}/{user.pk}", keys, timezone.now())


@contextmanager
def serve_push(luck):
    with http_service() as service:
        provider = PushService(service.url)
        service.answer = provider.answer
        let_fail(service, provider, luck, lambda received: provider.browser.decrypt(received.body))
        yield provider


class Receiver(Provider):
    """A receiver of webhooks. It refuses a message whose signature is wrong."""

    def __init__(self, url: str) -> None:
        super().__init__({"allow_http": True, "allow": ["127.0.0.0/8"], "timeout": TIMEOUT})
        self.url = url
        self.secret = ""

    def join(self):
        self.secret = create_endpoint(None, f"{self.url}/hook").secret

    def answer(self, received):
        signed = (received.headers["webhook-id"], int(received.headers["webhook-timestamp"]), received.body)
        # The clock of the run is ahead, and the package for receivers compares the timestamp with the true one.
        return Answer(204 if received.headers["webhook-signature"] == sign(self.secret, *signed) else 401)


@contextmanager
def serve_webhook(luck):
    with http_service() as service:
        provider = Receiver(service.url)
        service.answer = provider.answer
        let_fail(service, provider, luck)
        yield provider


@contextmanager
def serve_email(luck):
    with post_office() as office:
        backend = {"host": "127.0.0.1", "port": office.port, "timeout": TIMEOUT}
        provider = Provider({"from_email": "shop@example.com", "backend": SMTP, "backend_options": backend})

        async def refuse(server, envelope):
            trouble = luck.draw()
            if trouble is None:
                provider.accept(envelope.content)
                return ""
            if trouble.way == "silence":
                await asyncio.sleep(TIMEOUT * 3)
            if trouble.way:
                server.transport.abort()
            return REPLIES.get(trouble.status, "421 4.3.2 Closing")

        office.refuse = refuse
        yield provider


@contextmanager
def serve_app(luck):
    yield Inbox()


@contextmanager
def serve_log(luck):
    provider = Provider({"logger": "tests.all_channels"})
    handler = logging.Handler()
    handler.emit = lambda record: provider.accept(record.getMessage().encode())
    logger = logging.getLogger("tests.all_channels")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield provider
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def serve_http(answer, make_options):
    """Return a function that serves a service with an HTTP API.

    :param answer: takes a request and returns the service's answer.
    :param make_options: takes the URL of the service and returns the options of the channel.
    """

    @contextmanager
    def serve(luck):
        with http_service() as service:
            service.answer = answer
            provider = Provider({**make_options(service.url), "timeout": TIMEOUT})
            let_fail(service, provider, luck)
            yield provider

    return serve


def name_url(path, scheme="http"):
    return lambda url: {"urls": {"ops": f"{scheme}{url.removeprefix('http')}{path}"}}


def use_twilio(url):
    return {"account_sid": "AC1", "auth_token": "placeholder", "sender": "+15005550006", "api_url": url}


PHONE = ("phone", "+4915112345678")

PARTICIPANTS: list[Participant] = [
    Participant("app", serve_app),
    Participant("email", serve_email),
    Participant("fcm", serve_fcm, lambda user, provider: register_device(user, f"token-{user.pk}", "android")),
    Participant("log", serve_log),
    Participant(
        "push",
        serve_push,
        lambda user, provider: provider.subscribe(user),
    ),
    Participant("webhook", serve_webhook, join=lambda provider: provider.join()),
    Participant("slack", serve_http(answer_as_slack, name_url(SLACK_PATH)), address=("slack", "ops")),
    Participant("discord", serve_http(answer_as_discord, name_url(DISCORD_PATH)), address=("discord", "ops")),
    Participant("teams", serve_http(answer_as_teams, name_url(TEAMS_PATH)), address=("teams", "ops")),
    Participant(
        "pushover",
        serve_http(answer_as_pushover, lambda url: {"token": PUSHOVER_TOKEN, "url": url}),
        address=("pushover", PUSHOVER_USER),
    ),
    Participant("apprise", serve_http(lambda _: Answer(200), name_url("/x", "json")), address=("apprise", "ops")),
    Participant("sms", serve_http(lambda _: CREATED, use_twilio), address=PHONE),
    Participant("voice", serve_http(lambda _: CREATED, use_twilio), address=PHONE),
    Participant(
        "sms gateway",
        serve_http(lambda _: Answer(202), lambda url: {"url": url, "body": {"to": "{to}", "text": "{text}"}}),
        address=PHONE,
        backend="notifications.channels.sms_gateway.SMSGatewayChannel",
    ),
]
