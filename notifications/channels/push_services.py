"""Push services: the servers of browser vendors that pass messages on to browsers, and their answers as receipts."""

import base64
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from notifications.channels.http_client import Failure, HTTPClient, HTTPFailure, HTTPRequest, HTTPResponse
from notifications.channels.push_targets import Answer
from notifications.channels.retry_after import retry_after
from notifications.core.extras import import_optional
from notifications.models import PushSubscription
from notifications.outcomes import Blame, Verdict

PROVIDER = "web push"
DEFAULT_SERVICES = (
    "fcm.googleapis.com",
    "*.push.services.mozilla.com",
    "*.notify.windows.com",
    "web.push.apple.com",
)
"""The push services of Chrome and Edge, Firefox, and Safari. A browser names the address, so a user could name any."""
# Of "https://10.0.0.1\.notify.windows.com", Python's parser takes the whole as the host, and requests only 10.0.0.1.
HOST_PATTERN = re.compile(r"[a-z0-9.-]+")
GONE = (404, 410)
REFUSED_KEY = (400, 401, 403)
BUSY = 429
CREATED = (200, 201, 202, 204)
ERROR_LENGTH = 300
ENCODING = "aes128gcm"
KEY_BYTES = 32
# In base64 without padding.
KEY_LENGTH = 43


def load_private_key(text: str) -> Any:
    """Return a VAPID key from the text that ``make_vapid_key`` prints.

    :raises ValueError: if it is not such a key.
    """
    hint = "Set the option 'private_key' to a key that manage.py make_vapid_key prints."
    if not text:
        raise ValueError(hint)
    vapid = import_optional("py_vapid")
    # py_vapid makes another key of a text that was cut off.
    if len(text.rstrip("=")) != KEY_LENGTH:
        raise ValueError(f"The VAPID key has {len(text)} characters instead of {KEY_LENGTH}. {hint}")
    try:
        return vapid.Vapid02.from_raw(text.encode())
    except Exception as error:
        raise ValueError(f"The VAPID key is not valid. {hint}") from error


def make_private_key() -> tuple[str, Any]:
    """Return a new VAPID key, as the text for the option ``private_key`` and as an object.

    :raises MissingExtra: if ``pywebpush`` is not installed.
    """
    key = import_optional("py_vapid").Vapid02()
    key.generate_keys()
    number = key.private_key.private_numbers().private_value
    return base64.urlsafe_b64encode(number.to_bytes(KEY_BYTES, "big")).decode().rstrip("="), key


def encode_public_key(key: Any) -> str:
    """Return the public part of a VAPID key, as browsers take it."""
    serialization = import_optional("cryptography.hazmat.primitives.serialization")
    point = key.public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


def is_allowed_service(endpoint: str, services: Sequence[str]) -> bool:
    """Return whether an endpoint belongs to one of these services.

    A service is a host, ``*.`` followed by a domain, or the beginning of a URL such as ``http://127.0.0.1:8080``.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if "@" in parts.netloc:
        return False
    for service in services:
        if "://" in service:
            if f"{parts.scheme}://{parts.netloc}" == service.rstrip("/"):
                return True
        elif parts.scheme == "https" and port in (None, 443) and _is_host_of(host, service):
            return HOST_PATTERN.fullmatch(host) is not None
    return False


def _is_host_of(host: str, service: str) -> bool:
    return host == service or (service.startswith("*.") and host.endswith(service[1:]))


class PushClient:
    """Sends encrypted messages to push services."""

    def __init__(self, key: Any, subject: str, timeout: float, services: Sequence[str]) -> None:
        self._pywebpush: Any = import_optional("pywebpush")
        self._key = key
        self._subject = subject
        self._services = services
        # It follows no redirect, which could lead to a server inside the site's network.
        self._client = HTTPClient(timeout)
        self.public_key = encode_public_key(key)

    def push(self, subscription: PushSubscription, payload: str, headers: dict[str, str]) -> Answer:
        """Send a message to one browser."""
        if not is_allowed_service(subscription.endpoint, self._services):
            error = "The address of the browser belongs to no push service in the option 'services'."
            return Answer(Verdict.PERMANENT, error, blames=Blame.RECIPIENT)
        try:
            request = self._encrypt(subscription, payload, headers)
        except (ValueError, self._pywebpush.WebPushException) as error:
            # The keys of the browser are no points of the curve.
            return Answer(Verdict.PERMANENT, f"The message cannot be encrypted: {error}", blames=Blame.RECIPIENT)
        try:
            return read_response(self._client.send(request))
        except HTTPFailure as failure:
            return read_failure(failure)

    def close(self) -> None:
        self._client.close()

    def _encrypt(self, subscription: PushSubscription, payload: str, headers: dict[str, str]) -> HTTPRequest:
        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        pusher = self._pywebpush.WebPusher({"endpoint": subscription.endpoint, "keys": keys})
        body = pusher.encode(payload.encode(), ENCODING)["body"]
        parts = urlsplit(subscription.endpoint)
        signed = self._key.sign({"sub": self._subject, "aud": f"{parts.scheme}://{parts.netloc}"})
        kind = {"Content-Type": "application/octet-stream", "Content-Encoding": ENCODING}
        return HTTPRequest(subscription.endpoint, body, {**headers, **signed, **kind})


def read_failure(failure: HTTPFailure) -> Answer:
    """Return what it means that a push service has not answered. Other browsers may use another service."""
    verdict, blames = {
        Failure.INVALID: (Verdict.PERMANENT, Blame.RECIPIENT),
        Failure.UNREACHABLE: (Verdict.TEMPORARY, Blame.NETWORK),
        Failure.SILENCE: (Verdict.UNKNOWN, Blame.SILENCE),
        Failure.LOST: (Verdict.UNKNOWN, Blame.PROVIDER),
    }[failure.kind]
    return Answer(verdict, str(failure), blames=blames)


def read_response(response: HTTPResponse) -> Answer:
    """Return what the response of a push service means."""
    status = response.status
    if status in CREATED:
        return Answer(Verdict.ACCEPTED, message_id=response.headers.get("Location", "")[:255])
    if 300 <= status < 400:
        return Answer(Verdict.PERMANENT, "The push service redirects, which is not followed.")
    error = f"{status} {response.reason}: {response.text[:ERROR_LENGTH]}".strip()
    if status in GONE:
        return Answer(None, error)
    wait = retry_after(response.headers)
    if status == BUSY or status >= 500:
        return Answer(Verdict.TEMPORARY, error, str(status), wait)
    if status in REFUSED_KEY:
        # One browser may have been subscribed with another key. If several are refused, the key of the site is wrong.
        return Answer(Verdict.CONFIGURATION, error, str(status), blames=Blame.MESSAGE)
    return Answer(Verdict.PERMANENT, error, str(status), blames=Blame.MESSAGE)
