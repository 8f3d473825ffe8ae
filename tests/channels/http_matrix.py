"""What each channel with an HTTP API makes of each answer of its provider: the table of docs/channels/http-answers.md.

A channel adds itself to ``CHANNELS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from notifications.channels.apprise import AppriseChannel
from notifications.channels.discord import DiscordChannel
from notifications.channels.pushover import PushoverChannel
from notifications.channels.slack import SlackChannel
from notifications.channels.teams import TeamsChannel
from notifications.outcomes import Blame, Verdict
from tests.channels.chat_services import PUSHOVER_TOKEN, PUSHOVER_USER, make_delivery, make_rendered
from tests.channels.fcm_matrix import make_fcm_channel, make_fcm_message
from tests.channels.http_services import Answer
from tests.channels.phone_matrix import (
    CREATED,
    make_gateway_channel,
    make_phone_message,
    make_sms_channel,
    make_voice_channel,
)

TROUBLES = {
    "400": Answer(400),
    "401": Answer(401),
    "403": Answer(403),
    "404": Answer(404),
    "410": Answer(410),
    "413": Answer(413),
    "429": Answer(429, headers={"Retry-After": "7"}),
    "302": Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
    "500": Answer(500),
    "502": Answer(502),
    "503": Answer(503, headers={"Retry-After": "7"}),
    "504": Answer(504),
    "closed": Answer(way="close"),
    "cut body": Answer(200, b"{", way="cut"),
    "silence": Answer(way="silence"),
}
"""The columns: the status, or what happens to the connection. There are two more: success, and no connection."""
WORDS = {
    Verdict.ACCEPTED: "sent",
    Verdict.TEMPORARY: "retry",
    Verdict.PERMANENT: "dead",
    Verdict.CONFIGURATION: "settings",
    Verdict.UNKNOWN: "unknown",
}
ASIDE = {Blame.RECIPIENT: " (1)", Blame.MESSAGE: "", Blame.PROVIDER: "", Blame.NETWORK: "", Blame.SILENCE: ""}


@dataclass(frozen=True)
class Row:
    """A channel in the table.

    :param make: takes the URL of the fake service and returns the channel, with a timeout of at most 0.5 seconds.
    :param make_message: takes the channel and returns a message.
    :param success: the answer of the service to an accepted message.
    """

    name: str
    make: Callable[[str], Any]
    make_message: Callable[[Any], Any]
    success: Answer


def make_webhook(kind):
    return lambda url: kind(urls={"ops": f"{url}/hook"}, timeout=0.5)


def make_apprise(url):
    return AppriseChannel(urls={"ops": f"json://{url.removeprefix('http://')}/hook"}, timeout=0.5)


def make_pushover(url):
    return PushoverChannel(PUSHOVER_TOKEN, timeout=0.5, url=url)


def make_named_message(channel):
    return channel.prepare(make_delivery("ops"), make_rendered())


def make_pushover_message(channel):
    return channel.prepare(make_delivery(PUSHOVER_USER), make_rendered())


CHANNELS: list[Row] = [
    Row("fcm", make_fcm_channel, make_fcm_message, Answer(200, {"name": "projects/shop-1234/messages/1"})),
    Row("sms", make_sms_channel, make_phone_message, CREATED),
    Row("voice", make_voice_channel, make_phone_message, CREATED),
    Row("SMS gateway", make_gateway_channel, make_phone_message, Answer(202)),
    Row("slack", make_webhook(SlackChannel), make_named_message, Answer(200, "ok")),
    Row("discord", make_webhook(DiscordChannel), make_named_message, Answer(200, {"id": "1"})),
    Row("teams", make_webhook(TeamsChannel), make_named_message, Answer(202)),
    Row("pushover", make_pushover, make_pushover_message, Answer(200, {"status": 1, "request": "1"})),
    Row("apprise", make_apprise, make_named_message, Answer(200)),
]


def describe(receipt):
    word = WORDS[receipt.verdict] + ASIDE[receipt.blames]
    return f"{word}, {receipt.retry_after:g} s" if receipt.retry_after else word


def measure(row, service):
    """Return the cells of a channel, from what it makes of each answer of the service."""

    def send():
        channel = row.make(service.url)
        try:
            [receipt] = channel.send([row.make_message(channel)])
        finally:
            channel.close()
        return receipt

    cells = []
    for answer in (row.success, *TROUBLES.values()):
        service.answers = [answer]
        receipt = send()
        assert receipt.verdict is Verdict.ACCEPTED or receipt.error
        cells.append(describe(receipt))
    service.stop()
    return [*cells, describe(send())]
