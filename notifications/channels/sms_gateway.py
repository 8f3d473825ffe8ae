"""SMS by any gateway with an HTTP API, which is described by the options of the channel."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from notifications.channels.base import Rendered
from notifications.channels.gateway_callback import GatewayCallback
from notifications.channels.http import ERROR_LENGTH, HTTPChannel, HTTPMessage
from notifications.channels.http_client import HTTPRequest, HTTPResponse
from notifications.channels.json_paths import find_value
from notifications.channels.twilio_sms import check_max_segments, write_text
from notifications.core.tokens import make_token
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

REFERENCE_PURPOSE = "sms gateway"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
PLACEHOLDERS = ("to", "digits", "text", "reference", "idempotency_key")
MIN_SECRET_LENGTH = 8
"""Shorter texts, such as ``"sms"``, may be parts of ordinary words."""


class SMSGatewayChannel(HTTPChannel):
    """Send SMS by a gateway with an HTTP API.

    Options:

    - ``url`` and ``method``, ``"POST"``, ``"PUT"`` or ``"GET"``; a GET request has the body in its URL.
    - ``body``: a dict whose texts can contain ``{to}``, the number with a plus sign; ``{digits}``, the number without
      it; ``{text}``; ``{reference}``, a token that names the delivery in callbacks; ``{idempotency_key}``.
    - ``format``: ``"json"`` or ``"form"``.
    - ``headers``: a dict of texts, which are secret.
    - ``success``: the statuses of accepted messages.
    - ``id_path``, ``error_path``: where an answer contains the id of the message, and the error. A path consists of
      names and numbers with dots between them, such as ``"messages.0.id"``.
    - ``recipient_errors``: the errors at this path that are about the number only.
    - ``idempotency_header``: the header for the key with which the gateway ignores repetitions.
    - ``max_segments``, ``transliterate``: as those of the channel of Twilio.
    - ``callback``: how the gateway reports what happens to messages; see :class:`GatewayCallback`.

    :raises ValueError: if an option is invalid.
    :raises MissingExtra: if ``requests`` is not installed.
    """

    address_kind = "phone"
    provider = "SMS gateway"

    def __init__(
        self,
        url: str = "",
        body: Mapping[str, Any] | None = None,
        method: str = "POST",
        format: str = "json",  # noqa: A002 - the name of the option
        headers: Mapping[str, str] | None = None,
        success: Sequence[int] = (200, 201, 202, 204),
        id_path: str = "",
        error_path: str = "",
        recipient_errors: Sequence[str] = (),
        idempotency_header: str = "",
        max_segments: int = 3,
        transliterate: bool = False,
        callback: Mapping[str, Any] | None = None,
        timeout: float = 10,
    ) -> None:
        super().__init__(timeout)
        self.url, self.method, self.format = url, method, format
        self.body, self.headers, self.success = body or {}, dict(headers or {}), tuple(success)
        self.id_path, self.error_path = id_path, error_path
        self.recipient_errors = frozenset(map(str, recipient_errors))
        self.idempotency_header, self.idempotent = idempotency_header, bool(idempotency_header)
        self.max_segments, self.transliterate = check_max_segments(max_segments), transliterate
        _check_request(url, method, format, self.body)
        self.callback = GatewayCallback.read(callback) if callback else None
        self.secrets = sorted(set(_find_secrets(url, self.headers, self.body)), key=len, reverse=True)

    def prepare(self, delivery: Delivery, rendered: Rendered) -> HTTPMessage:
        values = {
            "to": delivery.address,
            "digits": delivery.address.lstrip("+"),
            "text": write_text(rendered, self.max_segments, self.transliterate),
            "reference": make_token(REFERENCE_PURPOSE, delivery.pk),
            "idempotency_key": delivery.idempotency_key,
        }
        headers = dict(self.headers)
        if self.idempotency_header:
            headers[self.idempotency_header] = delivery.idempotency_key
        return HTTPMessage(self._build_request(fill(self.body, values), headers))

    def _build_request(self, body: Any, headers: dict[str, str]) -> HTTPRequest:
        if self.method == "GET":
            joint = "&" if urlsplit(self.url).query else "?"
            return HTTPRequest(self.url + joint + urlencode(body, doseq=True), b"", headers, "GET")
        if self.format == "form":
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
            return HTTPRequest(self.url, urlencode(body, doseq=True).encode(), headers, self.method)
        headers.setdefault("Content-Type", "application/json")
        return HTTPRequest(self.url, json.dumps(body).encode(), headers, self.method)

    def find_message_id(self, response: HTTPResponse) -> str:
        found = find_value(response.json(), self.id_path)
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        error = self._find_error(response)
        if response.status in self.success and not error:
            return self.accept(message, response)
        if error in self.recipient_errors:
            verdict, blames = Verdict.PERMANENT, Blame.RECIPIENT
        elif response.is_success:
            # The gateway answers errors with a status of success, or this one is missing in the option.
            verdict, blames = Verdict.PERMANENT, Blame.MESSAGE
        else:
            verdict, blames = self.judge_status(response.status)
        if not error:
            return self.refuse(message, response, verdict, blames)
        text = f"{response.status}: {self.hide(' '.join(error.split()))}"[:ERROR_LENGTH]
        return self.refuse(message, response, verdict, blames, error=text, code=self.hide(error)[:40])

    def _find_error(self, response: HTTPResponse) -> str:
        found = find_value(response.json(), self.error_path)
        # Many gateways answer "0" for success.
        return "" if not found or found == "0" else str(found)


def fill(template: Any, values: Mapping[str, str]) -> Any:
    """Return a template with its placeholders replaced, at once: what a text contains is not replaced again."""
    if isinstance(template, str):
        return PLACEHOLDER.sub(lambda found: values[found[1]], template)
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [fill(value, values) for value in template]
    return template


def _check_request(url: str, method: str, format_: str, body: Any) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError("The option 'url' must be the URL of the gateway.")
    if method not in ("POST", "PUT", "GET"):
        raise ValueError("The option 'method' must be 'POST', 'PUT' or 'GET'.")
    if format_ not in ("json", "form"):
        raise ValueError("The option 'format' must be 'json' or 'form'.")
    if not isinstance(body, Mapping):
        raise ValueError('The option \'body\' must be a dict such as {"to": "{to}", "text": "{text}"}.')  # noqa: TRY004
    used = {name for text in _find_texts(body) for name in PLACEHOLDER.findall(text)}
    if unknown := sorted(used - set(PLACEHOLDERS)):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"The option 'body' contains {{{unknown[0]}}}. The placeholders are {known}.")
    if "text" not in used or not used & {"to", "digits"}:
        raise ValueError("The option 'body' must contain {text}, and {to} or {digits}.")
    if (method == "GET" or format_ == "form") and not _is_flat(body):
        raise ValueError(
            "A form cannot contain a dict. Set the option 'format' to 'json', or use names such as 'a[b]'."
        )


def _is_flat(body: Mapping[str, Any]) -> bool:
    values = [item for value in body.values() for item in (value if isinstance(value, list | tuple) else [value])]
    return not any(isinstance(value, Mapping | list | tuple) for value in values)


def _find_texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from _find_texts(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from _find_texts(value)


def _find_secrets(url: str, headers: Mapping[str, str], body: Any) -> Iterator[str]:
    """Yield the texts of the options that may be secret: those of headers, fixed ones of the body, parts of the URL."""
    parts = urlsplit(url)
    found = [parts.username, parts.password, parts.query, *parts.path.split("/"), *parts.query.split("&")]
    found += [pair.partition("=")[2] for pair in parts.query.split("&")]
    for value in headers.values():
        found += [value, *value.split()]
    found += [text for text in _find_texts(body) if not PLACEHOLDER.search(text)]
    for text in found:
        if text and len(text) >= MIN_SECRET_LENGTH:
            yield text
