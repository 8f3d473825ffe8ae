"""Tokens for URLs: numbers with a signature of the site. They contain nothing about a person.

A token that differs in one character is invalid. Keys in ``SECRET_KEY_FALLBACKS`` still verify older tokens.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Iterator

from django.conf import settings

MAC_BYTES = 16
MAX_NUMBER = 2**63 - 1


def make_token(purpose: str, *numbers: int) -> str:
    """Return a token for numbers from 0 to 2**63 - 1, which is valid for one purpose."""
    payload = struct.pack(f">{len(numbers)}q", *numbers)
    return _encode(payload + _sign(settings.SECRET_KEY, purpose, payload))


def read_token(purpose: str, token: str, count: int) -> tuple[int, ...] | None:
    """Return the numbers of a token, or None if it is not valid for this purpose.

    :param count: how many numbers it contains.
    """
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    # Base64 ignores unused bits and foreign characters, so other texts may have the same bytes.
    if len(raw) != 8 * count + MAC_BYTES or _encode(raw) != token:
        return None
    payload, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not any(hmac.compare_digest(_sign(key, purpose, payload), mac) for key in _iterate_keys()):
        return None
    return struct.unpack(f">{count}q", payload)


def _iterate_keys() -> Iterator[str | bytes]:
    yield settings.SECRET_KEY
    yield from settings.SECRET_KEY_FALLBACKS


def _sign(key: str | bytes, purpose: str, payload: bytes) -> bytes:
    secret = key.encode() if isinstance(key, str) else key
    purpose_key = hashlib.sha256(b"klaxon." + purpose.encode() + b"\0" + secret).digest()
    return hmac.digest(purpose_key, payload, "sha256")[:MAC_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
