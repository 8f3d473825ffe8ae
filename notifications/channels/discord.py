"""The Discord channel: messages with an embed, sent to incoming webhooks.

https://docs.discord.com/developers/resources/webhook#execute-webhook
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from notifications.channels.chat_webhooks import BUSY, ChatWebhookChannel, find_secrets
from notifications.channels.content import Content, shorten, shorten_written, write_with_urls
from notifications.channels.http import HTTPMessage
from notifications.channels.http_client import HTTPRequest, HTTPResponse
from notifications.outcomes import Blame, Receipt, Verdict

TITLE_LENGTH = 256
# Title, text and footer together have at most 6000 characters.
TEXT_LENGTH = 4096
FOOTER_LENGTH = 256
BUTTON_LENGTH = 80
BUTTON_URL_LENGTH = 512
ROW, BUTTON, LINK_STYLE = 1, 2, 5
MARKUP = re.compile(r"([\\*_~`|<>\[\]()#@-])")
API_PATH = re.compile(r"/api(/v\d+)?/webhooks/")
REFUSED_WEBHOOKS = {10015, 50027, 220001, 220002, 220003}
"""Unknown webhook, invalid token, and webhooks of forums, which need ``thread_id`` in their URL."""


class DiscordChannel(ChatWebhookChannel):
    """Post messages to Discord. See :class:`ChatWebhookChannel` for the options."""

    address_kind = "discord"
    provider = "discord"
    service_hosts = ("discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com")
    path_pattern = re.compile(r"/api(/v\d+)?/webhooks/\d+/[\w-]+")

    def check_credentials(self) -> str:
        """Fetch each webhook of the option ``urls``, which posts nothing.

        https://docs.discord.com/developers/resources/webhook#get-webhook-with-token
        """
        for name, url in self.urls.items():
            self.secrets = find_secrets(url)
            request = HTTPRequest(urlunsplit(urlsplit(url)._replace(query="", fragment="")), method="GET")
            self.ask(request, (f"urls[{name}]",))
        return f"Discord knows the webhooks {', '.join(self.urls)}." if self.urls else ""

    def build_payload(self, content: Content) -> Mapping[str, Any]:
        embed: dict[str, Any] = {
            "title": shorten_written(content.title, TITLE_LENGTH, _escape),
            "color": int(content.color[1:], 16),
            "timestamp": content.at.isoformat(),
        }
        if content.text:
            embed["description"] = shorten_written(content.text, TEXT_LENGTH, write_markdown)
        if content.sender:
            embed["footer"] = {"text": shorten(content.sender, FOOTER_LENGTH)}
        payload: dict[str, Any] = {"embeds": [embed], "allowed_mentions": {"parse": []}}
        if content.url:
            embed["url"] = content.url
        if 0 < len(content.url) <= BUTTON_URL_LENGTH:
            label = shorten(content.url_label, BUTTON_LENGTH)
            button = {"type": BUTTON, "style": LINK_STYLE, "label": label, "url": content.url}
            payload["components"] = [{"type": ROW, "components": [button]}]
        return payload

    def complete_url(self, url: str, payload: Mapping[str, Any]) -> str:
        """Return the URL of version 10 of the API, whose answer contains the id of the message.

        A URL without a version leads to an old one, which states times in another unit.
        """
        parts = urlsplit(url)
        query = [(name, value) for name, value in parse_qsl(parts.query) if name == "thread_id"]
        query.append(("wait", "true"))
        if "components" in payload:
            query.append(("with_components", "true"))
        path = API_PATH.sub("/api/v10/webhooks/", parts.path, count=1)
        return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))

    def find_message_id(self, response: HTTPResponse) -> str:
        answer = response.json()
        number = answer.get("id") if isinstance(answer, dict) else None
        return number if isinstance(number, str) else ""

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        if response.is_success:
            return self.accept(message, response)
        answer = response.json()
        answer = answer if isinstance(answer, dict) else {}
        number = answer.get("code")
        number = number if isinstance(number, int) and not isinstance(number, bool) else 0
        verdict, blames = self.judge_status(response.status)
        if number in REFUSED_WEBHOOKS:
            verdict, blames = Verdict.PERMANENT, Blame.RECIPIENT
        elif response.status == BUSY and (not answer or answer.get("global") is True):
            # The limit of the site's address, and not of one webhook.
            blames = Blame.PROVIDER
        code = f"{response.status} {number or ''}".strip()
        receipt = self.refuse(message, response, verdict, blames, code=code)
        if verdict is Verdict.TEMPORARY and (wait := _read_seconds(answer.get("retry_after"))) is not None:
            return replace(receipt, retry_after=wait)
        return receipt


def _read_seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return float(value)


def write_markdown(text: str) -> str:
    """Return a text in Discord's markdown that is shown as it is, with its URLs as links."""
    return write_with_urls(text, _escape, lambda url: url)


def _escape(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)
