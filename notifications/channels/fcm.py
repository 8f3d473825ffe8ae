"""The channel for apps on phones: Firebase Cloud Messaging (HTTP v1 API), which also reaches iPhones through APNs.

Each request has one target. A message goes to all devices of its recipient, and is accepted if Firebase accepts it for
one of them. A device shows a message with the same tag only once, so a retry does not show it twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from notifications.channels.base import Rendered
from notifications.channels.google_tokens import AccessTokens, TokenRefused
from notifications.channels.http import HTTPChannel, HTTPMessage
from notifications.channels.http_client import Failure, HTTPFailure, HTTPRequest, HTTPResponse
from notifications.channels.push_content import URGENCIES, cut_to_fit, find_destination, make_tag
from notifications.channels.push_targets import DAY, MAX_TARGETS, Answer, PushTargetsChannel, check_ttl
from notifications.events import NotificationPriority
from notifications.exceptions import CredentialsFault
from notifications.models import Delivery, Device
from notifications.outcomes import Blame, Receipt, Verdict

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
MAX_PAYLOAD_BYTES = 4096
TIME_BYTES = 80
"""Room for the fields that name a time, which are added when the message is sent."""
WAIT = 60
"""The seconds after which a request over the quota may be repeated if Firebase names no time."""
ERRORS: Mapping[str, tuple[Verdict, Blame]] = {
    "INVALID_ARGUMENT": (Verdict.PERMANENT, Blame.MESSAGE),
    "SENDER_ID_MISMATCH": (Verdict.CONFIGURATION, Blame.MESSAGE),
    "THIRD_PARTY_AUTH_ERROR": (Verdict.CONFIGURATION, Blame.MESSAGE),
    "QUOTA_EXCEEDED": (Verdict.TEMPORARY, Blame.PROVIDER),
    "UNAVAILABLE": (Verdict.TEMPORARY, Blame.PROVIDER),
    "INTERNAL": (Verdict.TEMPORARY, Blame.PROVIDER),
}
"""The meaning of each ``errorCode`` of ``google.firebase.fcm.v1.FcmError``. The device of an app that was installed
with another project, or of a platform whose key the project lacks, is not reached; other devices are."""
UNREGISTERED = "UNREGISTERED"
MALFORMED = "not a valid FCM registration token"
INTERRUPTION_LEVELS = {NotificationPriority.CRITICAL: "time-sensitive", NotificationPriority.LOW: "passive"}


@dataclass(frozen=True)
class FCMMessage:
    """A message for all devices of a user.

    :param content: the object ``message`` of the API without its target and without times.
    :param expires_at: the time after which the message is worthless.
    """

    user_id: Any
    content: Mapping[str, Any] = field(repr=False)
    expires_at: datetime | None


class FCMChannel(PushTargetsChannel, HTTPChannel):
    """Send messages to the site's own app on phones. The subject becomes the title.

    Options: ``credentials``, the path or the content of the JSON file of a service account; ``ttl``, the seconds for
    which Firebase keeps a message for a device that is offline; ``timeout``, the seconds for one request; ``url``, the
    beginning of the URL of the API.
    """

    requires: ClassVar[Sequence[str]] = ("requests", "google")
    provider = "fcm"
    model = Device
    target_name = "device"
    has_one_service = True

    def __init__(
        self,
        credentials: str | Path | Mapping[str, Any] = "",
        ttl: float = DAY,
        timeout: float = 10,
        url: str = "https://fcm.googleapis.com",
    ) -> None:
        super().__init__(timeout)
        if not url.startswith(("https://", "http://")):
            raise ValueError("The option 'url' must begin with https://, or with http:// for a service in a test.")
        self.ttl = check_ttl(ttl)
        # The requests of one message follow each other. One may need a new access token and then a second attempt.
        self.timeout = timeout * (MAX_TARGETS + 3)
        self.tokens = AccessTokens(credentials, SCOPE, self.client)
        self.url = f"{url.rstrip('/')}/v1/projects/{self.tokens.project}/messages:send"

    def check_credentials(self) -> str:
        """Fetch an access token, and let Firebase check a message without sending it (``validate_only``)."""
        try:
            self.tokens.renew()
            token = self.tokens.get()
        except HTTPFailure as failure:
            raise CredentialsFault(f"There is no access token: {failure}") from None
        except TokenRefused as error:
            # An answer without an error could contain a token.
            text = "the answer contains none." if error.response.is_success else self.describe(error.response)
            raise CredentialsFault(f"There is no access token: {text}", ("credentials",)) from None
        self.secrets = (token,)
        body = json.dumps({"validate_only": True, "message": {"topic": "klaxon", "notification": {"title": "Klaxon"}}})
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json; charset=utf-8"}
        self.ask(HTTPRequest(self.url, body.encode(), headers), ("credentials",))
        return f"Firebase accepts messages of the project {self.tokens.project}."

    def prepare(self, delivery: Delivery, rendered: Rendered) -> FCMMessage:
        notification = delivery.notification
        content = make_content(
            title=rendered.subject or rendered.label,
            text=rendered.text.strip(),
            priority=NotificationPriority(notification.priority),
            tag=make_tag(delivery),
            data={"notification_id": str(notification.pk)},
            destination=find_destination(delivery, rendered),
        )
        return FCMMessage(delivery.recipient_id, content, notification.expires_at)

    def push(self, target: Device, message: FCMMessage, ttl: int, now: datetime) -> Answer:
        content = {**add_times(message.content, ttl, now), "token": target.token}
        body = json.dumps({"message": content}, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            token = self.tokens.get()
        except (HTTPFailure, TokenRefused) as error:
            return self._read_token_error(error)
        try:
            response = self._post(body, token)
            if response.status == 401 and not find_error_code(response):
                # The token has ended early, so nothing was accepted.
                try:
                    self.tokens.renew()
                    token = self.tokens.get()
                except (HTTPFailure, TokenRefused) as error:
                    return self._read_token_error(error)
                response = self._post(body, token)
        except HTTPFailure as failure:
            return Answer.of(self.read_failure(_as_message(self.url), failure))
        self.secrets = (token, target.token)
        if is_gone(response):
            return Answer(None, self.describe(response))
        return Answer.of(self.read_response(_as_message(self.url), response))

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        code = find_error_code(response)
        if code not in ERRORS or response.is_success:
            return super().read_response(message, response)
        verdict, blames = ERRORS[code]
        receipt = self.refuse(message, response, verdict, blames, code=f"{response.status} {code}")
        if code == "QUOTA_EXCEEDED" and receipt.retry_after is None:
            return replace(receipt, retry_after=WAIT)
        return receipt

    def find_message_id(self, response: HTTPResponse) -> str:
        answer = response.json()
        return str(answer.get("name", "")) if isinstance(answer, dict) else ""

    def _post(self, body: bytes, token: str) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json; charset=utf-8"}
        return self.client.send(HTTPRequest(self.url, body, headers))

    def _read_token_error(self, error: HTTPFailure | TokenRefused) -> Answer:
        """Return what it means that there is no access token. Firebase has received nothing."""
        if isinstance(error, HTTPFailure):
            verdict, blames = {
                Failure.INVALID: (Verdict.CONFIGURATION, Blame.PROVIDER),
                Failure.UNREACHABLE: (Verdict.TEMPORARY, Blame.NETWORK),
                Failure.SILENCE: (Verdict.TEMPORARY, Blame.SILENCE),
                Failure.LOST: (Verdict.TEMPORARY, Blame.PROVIDER),
            }[error.kind]
            return Answer(verdict, f"There is no access token: {error}", blames=blames)
        response = error.response
        is_temporary = response.is_success or response.status in (408, 429) or response.status >= 500
        verdict = Verdict.TEMPORARY if is_temporary else Verdict.CONFIGURATION
        # An answer without an error could contain a token.
        text = "the answer contains none." if response.is_success else self.describe(response)
        receipt = self.refuse(_as_message(self.url), response, verdict, error=f"There is no access token: {text}")
        return Answer.of(receipt)


def _as_message(url: str) -> HTTPMessage:
    return HTTPMessage(HTTPRequest(url))


def make_content(
    title: str,
    text: str,
    priority: NotificationPriority,
    tag: str,
    data: Mapping[str, str],
    destination: tuple[str, str],
) -> dict[str, Any]:
    """Return the object ``message`` of the API without its target and times, with as much of the text as fits.

    :param data: texts for the app; each must be a text.
    :param destination: the URLs where the message leads and of its icon.
    """
    url, icon = destination
    is_urgent = priority in (NotificationPriority.CRITICAL, NotificationPriority.HIGH)
    aps = {"sound": "default", "interruption-level": INTERRUPTION_LEVELS.get(priority, "active")}
    if priority == NotificationPriority.LOW:
        del aps["sound"]
    webpush: dict[str, Any] = {
        "headers": {"Urgency": URGENCIES[priority], "Topic": tag},
        "notification": {"tag": tag, **({"icon": icon} if icon else {})},
    }
    if priority == NotificationPriority.CRITICAL:
        webpush["notification"]["requireInteraction"] = True
    if url.startswith("https://"):
        # Firebase refuses any other link.
        webpush["fcm_options"] = {"link": url}
    content: dict[str, Any] = {
        "data": {**data, "url": url},
        "android": {
            "priority": "HIGH" if is_urgent else "NORMAL",
            # Without a key, a phone that is offline would get only the last of several messages.
            "collapse_key": tag,
            "notification": {"tag": tag},
        },
        "apns": {
            "headers": {"apns-priority": "10" if is_urgent else "5", "apns-collapse-id": tag},
            "payload": {"aps": aps},
        },
        "webpush": webpush,
    }

    def measure(title: str, text: str) -> int:
        shown = {**content, "notification": {"title": title, "body": text}}
        return len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode())

    limit = MAX_PAYLOAD_BYTES - TIME_BYTES
    text = cut_to_fit(text, lambda text: measure(title, text), limit)
    title = cut_to_fit(title, lambda title: measure(title, text), limit)
    return {"notification": {"title": title, **({"body": text} if text else {})}, **content}


def add_times(content: Mapping[str, Any], ttl: int, now: datetime) -> dict[str, Any]:
    """Return the content with the time until which each service keeps the message. 0 means now or never."""
    apns, webpush = content["apns"], content["webpush"]
    expiration = str(int(now.timestamp()) + ttl) if ttl else "0"
    return {
        **content,
        "android": {**content["android"], "ttl": f"{ttl}s"},
        "apns": {**apns, "headers": {**apns["headers"], "apns-expiration": expiration}},
        "webpush": {**webpush, "headers": {**webpush["headers"], "TTL": str(ttl)}},
    }


def find_error_code(response: HTTPResponse) -> str:
    """Return the error code of Firebase in an answer (``google.rpc.Status``), or an empty text."""
    for detail in _find_details(response):
        if isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    return ""


def is_gone(response: HTTPResponse) -> bool:
    """Return whether an answer says that the token is of no device any more, or never was."""
    if response.status == 404:
        return find_error_code(response) == UNREGISTERED
    if response.status != 400:
        return False
    violations = [one for detail in _find_details(response) for one in _get_list(detail.get("fieldViolations"))]
    named = any(one.get("field") == "message.token" for one in violations)
    return named or MALFORMED in str(_find_error(response).get("message", ""))


def _find_error(response: HTTPResponse) -> dict[str, Any]:
    answer = response.json()
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}


def _find_details(response: HTTPResponse) -> list[dict[str, Any]]:
    return _get_list(_find_error(response).get("details"))


def _get_list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
