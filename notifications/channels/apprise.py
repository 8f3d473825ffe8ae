"""The Apprise channel, for the services that the library Apprise knows.

Apprise says only whether a message was sent. What happened is in its log, which this channel reads and keeps from the
log of the site, because it contains parts of URLs, and these are secrets.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import charset
from functools import cache
from typing import Any

from notifications.channels.base import Rendered
from notifications.channels.chat_webhooks import find_named_url, find_secrets, read_urls
from notifications.channels.content import build_content, shorten
from notifications.channels.http import HTTPChannel
from notifications.core.addresses import URL_SCHEME_PATTERN, mask_addresses, mask_url
from notifications.core.extras import import_optional
from notifications.events import NotificationPriority
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

DEFAULT_SCHEMAS = ("discord", "gchat", "pbul", "pover", "slack", "tgram")
"""Services with a fixed host, so that the URL of a user cannot make the site call any other."""
TYPES: Mapping[NotificationPriority, str] = {
    NotificationPriority.CRITICAL: "failure",
    NotificationPriority.HIGH: "warning",
    NotificationPriority.MEDIUM: "info",
    NotificationPriority.LOW: "info",
}
ASSET = {"async_mode": False, "secure_logging": True, "http_redirects": False, "default_service_retry": 0}
DEFAULT_LENGTH = 32_768
ERROR_LENGTH = 300
# Apprise shows the ends of passwords in URLs.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
STATUS = re.compile(r"\berror=(\d{3})\b")
NO_CONNECTION = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "SSLError", "Connection refused")
# Mentions, tags and links of Slack, and links of markdown. Apprise hands tags over to Telegram, for example.
MARKUP = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[!@#/A-Za-z])|\](?=\()")
ZERO_WIDTH_SPACE = "\u200b"
RATE_LIMIT = re.compile(r"rate.?limit", re.IGNORECASE)

_thread = threading.local()


class RateLimited(Exception):
    """A service asks Apprise to wait, which Klaxon does instead."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__("The service limits the rate.")
        self.seconds = seconds


@dataclass(frozen=True)
class AppriseMessage:
    url: str = field(repr=False)
    title: str = field(repr=False)
    text: str = field(repr=False)
    link: str = field(repr=False)
    kind: str
    fault: str = ""


