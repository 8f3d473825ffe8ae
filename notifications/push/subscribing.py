"""Check what a browser says about its push subscription, and name the browser."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

from notifications.channels.push_services import is_allowed_service
from notifications.core.extras import import_optional
from notifications.push.configuration import PushConfiguration

MAX_ENDPOINT_LENGTH = 2000
SECRET_BYTES = 16
# The first that matches: Edge also calls itself Chrome, and Chrome calls itself Safari.
BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


class SubscriptionFault(ValueError):
    """A subscription that cannot be used. Its text says why."""


class BrowserKeys(NamedTuple):
    """Where a browser receives messages, and the keys that encrypt them."""

    endpoint: str
    p256dh: str
    auth: str


def read_subscription(values: Mapping[str, str], configuration: PushConfiguration) -> BrowserKeys:
    """Return what a browser has sent.

    :raises SubscriptionFault: if messages could not be sent to it.
    """
    endpoint, p256dh, auth = (values.get(name, "") for name in ("endpoint", "p256dh", "auth"))
    if values.get("server_key") != configuration.public_key:
        raise SubscriptionFault("The browser has subscribed with another key of this site.")
    if len(endpoint) > MAX_ENDPOINT_LENGTH or not is_allowed_service(endpoint, configuration.services):
        raise SubscriptionFault("The address does not belong to a known push service.")
    if len(_decode(auth)) != SECRET_BYTES:
        raise SubscriptionFault("The authentication secret does not have 16 bytes.")
    elliptic = import_optional("cryptography.hazmat.primitives.asymmetric.ec")
    try:
        elliptic.EllipticCurvePublicKey.from_encoded_point(elliptic.SECP256R1(), _decode(p256dh))
    except ValueError as error:
        raise SubscriptionFault("The public key of the browser is not a point of the curve P-256.") from error
    return BrowserKeys(endpoint, p256dh.rstrip("="), auth.rstrip("="))


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def describe_browser(user_agent: str) -> str:
    """Return a name by which users recognise a browser, such as ``"Firefox, Windows"``; empty if it is unknown."""
    browser = next((name for token, name in BROWSERS if re.search(rf"\b{token}", user_agent)), "")
    system = next((name for token, name in SYSTEMS if token in user_agent), "")
    return ", ".join(filter(None, (browser, system)))
