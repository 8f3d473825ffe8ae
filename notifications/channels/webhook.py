"""The webhook channel: notifications for other programs, signed as Standard Webhooks 1.0 says.

The recipients are the endpoints of the cluster that are subscribed to the event, whoever the recipients of the call
are. A delivery has the public id of its endpoint as its address. Each endpoint is a server of its own: if one fails,
slows down or is gone, no other one is concerned.
"""

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from urllib.parse import urlsplit

from django.db import Error, router, transaction
from django.db.models import Q

from notifications.channels.address_guard import AddressGuard, create_adapter
from notifications.channels.base import Rendered
from notifications.channels.http import HTTPChannel
from notifications.channels.http_client import Failure, HTTPClient, HTTPFailure, HTTPRequest, HTTPResponse
from notifications.channels.retry_after import retry_after
from notifications.channels.standard_webhooks import build_headers
from notifications.context import UNSTORABLE
from notifications.core import clock
from notifications.events import DIGESTS, ON_REQUEST, NotificationPriority
from notifications.exceptions import DecryptionFailed
from notifications.models import Delivery, WebhookAttempt, WebhookEndpoint
from notifications.models.webhook_endpoint import WebhookEndpointQuerySet
from notifications.outcomes import Blame, Receipt, Verdict

logger = logging.getLogger("notifications.channel.webhook")

CHANNEL = "webhook"
UNSUBSCRIBABLE = frozenset(member.value for member in (*ON_REQUEST, *DIGESTS.values()))
"""The events that are meant for one recipient. An endpoint gets them only if the call names it."""
GONE = 410
SLOW_STATUSES = (429, 502, 504)
LONG_SECONDS = 2.0
"""An endpoint whose answers take longer must not keep the workers busy."""
KEPT_CHARACTERS = 10_000
KEPT_HEADERS = 40
KEPT_HEADER_CHARACTERS = 300
SECRET_HEADERS = ("set-cookie", "authorization", "proxy-authenticate", "www-authenticate")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class WebhookMessage:
    """A message for one endpoint.

    :param endpoint: the public id of the endpoint.
    :param message_id: the header ``webhook-id``, which is the same for all attempts.
    """

    endpoint: str
    cluster_id: Any
    delivery_id: int
    message_id: str
    event: str
    body: bytes = field(repr=False)


@dataclass
class Attempt:
    """What happened in one request."""

    headers: dict[str, str]
    seconds: float = 0.0
    response: HTTPResponse | None = None
    failure: HTTPFailure | None = None
    error: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.response is not None and self.response.is_success

    @property
    def is_slow(self) -> bool:
        """Whether the endpoint has asked for fewer requests, or does not answer."""
        if self.failure is not None:
            return self.failure.kind is Failure.SILENCE
        return self.response is not None and self.response.status in SLOW_STATUSES


