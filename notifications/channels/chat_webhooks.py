"""Incoming webhooks of chat services: URLs to which messages are posted. Each is a secret: it lets anybody post."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from notifications.channels.base import Rendered
from notifications.channels.content import Content, build_content
from notifications.channels.http import HTTPChannel, HTTPMessage
from notifications.channels.http_client import Failure, HTTPFailure, HTTPRequest
from notifications.channels.push_services import is_allowed_service
from notifications.core.addresses import URL_NAME_PATTERN, URL_SCHEME_PATTERN
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
MIN_SECRET_LENGTH = 6
BUSY = 429


@dataclass(frozen=True)
class RefusedMessage:
    """A message that is not sent, because of its address."""

    fault: str


@dataclass(frozen=True)
class WebhookMessage(HTTPMessage):
    """A message for a webhook, with the texts that no error about it may show."""

    secrets: Sequence[str] = field(default=(), repr=False)


class ChatWebhookChannel(HTTPChannel):
    """Post messages to incoming webhooks of a service.

    An address is the URL of a webhook or, for recipients without an account, the name of one in the option ``urls``. A
    subclass has these attributes and implements ``build_payload()``:

    - ``service_hosts``: the hosts of the service, with ``*.`` for subdomains.
    - ``path_pattern``: what the path of a webhook on these hosts looks like.

    :param urls: webhooks by name, for channels of a team. Their hosts may be any.
    :param hosts: more hosts, or beginnings such as ``http://127.0.0.1:8080``, that URLs of users may have.
    :param timeout: the seconds for a request.
    """

    required_parts = ("txt",)
    optional_parts = ("subject.txt",)
    is_address_url = True
    service_hosts: ClassVar[Sequence[str]] = ()
    path_pattern: ClassVar[re.Pattern[str]] = re.compile(r"/.+")

    def __init__(self, urls: Mapping[str, str] | None = None, hosts: Sequence[str] = (), timeout: float = 10) -> None:
        super().__init__(timeout)
        self.urls = read_urls(urls or {}, ("http", "https"))
        if isinstance(hosts, str) or not all(isinstance(host, str) for host in hosts):
            raise ValueError("The option 'hosts' must be a list of hosts.")
        self.hosts = tuple(hosts)

    def build_payload(self, content: Content) -> Mapping[str, Any]:
        """Return the message as the service takes it."""
        raise NotImplementedError

    def complete_url(self, url: str, payload: Mapping[str, Any]) -> str:
        """Return the URL for a message."""
        return url

    def prepare(self, delivery: Delivery, rendered: Rendered) -> WebhookMessage | RefusedMessage:
        payload = self.build_payload(build_content(delivery, rendered))
        try:
            url = self.find_url(delivery)
        except ValueError as error:
            return RefusedMessage(str(error))
        request = HTTPRequest(self.complete_url(url, payload), write_json(payload), JSON_HEADERS)
        return WebhookMessage(request, find_secrets(url))

    def find_url(self, delivery: Delivery) -> str:
        """Return the webhook of a delivery.

        :raises ValueError: if the address is neither the URL of such a webhook nor the name of one.
        """
        address = delivery.address
        if not URL_SCHEME_PATTERN.match(address):
            return find_named_url(self.urls, delivery)
        if is_allowed_service(address, self.hosts):
            return address
        if not is_allowed_service(address, self.service_hosts):
            raise ValueError(f"The host of the address belongs to neither {self.provider} nor the option 'hosts'.")
        if not self.path_pattern.fullmatch(urlsplit(address).path):
            raise ValueError(f"The address is not that of an incoming webhook of {self.provider}.")
        return address

    def post(self, message: Any) -> Receipt:
        if isinstance(message, RefusedMessage):
            return Receipt(message, Verdict.PERMANENT, self.provider, error=message.fault, blames=Blame.RECIPIENT)
        self.secrets = message.secrets
        return super().post(message)

    def judge_status(self, status: int) -> tuple[Verdict, Blame]:
        if status == BUSY:
            # The limit of a webhook.
            return Verdict.TEMPORARY, Blame.RECIPIENT
        return super().judge_status(status)

    def read_failure(self, message: HTTPMessage, failure: HTTPFailure) -> Receipt:
        receipt = super().read_failure(message, failure)
        host = urlsplit(message.request.url).hostname
        if host in self.service_hosts and failure.kind is not Failure.INVALID:
            # All recipients have this host, and none can choose another one.
            kinds = {Failure.UNREACHABLE: Blame.NETWORK, Failure.SILENCE: Blame.SILENCE}
            return replace(receipt, blames=kinds.get(failure.kind, Blame.PROVIDER))
        return receipt


def write_json(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def read_urls(urls: Any, schemes: Sequence[str] = ()) -> dict[str, str]:
    """Return the option ``urls``.

    :param schemes: the schemes that a URL may have; any if empty.
    :raises ValueError: if it does not map names to URLs. The message contains no URL.
    """
    if not isinstance(urls, Mapping) or not all(isinstance(name, str) for name in urls):
        raise ValueError("The option 'urls' must be a dict of names and URLs.")
    for name, url in urls.items():
        if not URL_NAME_PATTERN.fullmatch(name):
            raise ValueError(
                f"The option 'urls' has the name {name!r:.80}. Use at most 50 letters, digits, points, - and _."
            )
        found = URL_SCHEME_PATTERN.match(url) if isinstance(url, str) and url.isprintable() else None
        if not found or (schemes and found[1].lower() not in schemes):
            raise ValueError(f"The option 'urls' has no valid URL for {name!r}.")
    return dict(urls)


def find_named_url(urls: Mapping[str, str], delivery: Delivery) -> str:
    """Return the URL whose name is the address of a delivery.

    :raises ValueError: if there is none, or the recipient has an account.
    """
    if delivery.recipient_id is not None:
        # Users choose their own addresses, and may not post in the channels of a team.
        raise ValueError("The address of a user must be a URL. Only an Address(…) can name an entry of 'urls'.")
    if delivery.address not in urls:
        known = ", ".join(sorted(urls)) or "nothing"
        raise ValueError(f"The address is neither a URL nor one of the names in the option 'urls', which has {known}.")
    return urls[delivery.address]


def find_secrets(url: str) -> tuple[str, ...]:
    """Return the parts of a URL that no error may show, the longest first."""
    rest = URL_SCHEME_PATTERN.sub("", url, count=1)
    host = urlsplit(url).netloc.rpartition("@")[2] if url.lower().startswith(("http:", "https:")) else ""
    parts = {url, rest, *re.split(r"[/?#&=@:;,]+", rest.replace(host, "", 1))}
    parts |= {unquote(part) for part in parts}
    return tuple(sorted((part for part in parts if len(part) >= MIN_SECRET_LENGTH), key=len, reverse=True))