class LogRecords(logging.Handler):
    """Collects what Apprise logs in this thread, from ``__enter__`` to ``__exit__``."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[int, str]] = []
        self.logger = logging.Logger("apprise", logging.DEBUG)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.records.append((record.levelno, record.getMessage()))
        except (TypeError, ValueError):
            # Python's own handlers do not let a wrong call of a logger stop the program either.
            self.records.append((record.levelno, str(record.msg)))

    def __enter__(self) -> "LogRecords":
        _thread.records = self
        return self

    def __exit__(self, *error: object) -> None:
        _thread.records = None

    def texts(self, level: int = logging.DEBUG) -> Iterator[str]:
        """Yield the records of at least this level."""
        return (text for number, text in self.records if number >= level)


def _collect(record: logging.LogRecord) -> bool:
    records: LogRecords | None = getattr(_thread, "records", None)
    if records is None:
        return True
    records.emit(record)
    return False


# Apprise itself, and the libraries that log paths and keys at the level DEBUG.
LOGGERS = (
    "apprise",
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "oauthlib.oauth1.rfc5849",
    "requests_oauthlib.oauth1_auth",
)
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_collect)


@cache
def import_apprise() -> Any:
    """Import Apprise with all its services.

    Its service for email changes how Python encodes all emails of the process. That is undone.

    :raises MissingExtra: if ``apprise`` is not installed.
    """
    before = dict(charset.CHARSETS)
    apprise = import_optional("apprise")
    # Apprise imports its services when it looks for the first one.
    apprise.Apprise.instantiate("json://localhost")
    charset.CHARSETS.update(before)
    return apprise


class AppriseChannel(HTTPChannel):
    """Send messages to one Apprise URL each.

    An address is a URL or, for recipients without an account, the name of one in the option ``urls``.

    :param urls: Apprise URLs by name. Any service can be used.
    :param schemas: the services that URLs of users may name, such as ``"tgram"``. Allow none with which a user could
        choose a host inside your network.
    :param timeout: the seconds to connect, and the seconds to wait for each part of an answer.
    :raises ValueError: if an option is invalid.
    """

    address_kind = "apprise"
    provider = "apprise"
    required_parts = ("txt",)
    optional_parts = ("subject.txt",)
    requires = ("apprise",)
    is_address_url = True

    def __init__(
        self,
        urls: Mapping[str, str] | None = None,
        schemas: Sequence[str] = DEFAULT_SCHEMAS,
        timeout: float = 10,
    ) -> None:
        self._apprise: Any = import_apprise()
        super().__init__(timeout)
        # Some services need two requests.
        self.timeout, self.seconds = 4 * timeout, timeout
        if isinstance(schemas, str) or not all(isinstance(schema, str) for schema in schemas):
            raise ValueError("The option 'schemas' must be a list of schemas, such as ['tgram'].")
        self.schemas = frozenset(schema.lower() for schema in schemas)
        self.urls = read_urls(urls or {})
        known = {key: value for key, value in ASSET.items() if hasattr(self._apprise.AppriseAsset, key)}
        self.asset = self._apprise.AppriseAsset(storage_mode="memory", **known)
        for name, url in self.urls.items():
            with LogRecords() as records:
                is_valid = self._create_service(url) is not None
            if not is_valid:
                raise ValueError(
                    f"Apprise does not accept the URL {name!r} of the option 'urls'{_quote(records, url)}."
                )

    def prepare(self, delivery: Delivery, rendered: Rendered) -> AppriseMessage:
        content = build_content(delivery, rendered)
        try:
            url, fault = self.find_url(delivery), ""
        except ValueError as error:
            url, fault = "", str(error)
        link = f"{content.url_label}: {content.url}" if content.url and content.url not in content.text else ""
        title, text = _silence(content.title if content.text else ""), _silence(content.text or content.title)
        return AppriseMessage(url, title, text, link, TYPES[content.priority], fault)

    def find_url(self, delivery: Delivery) -> str:
        """Return the Apprise URL of a delivery.

        :raises ValueError: if the address is neither a URL that users may have nor the name of one.
        """
        found = URL_SCHEME_PATTERN.match(delivery.address)
        if not found:
            return find_named_url(self.urls, delivery)
        if found[1].lower() not in self.schemas:
            raise ValueError(f"The option 'schemas' does not have {found[1].lower()!r:.80}.")
        if "?" in delivery.address:
            # Its parameters can name files of the site and other servers.
            raise ValueError("The URL of a user must not contain a question mark.")
        return delivery.address

    def post(self, message: Any) -> Receipt:
        if message.fault:
            return Receipt(message, Verdict.PERMANENT, self.provider, error=message.fault, blames=Blame.RECIPIENT)
        self.secrets = find_secrets(message.url)
        with LogRecords() as records:
            service = self._create_service(message.url)
            if service is None:
                error = f"Apprise does not accept the URL{_quote(records, message.url)}."
                return Receipt(message, Verdict.PERMANENT, self.provider, error=error, blames=Blame.RECIPIENT)
            self._limit(service, records)
            try:
                is_sent = service.notify(
                    body=_write_body(message, int(service.body_maxlen or DEFAULT_LENGTH)),
                    title=message.title,
                    notify_type=message.kind,
                    body_format="text",
                )
            except RateLimited as limit:
                return Receipt(
                    message,
                    Verdict.TEMPORARY,
                    self.provider,
                    error=str(limit),
                    retry_after=limit.seconds,
                    blames=Blame.RECIPIENT,
                    code="429",
                )
            except Exception as error:  # noqa: BLE001 - services raise anything, and the text may contain the URL
                name = type(error).__name__
                return Receipt(message, Verdict.UNKNOWN, self.provider, error=name, blames=Blame.RECIPIENT)
        if is_sent:
            return Receipt(message, Verdict.ACCEPTED, self.provider)
        return self._read_records(message, records)

    def _create_service(self, url: str) -> Any:
        """Return the object of a service, or None if Apprise does not accept the URL."""
        return self._apprise.Apprise.instantiate(url, asset=self.asset)

    def _limit(self, service: Any, records: LogRecords) -> None:
        """Keep a service from waiting and from trying again, and read what it logs."""

        def throttle(last_io: Any = None, wait: float | None = None) -> None:
            if wait or any(map(RATE_LIMIT.search, records.texts(logging.WARNING))):
                raise RateLimited(wait)

        service.logger = records.logger
        service.throttle = throttle
        service.socket_connect_timeout = service.socket_read_timeout = self.seconds

    def _read_records(self, message: AppriseMessage, records: LogRecords) -> Receipt:
        """Return what it means that a message was not sent, as far as the log says it."""
        texts = [*records.texts()]
        statuses = [int(found[1]) for text in texts if (found := STATUS.search(text))]
        verdict, blames, code = Verdict.UNKNOWN, Blame.RECIPIENT, ""
        if any(text.startswith("Sent ") for text in texts):
            # One URL can have several targets, and some have got it.
            verdict = Verdict.UNKNOWN
        elif statuses:
            verdict, blames = self.judge_status(statuses[0])
            code = str(statuses[0])
        elif any(word in text for text in texts for word in NO_CONNECTION):
            verdict = Verdict.TEMPORARY
        blames = Blame.RECIPIENT if blames is Blame.PROVIDER else blames
        error = self.hide(" ".join(records.texts(logging.WARNING)) or "Apprise did not send it.")
        return Receipt(message, verdict, self.provider, error=error[:ERROR_LENGTH], blames=blames, code=code)


def _silence(text: str) -> str:
    """Return a text in which services find no mention, and no link whose text hides where it leads.

    A value of the context could contain them.
    """
    return MARKUP.sub(rf"\g<0>{ZERO_WIDTH_SPACE}", text)


def _write_body(message: AppriseMessage, length: int) -> str:
    """Return the text and the link, which is kept if the text must be shortened."""
    if not message.link or len(message.link) + 3 > length:
        return shorten(message.text, length)
    return f"{shorten(message.text, length - len(message.link) - 2)}\n\n{message.link}"


def _quote(records: LogRecords, url: str) -> str:
    """Return what Apprise has logged, without parts of the URL, after a colon."""
    text = URL.sub(lambda found: mask_url(found[0]), " ".join(records.texts(logging.WARNING)))
    for secret in find_secrets(url):
        text = text.replace(secret, "***")
    text = mask_addresses(text)
    return f": {text}"[:ERROR_LENGTH].rstrip(".") if text else ""