class WebhookChannel(HTTPChannel):
    """Send each notification to the subscribed endpoints of its cluster.

    Options: ``timeout``, the seconds for a request with its answer; ``answer_bytes``, how much of an answer is read;
    ``allow_http``, whether endpoints may have ``http:`` URLs; ``allow`` and ``deny``, lists of networks and hosts that
    endpoints may have although they are private, or may never have; ``disable_days``, the days of failures only after
    which an endpoint is disabled.
    """

    address_kind = CHANNEL
    required_parts = ()
    requires = ("requests", "requests_hardened", "cryptography")
    provider = CHANNEL

    def __init__(
        self,
        timeout: float = 15,
        answer_bytes: int = 16_384,
        allow_http: bool = False,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        disable_days: float = 5,
    ) -> None:
        super().__init__(timeout)
        if not answer_bytes > 0:
            raise ValueError("The option 'answer_bytes' must be a number of bytes above 0.")
        if not disable_days > 0:
            raise ValueError("The option 'disable_days' must be a number of days above 0.")
        self.guard = AddressGuard(allow, deny, allow_http)
        self.grace = timedelta(days=disable_days)
        self.client = HTTPClient(
            timeout, answer_bytes, lambda scheme: create_adapter(self.guard, scheme), trust_env=False
        )

    @staticmethod
    def find_subscribers(cluster: Any, event_name: str) -> Collection[str]:
        if event_name in UNSUBSCRIBABLE:
            return ()
        return _endpoints().find_subscribers(cluster, event_name)

    def check_url(self, url: str) -> str:
        """Return the URL of a new endpoint in the form in which it is requested. Its host is resolved.

        A host without an address may get one later; each request checks it again.

        :raises AddressForbidden: if the site does not send to it.
        """
        checked = self.guard.check_url(url)
        parts = urlsplit(checked)
        try:
            self.guard.resolve(parts.hostname or "", parts.port or 443, self.timeout)
        except OSError as error:
            logger.info("The host of a new endpoint has no address yet: %s", error)
        return checked

    def prepare(self, delivery: Delivery, rendered: Rendered) -> WebhookMessage:
        notification = delivery.notification
        return WebhookMessage(
            delivery.address,
            notification.cluster_id,
            delivery.pk,
            make_message_id(delivery),
            notification.event,
            build_body(delivery),
        )

    def send(self, messages: Sequence[WebhookMessage]) -> Iterator[Receipt]:
        if not messages:
            return
        endpoints = _endpoints().load_by_uid({message.endpoint for message in messages})
        for message in messages:
            yield self._deliver(message, endpoints.get(message.endpoint))

    def _deliver(self, message: WebhookMessage, endpoint: WebhookEndpoint | None) -> Receipt:
        if endpoint is None or endpoint.cluster_id != message.cluster_id:
            return self._refuse(message, "The endpoint was deleted.")
        if not endpoint.enabled:
            return self._refuse(message, f"The endpoint is disabled: {endpoint.get_disabled_reason_display()}.")
        now = clock.cached_now(_get_database())
        if endpoint.slowed_until is not None and endpoint.slowed_until > now:
            return self._postpone(message, endpoint.slowed_until, now)
        try:
            headers = build_headers(endpoint.list_secrets(now), message.message_id, int(now.timestamp()), message.body)
        except DecryptionFailed as error:
            logger.exception("The secret of the webhook endpoint %s cannot be read.", endpoint.uid)
            return Receipt(message, Verdict.TEMPORARY, CHANNEL, error=str(error), blames=Blame.ENDPOINT)
        attempt = self._request(endpoint, message, headers)
        self._record(endpoint, message, attempt)
        return self._read(message, attempt)

    def _request(self, endpoint: WebhookEndpoint, message: WebhookMessage, headers: dict[str, str]) -> Attempt:
        attempt, begun = Attempt(headers), time.monotonic()
        request = HTTPRequest(endpoint.url, message.body, {"Content-Type": "application/json", **headers})
        try:
            attempt.response = self.client.send(request)
        except HTTPFailure as failure:
            attempt.failure, attempt.error = failure, str(failure)
        else:
            attempt.error = "" if attempt.is_accepted else self.describe(attempt.response)
        attempt.seconds = time.monotonic() - begun
        return attempt

    def _read(self, message: WebhookMessage, attempt: Attempt) -> Receipt:
        """Return what the answer means. Only 2xx is a success; everything else but 410 is tried again."""
        receipt = Receipt(
            message,
            Verdict.TEMPORARY,
            CHANNEL,
            provider_message_id=message.message_id,
            error=attempt.error,
            blames=Blame.ENDPOINT,
        )
        response, failure = attempt.response, attempt.failure
        if response is None:
            # After these two, the endpoint may have accepted the message.
            is_lost = failure is not None and failure.kind in (Failure.SILENCE, Failure.LOST)
            return replace(receipt, verdict=Verdict.UNKNOWN) if is_lost else receipt
        if response.is_success:
            return Receipt(message, Verdict.ACCEPTED, CHANNEL, provider_message_id=message.message_id)
        verdict = Verdict.PERMANENT if response.status == GONE else Verdict.TEMPORARY
        return replace(receipt, verdict=verdict, code=str(response.status), retry_after=retry_after(response.headers))

    def _record(self, endpoint: WebhookEndpoint, message: WebhookMessage, attempt: Attempt) -> None:
        """Write the attempt and what it means for the endpoint.

        An error of the database must not make the outcome unknown, which the worker records on its own: the message was
        answered. The next attempt then decides about the endpoint.
        """
        using = _get_database()
        try:
            with transaction.atomic(using=using):
                now = clock.cached_now(using)
                if not _endpoints().filter(pk=endpoint.pk).exists():
                    return  # it was deleted during the request
                WebhookAttempt.objects.using(using).create(**_describe_attempt(endpoint, message, attempt), at=now)
                self._update(endpoint, attempt, now)
        except Error:
            logger.exception("An attempt to reach the webhook endpoint %s could not be recorded.", endpoint.uid)

    def _update(self, endpoint: WebhookEndpoint, attempt: Attempt, now: datetime) -> None:
        """Write what an attempt means for the endpoint, also for the rest of the group."""
        # The user may have entered another URL meanwhile, which this answer says nothing about.
        endpoints, response = _endpoints().filter(url=endpoint.url), attempt.response
        if attempt.is_accepted:
            # While a worker waits for this endpoint, it can send to no other one, so it gets half of the time at most.
            takes_long = attempt.seconds >= LONG_SECONDS
            endpoint.slowed_until = now + timedelta(seconds=attempt.seconds) if takes_long else None
            endpoints.record_success(endpoint.pk, now, endpoint.slowed_until)
            return
        if response is not None and response.status == GONE:
            reason = WebhookEndpoint.Disabled.GONE
            is_disabled = endpoints.disable(Q(pk=endpoint.pk), reason, now)
        else:
            reason = WebhookEndpoint.Disabled.FAILING
            is_disabled = endpoints.record_failure(endpoint.pk, now, self.grace)
        if is_disabled:
            endpoint.enabled, endpoint.disabled_reason = False, reason
        elif attempt.is_slow:
            wait = retry_after(response.headers) if response is not None else None
            endpoint.slowed_until = endpoints.slow_down(endpoint.pk, now, wait)

    def _refuse(self, message: WebhookMessage, error: str) -> Receipt:
        return Receipt(message, Verdict.PERMANENT, CHANNEL, error=error, blames=Blame.ENDPOINT)

    def _postpone(self, message: WebhookMessage, until: datetime, now: datetime) -> Receipt:
        return Receipt(
            message,
            Verdict.TEMPORARY,
            CHANNEL,
            error=f"The endpoint gets nothing before {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.",
            retry_after=(until - now).total_seconds(),
            blames=Blame.ENDPOINT,
            untried=True,
        )


