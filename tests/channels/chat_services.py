"""Chat and push services on loopback, which accept and refuse messages as their documentation says."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from notifications.channels.base import Rendered
from notifications.channels.content import Content
from notifications.events import NotificationPriority
from notifications.models import Cluster, Delivery, Notification
from tests.channels.http_services import Answer, http_service

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SLACK_PATH = "/services/T0AAAAAAA/B0BBBBBBB/sEcReTsEcReTsEcReTsEcReT"
DISCORD_PATH = "/api/webhooks/123456789012345678/dIsCoRd-s3cr3t_t0ken"
TEAMS_PATH = "/workflows/0123456789abcdef/triggers/manual/paths/invoke?api-version=2016-06-01&sig=tEaMs-s3cr3t"
PUSHOVER_TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
PUSHOVER_USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
PUSHOVER_RECEIPT = "rLqVuqTRh62UzxtmqiaLzQmVcPgiCy"
RUN_ID = "08584300000000000000000000000CU00"


def is_text(value, most):
    return isinstance(value, str) and 0 < len(value) <= most


def answer_as_slack(received):
    """https://docs.slack.dev/reference/block-kit/blocks and the errors of incoming webhooks."""
    kind, *rest = received.path.strip("/").split("/")
    if kind != "services" or len(rest) != 3:
        return Answer(404, "no_service")
    payload = received.json
    blocks = [payload["blocks"], *(attachment["blocks"] for attachment in payload.get("attachments", ()))]
    if not all(map(is_slack_block, sum(blocks, []))) or any(len(group) > 50 for group in blocks):
        return Answer(400, "invalid_blocks")
    return Answer(200, "ok") if is_text(payload["text"], 40_000) else Answer(400, "no_text")


def is_slack_block(block):
    if block["type"] == "header":
        return block["text"]["type"] == "plain_text" and is_text(block["text"]["text"], 150)
    if block["type"] == "section":
        return is_text(block["text"]["text"], 3000)
    if block["type"] == "context":
        return all(is_text(element["text"], 3000) for element in block["elements"])
    [button] = block["elements"]
    return block["type"] == "actions" and is_text(button["text"]["text"], 75) and is_text(button["url"], 3000)


def answer_as_discord(received):
    """https://docs.discord.com/developers/resources/webhook#execute-webhook and the limits of embeds and buttons."""
    parts = urlsplit(received.path)
    query = parse_qs(parts.query)
    if not parts.path.startswith("/api/v10/webhooks/"):
        return Answer(404, {"message": "404: Not Found", "code": 0})
    [embed] = received.json["embeds"]
    texts = [embed["title"], embed.get("description", ""), embed.get("footer", {}).get("text", "")]
    rows = received.json.get("components", ())
    is_valid = (
        is_text(embed["title"], 256)
        and len(texts[1]) <= 4096
        and len(texts[2]) <= 2048
        and sum(map(len, texts)) <= 6000
        and 0 <= embed["color"] <= 0xFFFFFF
        and all(is_text(one["label"], 80) and is_text(one["url"], 512) for row in rows for one in row["components"])
    )
    if not is_valid:
        errors = {"embeds": {"0": {"title": {"_errors": [{"code": "BASE_TYPE_BAD_LENGTH"}]}}}}
        return Answer(400, {"message": "Invalid Form Body", "code": 50035, "errors": errors})
    if rows and query.get("with_components") != ["true"]:
        return Answer(400, {"message": "Invalid Form Body", "code": 50035})
    if query.get("wait") != ["true"]:
        return Answer(204)
    return Answer(200, {"id": "1234567890", "type": 0, "channel_id": "1"})


def answer_as_teams(received):
    """The limit of Teams for messages, and the schema of https://adaptivecards.io/explorer/ version 1.4."""
    if len(received.body) > 28 * 1024:
        return Answer(413, {"error": {"code": "RequestEntityTooLarge"}})
    [attachment] = received.json["attachments"]
    card = attachment["content"]
    is_card = attachment["contentType"] == "application/vnd.microsoft.card.adaptive" and card["type"] == "AdaptiveCard"
    if not is_card or not all(is_card_element(element) for element in card["body"]):
        return Answer(400, {"error": {"code": "InvalidTemplate"}})
    return Answer(202, b"", {"x-ms-workflow-run-id": RUN_ID})


def is_card_element(element):
    if element["type"] == "Container":
        return element["style"] in {"default", "emphasis", "good", "attention", "warning", "accent"}
    return element["type"] == "RichTextBlock" and all(is_text(run["text"], 30_000) for run in element["inlines"])


def answer_as_pushover(received):
    """https://pushover.net/api, with the limits and the fields of emergencies."""
    form = received.form
    faults = {}
    if form.get("token") != PUSHOVER_TOKEN:
        faults["token"] = "application token is invalid"
    elif not form.get("user", "").startswith("u"):
        faults["user"] = "user identifier is not a valid user, group, or subscribed user key"
    elif not is_text(form.get("message"), 1024):
        faults["message"] = "message cannot be blank"
    elif len(form.get("title", "")) > 250 or len(form.get("url", "")) > 512 or len(form.get("url_title", "")) > 100:
        faults["title"] = "is too long"
    elif form["priority"] == "2" and not (int(form["retry"]) >= 30 and 0 < int(form["expire"]) <= 10_800):
        faults["expire"] = "must be supplied with priority=2"
    if faults:
        body = {**dict.fromkeys(faults, "invalid"), "errors": [*faults.values()], "status": 0, "request": "r-1"}
        return Answer(400, body)
    receipt = {"receipt": PUSHOVER_RECEIPT} if form["priority"] == "2" else {}
    return Answer(200, {"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b", **receipt})


@contextmanager
def chat_service(answer):
    """Run a service that answers by a function, unless a test has put something into ``answers``."""
    with http_service() as service:
        service.answer = lambda received: service.answers.pop(0) if service.answers else answer(received)
        yield service


def make_content(**values):
    return Content(
        **{
            "title": "Pump 3 has stopped",
            "text": "Pressure fell at 12:00.",
            "priority": NotificationPriority.HIGH,
            "url": "https://shop.example.com/pumps/3/",
            "url_label": "Open",
            "sender": "shop.example.com",
            "at": NOON,
            **values,
        }
    )


def make_delivery(address="", recipient_id=None, digest_kind="", **values):
    """Return a delivery that is not in the database."""
    notification = Notification(
        cluster=Cluster(pk=1, slug="default"),
        created_at=NOON,
        digest_kind=digest_kind,
        **{"event": "message", "priority": NotificationPriority.HIGH, "context": {"message": "Hi"}, **values},
    )
    return Delivery(pk=7, notification=notification, address=address, recipient_id=recipient_id)


def make_rendered(text="Some text.", subject="A subject", **values):
    return Rendered({"txt": text, "subject.txt": subject}, "en", **values)


def post(channel, address, **rendered):
    """Send one message to an address without an account and return the receipt."""
    message = channel.prepare(make_delivery(address), make_rendered(**rendered))
    [receipt] = channel.send([message])
    assert receipt.message is message
    return receipt


def body_of(service):
    return json.loads(service.received[-1].body)
