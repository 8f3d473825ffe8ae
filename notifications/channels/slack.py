"""The Slack channel: messages with blocks, sent to incoming webhooks.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import re
from collections.abc import Mapping
from typing import Any

from notifications.channels.chat_webhooks import ChatWebhookChannel
from notifications.channels.content import Content, shorten, shorten_written, write_with_urls
from notifications.channels.http import HTTPMessage
from notifications.channels.http_client import HTTPResponse
from notifications.outcomes import Blame, Receipt, Verdict

HEADER_LENGTH = 150
SECTION_LENGTH = 3000
BUTTON_LENGTH = 75
WORD = re.compile(r"[a-z_]{1,60}")
REFUSED_WEBHOOKS = {
    "user_not_found",
    "channel_not_found",
    "channel_is_archived",
    "action_prohibited",
    "posting_to_general_channel_denied",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "team_disabled",
    "invalid_token",
}
"""Errors of a webhook, which has been removed or may not post."""
BUSY_WORDS = {"rate_limited", "ratelimited"}


class SlackChannel(ChatWebhookChannel):
    """Post messages to Slack. See :class:`ChatWebhookChannel` for the options."""

    address_kind = "slack"
    provider = "slack"
    service_hosts = ("hooks.slack.com", "hooks.slack-gov.com")
    path_pattern = re.compile(r"/services/\w+/\w+/\w+")

    def build_payload(self, content: Content) -> Mapping[str, Any]:
        blocks: list[dict[str, Any]] = []
        if content.text:
            text = shorten_written(content.text, SECTION_LENGTH, write_mrkdwn)
            blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}})
        if content.url:
            blocks.append({"type": "actions", "elements": [_build_button(content)]})
        if content.sender:
            sender = {"type": "plain_text", "text": shorten(content.sender, HEADER_LENGTH)}
            blocks.append({"type": "context", "elements": [sender]})
        title = {"type": "plain_text", "text": shorten(content.title, HEADER_LENGTH)}
        payload: dict[str, Any] = {
            # Screen readers and notifications of the system use it instead of the blocks.
            "text": shorten_written(f"{content.title}\n{content.text}".strip(), SECTION_LENGTH, write_mrkdwn),
            "blocks": [{"type": "header", "text": title}],
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if blocks:
            payload["attachments"] = [{"color": content.color, "blocks": blocks}]
        return payload

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        word = _find_error(response)
        if response.is_success and not word:
            return self.accept(message, response)
        verdict, blames = self.judge_status(response.status)
        if word in BUSY_WORDS:
            verdict, blames = Verdict.TEMPORARY, Blame.RECIPIENT
        elif word in REFUSED_WEBHOOKS:
            verdict, blames = Verdict.PERMANENT, Blame.RECIPIENT
        elif response.is_success:
            verdict, blames = Verdict.PERMANENT, Blame.MESSAGE
        return self.refuse(message, response, verdict, blames, code=f"{response.status} {word}".strip())


def _find_error(response: HTTPResponse) -> str:
    """Return the word for the error of an answer; empty if there is none.

    A webhook answers with the word alone. Methods of the API answer 200 and ``{"ok": false, "error": "word"}``.
    """
    answer = response.json()
    if isinstance(answer, dict) and answer.get("ok") is False:
        word = str(answer.get("error") or "unknown_error")
    else:
        word = "" if response.is_success else response.text.strip()
    return word if WORD.fullmatch(word) else "unknown_error" if response.is_success and word else ""


def _build_button(content: Content) -> dict[str, Any]:
    label = {"type": "plain_text", "text": shorten(content.url_label, BUTTON_LENGTH)}
    return {"type": "button", "text": label, "url": content.url, "action_id": "open"}


def write_mrkdwn(text: str) -> str:
    """Return a text in Slack's markup, with its URLs as links.

    Nothing in it mentions anybody or is a link whose text hides its target.
    """
    return write_with_urls(text, _escape, lambda url: f"<{_escape(url)}>")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