def make_message_id(delivery: Delivery) -> str:
    """Return the ``webhook-id`` of a delivery. It is the same for all attempts, and another one on any other site."""
    return "msg_" + hashlib.sha256(f"{delivery.address} {delivery.pk}".encode()).hexdigest()[:32]


def build_body(delivery: Delivery) -> bytes:
    """Return the payload: the event, its time and its context as plain JSON. It is the same for all attempts."""
    notification = delivery.notification
    data = {
        "notification_id": str(notification.pk),
        "cluster": str(notification.cluster_id),
        "priority": NotificationPriority(notification.priority).name.lower(),
        "topic": notification.topic,
        "correlation_id": str(notification.correlation_id),
        "context": make_plain(notification.values),
    }
    payload = {"type": notification.event, "timestamp": format_moment(notification.created_at), "data": data}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def make_plain(value: Any) -> Any:
    """Return a value of a context as plain JSON.

    Times have the form of ISO 8601, moments in UTC; spans are seconds; decimals, UUIDs and lazy texts are texts.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): make_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [make_plain(item) for item in value]
    if isinstance(value, datetime):
        return format_moment(value)
    if isinstance(value, date | time_of_day):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def format_moment(moment: datetime) -> str:
    """Return an aware time in UTC, such as ``2026-11-30T05:15:59.123456Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def mask_url(url: str) -> str:
    """Return a URL without its path and query, which may contain secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{'/…' if parts.path.strip('/') or parts.query else ''}"


def _describe_attempt(endpoint: WebhookEndpoint, message: WebhookMessage, attempt: Attempt) -> dict[str, Any]:
    values: dict[str, Any] = {
        "endpoint_id": endpoint.pk,
        "delivery_id": message.delivery_id,
        "message_id": message.message_id,
        "event": message.event,
        "url": mask_url(endpoint.url),
        "request_headers": attempt.headers,
        "request_body": _cut(message.body.decode(errors="replace")),
        "error": _cut(attempt.error),
        "duration": attempt.seconds,
        "accepted": attempt.is_accepted,
    }
    if (response := attempt.response) is not None:
        values |= {
            "status": response.status,
            "response_headers": _select_headers(response),
            "response_body": _cut(response.text, response.is_complete),
        }
    return values


def _select_headers(response: HTTPResponse) -> dict[str, str]:
    kept = {}
    for name, value in list(response.headers.items())[:KEPT_HEADERS]:
        shown = "***" if name.lower() in SECRET_HEADERS else value
        kept[_clean(name[:KEPT_HEADER_CHARACTERS])] = _clean(shown[:KEPT_HEADER_CHARACTERS])
    return kept


def _cut(text: str, is_complete: bool = True) -> str:
    is_complete = is_complete and len(text) <= KEPT_CHARACTERS
    return _clean(text[:KEPT_CHARACTERS]) + ("" if is_complete else "…")


def _clean(text: str) -> str:
    return UNSTORABLE.sub(REPLACEMENT, text)


def _get_database() -> str:
    return router.db_for_write(WebhookEndpoint)


def _endpoints() -> WebhookEndpointQuerySet:
    return WebhookEndpoint.objects.using(_get_database())
