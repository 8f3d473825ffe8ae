"""Push services: the servers of browser vendors that pass messages on to browsers, and their answers as receipts."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from notifications.channels.retry_after import retry_after
from notifications.core.extras import import_optional
from notifications.models import PushSubscription
from notifications.outcomes import Blame, Receipt, Verdict

PROVIDER = "web push"
DEFAULT_SERVICES = (
    "fcm.googleapis.com",
    "*.push.services.mozilla.com",
    "*.notify.windows.com",
    "web.push.apple.com",
)
"""The push services of Chrome and Edge, Firefox, and Safari. A browser names the address, so a user could name any."""
GONE = (404, 410)
REFUSED_KEY = (400, 401, 403)
BUSY = 429
CREATED = (200, 201, 202, 204)
ERROR_LENGTH = 300


@dataclass(frozen=True)
class Answer:
    """The answer of a push service about one browser.

    :param verdict: None if the browser has ended its subscription.
    """

    verdict: Verdict | None
    error: str = ""
    code: str = ""
    retry_after: float | None = None
    blames: Blame = Blame.PROVIDER
    message_id: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.verdict is Verdict.ACCEPTED

    @property
    def is_gone(self) -> bool:
        return self.verdict is None


ORDER = (Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.TEMPORARY, Verdict.CONFIGURATION, Verdict.PERMANENT)
"""Of several answers, the first of these decides."""


def choose_receipt(message: Any, answers: Sequence[Answer]) -> Receipt:
    """Return the receipt for a message to all browsers of a recipient."""
    found = sorted((one for one in answers if one.verdict is not None), key=lambda one: ORDER.index(one.verdict))
    if not found:
        # No push service has refused anything, so none is blamed, however many recipients have no browser.
        return Receipt(message, Verdict.PERMANENT, PROVIDER, error="The recipient has no browser for push messages.")
    best = found[0]
    return Receipt(
        message,
        best.verdict or Verdict.PERMANENT,
        PROVIDER,
        provider_message_id=best.message_id,
        error=best.error,
        retry_after=best.retry_after,
        blames=best.blames,
        code=best.code,
    )


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
            return True
    return False


def _is_host_of(host: str, service: str) -> bool:
    return host == service or (service.startswith("*.") and host.endswith(service[1:]))


class PushClient:
    """Sends encrypted messages to push services."""

    def __init__(self, key: Any, subject: str, timeout: float, services: Sequence[str]) -> None:
        self._pywebpush: Any = import_optional("pywebpush")
        self._requests: Any = import_optional("requests")
        self._key = key
        self._subject = subject
        self._timeout = timeout
        self._services = services
        self._session: Any = None
        self.public_key = encode_public_key(key)

    def push(self, subscription: PushSubscription, payload: str, headers: dict[str, str]) -> Answer:
        """Send a message to one browser."""
        if not is_allowed_service(subscription.endpoint, self._services):
            error = "The address of the browser belongs to no push service in the option 'services'."
            return Answer(Verdict.PERMANENT, error, blames=Blame.RECIPIENT)
        try:
            response = self._post(subscription, payload, headers)
        except self._requests.exceptions.RequestException as error:
            return self._read_error(error)
        except (ValueError, self._pywebpush.WebPushException) as error:
            # The keys of the browser are no points of the curve.
            return Answer(Verdict.PERMANENT, f"The message cannot be encrypted: {error}", blames=Blame.RECIPIENT)
        return read_response(response)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _post(self, subscription: PushSubscription, payload: str, headers: dict[str, str]) -> Any:
        if self._session is None:
            self._session = self._requests.Session()
            # A push service that redirects could lead to a server inside the site's network.
            self._session.max_redirects = 0
        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        parts = urlsplit(subscription.endpoint)
        claims = {"sub": self._subject, "aud": f"{parts.scheme}://{parts.netloc}"}
        pusher = self._pywebpush.WebPusher(
            {"endpoint": subscription.endpoint, "keys": keys}, requests_session=self._session
        )
        return pusher.send(
            payload,
            {**headers, **self._key.sign(claims), "Content-Type": "application/octet-stream"},
            ttl=int(headers["TTL"]),
            content_encoding="aes128gcm",
            timeout=self._timeout,
        )

    def _read_error(self, error: Exception) -> Answer:
        """Return what an error of the connection means. Only some errors show that nothing was handed over."""
        errors = self._requests.exceptions
        text = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
        if isinstance(error, errors.TooManyRedirects):
            return Answer(Verdict.PERMANENT, "The push service redirects, which is not followed.")
        if isinstance(error, errors.ConnectTimeout | errors.SSLError) or "NewConnectionError" in text:
            return Answer(Verdict.TEMPORARY, text, blames=Blame.NETWORK)
        if isinstance(error, errors.Timeout):
            return Answer(Verdict.UNKNOWN, text, blames=Blame.SILENCE)
        return Answer(Verdict.UNKNOWN, text)


def read_response(response: Any) -> Answer:
    """Return what the response of a push service means."""
    status = response.status_code
    if status in CREATED:
        return Answer(Verdict.ACCEPTED, message_id=response.headers.get("Location", "")[:255])
    error = f"{status} {response.reason or ''}: {response.text[:ERROR_LENGTH]}".strip()
    if status in GONE:
        return Answer(None, error)
    wait = retry_after(response.headers)
    if status == BUSY or status >= 500:
        return Answer(Verdict.TEMPORARY, error, str(status), wait)
    if status in REFUSED_KEY:
        # One browser may have been subscribed with another key. If several are refused, the key of the site is wrong.
        return Answer(Verdict.CONFIGURATION, error, str(status), blames=Blame.MESSAGE)
    return Answer(Verdict.PERMANENT, error, str(status), blames=Blame.MESSAGE)
