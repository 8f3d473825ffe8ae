"""Signatures of webhooks as Standard Webhooks 1.0 defines them: https://www.standardwebhooks.com

A signature covers the id, the timestamp and the exact bytes of the body: ``{id}.{timestamp}.{body}``. The scheme ``v1``
is HMAC-SHA256 with a shared secret (``whsec_``). ``v1a`` is Ed25519 (RFC 8032) with a private key (``whsk_``), whose
public part (``whpk_``) the receiver gets.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Any

from notifications.core.extras import import_optional
from notifications.exceptions import InvalidOption

PREFIXES = {"v1": "whsec_", "v1a": "whsk_"}
PUBLIC_PREFIX = "whpk_"
SECRET_BYTES = 32
ALLOWED_SECRET_BYTES = range(24, 65)
"""The lengths that the standard allows for a shared secret."""
SEED_BYTES = 32
PRIVATE_KEY_BYTES = (32, 64)
"""A private key is its seed, with or without the public key after it."""


def make_secret(kind: str) -> str:
    """Return a new random secret for the scheme ``v1`` or ``v1a``."""
    return PREFIXES[kind] + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_secret(kind: str, text: str) -> str:
    """Return a secret that a caller brings along.

    :raises InvalidOption: if it is not a secret of this scheme. The message does not contain it.
    """
    allowed = PRIVATE_KEY_BYTES if kind == "v1a" else ALLOWED_SECRET_BYTES
    try:
        raw = _decode(text) if text.startswith(PREFIXES[kind]) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) not in allowed:
        lengths = "32 or 64" if kind == "v1a" else "24 to 64"
        raise InvalidOption(f"A secret for {kind} is {PREFIXES[kind]!r}, followed by {lengths} bytes in base64.")
    return text


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature for the header ``webhook-signature``.

    :raises MissingExtra: for ``v1a``, if ``cryptography`` is not installed.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    if secret.startswith(PREFIXES["v1a"]):
        return f"v1a,{_encode(_load_private_key(secret).sign(signed))}"
    return f"v1,{_encode(hmac.digest(_decode(secret), signed, hashlib.sha256))}"


def build_headers(secrets_now: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers, with a signature of each secret.

    :raises MissingExtra: for ``v1a``, if ``cryptography`` is not installed.
    """
    signatures = [sign(secret, message_id, timestamp, body) for secret in secrets_now]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def get_public_key(secret: str) -> str:
    """Return the public part of a private key, as ``whpk_…``; empty for a shared secret.

    :raises MissingExtra: if ``cryptography`` is not installed.
    """
    if not secret.startswith(PREFIXES["v1a"]):
        return ""
    return PUBLIC_PREFIX + _encode(_load_private_key(secret).public_key().public_bytes_raw())


def _load_private_key(secret: str) -> Any:
    ed25519 = import_optional("cryptography.hazmat.primitives.asymmetric.ed25519")
    return ed25519.Ed25519PrivateKey.from_private_bytes(_decode(secret)[:SEED_BYTES])


def _decode(secret: str) -> bytes:
    return base64.b64decode(secret.partition("_")[2], validate=True)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
