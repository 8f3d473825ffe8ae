"""The signed links with which recipients turn notifications off, and open their preferences.

A token names the recipient, the cluster, the notification, the event and the channel by their ids. It contains no
address, and it does not expire: an old email must still be good for unsubscribing. Its signature proves that it comes
from an email that this site has sent. ``SECRET_KEY_FALLBACKS`` keeps links valid after a change of ``SECRET_KEY``.
"""

import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.signing import BadSignature, Signer, b64_decode, b64_encode
from django.urls import NoReverseMatch, reverse
from django.utils.encoding import force_bytes

from notifications.events import BuiltInEvents, NotificationEvent
from notifications.mail import get_theme
from notifications.models import Delivery

SALT = "notifications.unsubscribe"
URL_NAME = "notifications:unsubscribe"
PREFERENCES_URL_NAME = "notifications:preferences-link"
# A point instead of Django's colon, because some mail clients end a link at a colon.
SEPARATOR = "."
# json.dumps() would create an encoder for each email.
encode_json = json.JSONEncoder(separators=(",", ":")).encode


class LinkTarget(NamedTuple):
    """What a link refers to. The keys of the user and the cluster are texts, whatever type they have."""

    user_key: str
    cluster_key: str
    notification_id: int
    event: str
    channel: str


class InvalidLink(Exception):
    """The token of a link was not signed by this site, or has been changed."""


def make_token(target: LinkTarget) -> str:
    """Return a token for URLs. The same target always has the same token, until ``SECRET_KEY`` changes."""
    value = b64_encode(encode_json(target).encode())
    signature = hmac.digest(_derive_key(settings.SECRET_KEY), value, "sha256")
    return f"{value.decode()}{SEPARATOR}{b64_encode(signature).decode()}"


# Each email has a token, and Signer.sign() derives the key again for each. Signer reads the tokens.
@lru_cache(maxsize=10)
def _derive_key(secret: str | bytes) -> bytes:
    """Return the key with which ``Signer(salt=SALT)`` signs."""
    return hashlib.sha256(f"{SALT}signer".encode() + force_bytes(secret)).digest()


def read_token(token: str) -> LinkTarget:
    """Return the target of a token.

    :raises InvalidLink: if the signature is wrong.
    """
    try:
        return LinkTarget(*json.loads(b64_decode(_get_signer().unsign(token).encode())))
    except BadSignature as error:
        raise InvalidLink(str(error)) from error


def _get_signer() -> Signer:
    return _make_signer(settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=10)
def _make_signer(key: str | bytes, fallback_keys: tuple[str | bytes, ...]) -> Signer:
    return Signer(key=key, salt=SALT, sep=SEPARATOR, fallback_keys=list(fallback_keys))


def get_footer_fields(delivery: Delivery, event: NotificationEvent, person: Any) -> dict[str, str]:
    """Return the links for the footer of an email. ``unsubscribe_url`` also becomes its ``List-Unsubscribe``.

    Both links have the same token, so whoever can use one can use the other. The theme's ``preferences_url`` takes
    precedence over Klaxon's page. A site without ``BASE_URL`` or ``notifications.urls`` has no such pages.

    A recipient without an account has nothing to choose. An event that reaches users who have opted out cannot be
    turned off, but they can still choose what else they get.

    An email with a magic link has no link of Klaxon's that works without a log-in for longer, and changes something.
    """
    if delivery.recipient_id is None:
        return {}
    notification = delivery.notification
    theme = get_theme(notification.cluster, notification.event)
    # A site that only sends may have no URLs at all.
    urlconf = getattr(settings, "ROOT_URLCONF", "")
    page = get_path_parts(urlconf)
    if not theme.base_url or page is None or notification.event == BuiltInEvents.MAGIC_LINK.value:
        return {"preferences_url": theme.preferences_url}
    keys = str(delivery.recipient_id), str(notification.cluster_id)
    token = make_token(LinkTarget(*keys, delivery.notification_id, notification.event, delivery.channel))
    unsubscribe_url = f"{theme.base_url}{page[0]}{token}{page[1]}"
    preferences = get_path_parts(urlconf, PREFERENCES_URL_NAME) or page
    return {
        "preferences_url": theme.preferences_url or f"{theme.base_url}{preferences[0]}{token}{preferences[1]}",
        "unsubscribe_url": "" if event.bypasses_preferences else unsubscribe_url,
    }


# Each email has a link, and reverse() takes longer than the signature.
@lru_cache(maxsize=10)
def get_path_parts(urlconf: str, name: str = URL_NAME) -> tuple[str, str] | None:
    """Return the parts of the path before and after the token; None if the site does not include the URLs."""
    placeholder = "TOKEN"
    if not urlconf:
        return None
    try:
        before, _token, after = reverse(name, args=[placeholder], urlconf=urlconf).rpartition(placeholder)
    except NoReverseMatch:
        return None
    return before, after
