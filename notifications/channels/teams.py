"""The Microsoft Teams channel: adaptive cards, sent to workflows that post them.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using and
https://adaptivecards.io/explorer/
"""

import re
from collections.abc import Mapping
from typing import Any

from notifications.channels.characters import find_limit
from notifications.channels.chat_webhooks import ChatWebhookChannel, write_json
from notifications.channels.content import Content, find_urls, shorten
from notifications.channels.http import HTTPMessage
from notifications.channels.http_client import HTTPResponse
from notifications.events import NotificationPriority
from notifications.outcomes import Blame, Receipt

MAX_PAYLOAD_BYTES = 28_000
"""Teams refuses messages of more than 28 KB."""
TITLE_LENGTH = 250
SENDER_LENGTH = 250
BUTTON_LENGTH = 100
MAX_LINES = 200
BAD_REQUEST = 400
CODE = re.compile(r"[A-Za-z]{1,80}")
RUN_HEADER = "x-ms-workflow-run-id"
STYLES: Mapping[NotificationPriority, str] = {
    NotificationPriority.CRITICAL: "attention",
    NotificationPriority.HIGH: "warning",
    NotificationPriority.MEDIUM: "accent",
    NotificationPriority.LOW: "emphasis",
}
"""The styles of containers for priorities. Teams shows each in a color that suits its light or dark theme."""


class TeamsChannel(ChatWebhookChannel):
    """Post messages to Microsoft Teams. See :class:`ChatWebhookChannel` for the options."""

    address_kind = "teams"
    provider = "teams"
    service_hosts = ("*.logic.azure.com", "*.environment.api.powerplatform.com")
    path_pattern = re.compile(r"/(.*/)?workflows/.+/triggers/.+")

    def build_payload(self, content: Content) -> Mapping[str, Any]:
        def fits(limit: int) -> bool:
            return len(write_json(_build_message(content, shorten(content.text, limit)))) <= MAX_PAYLOAD_BYTES

        limit = find_limit(min(len(content.text), MAX_PAYLOAD_BYTES), fits)
        return _build_message(content, shorten(content.text, limit))

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        code = _find_code(response)
        if response.is_success or not code:
            return super().read_response(message, response)
        verdict, blames = self.judge_status(response.status)
        if response.status == BAD_REQUEST and code.startswith("Workflow"):
            # The workflow is switched off, or has changed.
            blames = Blame.RECIPIENT
        return self.refuse(message, response, verdict, blames, code=f"{response.status} {code}")

    def find_message_id(self, response: HTTPResponse) -> str:
        return str(response.headers.get(RUN_HEADER, ""))


def _find_code(response: HTTPResponse) -> str:
    """Return the code of an error, such as ``"WorkflowTriggerIsNotEnabled"``; empty if there is none."""
    answer = response.json()
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and CODE.fullmatch(code) else ""


def _build_message(content: Content, text: str) -> dict[str, Any]:
    title = {"type": "TextRun", "text": shorten(content.title, TITLE_LENGTH), "weight": "Bolder", "size": "Medium"}
    head = {
        "type": "Container",
        "style": STYLES[content.priority],
        "bleed": True,
        "items": [{"type": "RichTextBlock", "inlines": [title]}],
    }
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [head, *_build_lines(text)],
    }
    if content.sender:
        sender = {"type": "TextRun", "text": shorten(content.sender, SENDER_LENGTH), "isSubtle": True, "size": "Small"}
        card["body"].append({"type": "RichTextBlock", "inlines": [sender], "separator": True})
    if content.url:
        label = shorten(content.url_label, BUTTON_LENGTH)
        card["actions"] = [{"type": "Action.OpenUrl", "title": label, "url": content.url}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _build_lines(text: str) -> list[dict[str, Any]]:
    """Return a block for each line. The text in such blocks is no markdown, so that nothing in it needs escaping."""
    lines = [line.rstrip() for line in text.splitlines()]
    if len(lines) > MAX_LINES:
        lines[MAX_LINES - 1 :] = [" ".join(filter(None, lines[MAX_LINES - 1 :]))]
    blocks: list[dict[str, Any]] = []
    is_paragraph = True
    for line in lines:
        if line:
            block: dict[str, Any] = {"type": "RichTextBlock", "inlines": _build_runs(line)}
            if not is_paragraph:
                block["spacing"] = "None"
            blocks.append(block)
        is_paragraph = not line
    return blocks


def _build_runs(line: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    end = 0
    for start, stop in find_urls(line):
        if start > end:
            runs.append({"type": "TextRun", "text": line[end:start]})
        url = line[start:stop]
        runs.append({"type": "TextRun", "text": url, "selectAction": {"type": "Action.OpenUrl", "url": url}})
        end = stop
    if end < len(line):
        runs.append({"type": "TextRun", "text": line[end:]})
    return runs
