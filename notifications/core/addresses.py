"""Validate addresses, choose between them and mask them for logs."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator, validate_email

MAX_MASK_LENGTH = 255
# E.164: a plus sign and at most fifteen digits.
PHONE_PATTERN = re.compile(r"\+[1-9][0-9]{6,14}")
# Matches most addresses in a tenth of the time that Django's validator takes, and none that Django rejects.
PLAIN_EMAIL_PATTERN = re.compile(
    r"[A-Za-z0-9_+-]++(?:\.[A-Za-z0-9_+-]++)*+@(?:[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+\.)+[A-Za-z]{2,}"
)
# In an address this short, no part can exceed the limits that Django checks.
MAX_PLAIN_EMAIL_LENGTH = 63


def _validate_phone(value: str) -> None:
    if not PHONE_PATTERN.fullmatch(value):
        raise ValidationError("Write a phone number in international form, such as +4915112345678.")


# RFC 6531 allows letters of every script in a local part.
NON_ASCII_PATTERN = re.compile(r"[^\x00-\x7f]")


def _validate_email(value: str) -> None:
    """Validate as Django does, but allow letters of every script before the @."""
    local, at, domain = value.rpartition("@")
    validate_email(NON_ASCII_PATTERN.sub("x", local) + at + domain)


# The name of a URL in the settings of a channel, instead of a URL.
URL_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
URL_SCHEME_PATTERN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
PUSHOVER_PATTERN = re.compile(r"[A-Za-z0-9]{30}(:[A-Za-z0-9_-]{1,25}(,[A-Za-z0-9_-]{1,25})*)?")
_validate_url = URLValidator(schemes=["http", "https"])


def _validate_apprise(value: str) -> None:
    if not URL_SCHEME_PATTERN.match(value):
        raise ValidationError("Write an Apprise URL, such as tgram://token/chat.")


def _validate_pushover(value: str) -> None:
    if not PUSHOVER_PATTERN.fullmatch(value):
        raise ValidationError("Write a Pushover key of 30 letters and digits, or a key, a colon and a device.")


VALIDATORS: dict[str, Callable[[str], None]] = {
    "email": _validate_email,
    "phone": _validate_phone,
    "url": _validate_url,
}
# The kinds of single channels, which a site knows only if it has the channel.
CHANNEL_VALIDATORS: dict[str, Callable[[str], None]] = {
    "slack": _validate_url,
    "discord": _validate_url,
    "teams": _validate_url,
    "pushover": _validate_pushover,
    "apprise": _validate_apprise,
}

NAMED_KINDS = frozenset({"slack", "discord", "teams", "apprise"})


def is_well_formed(kind: str, address: str) -> bool:
    """Return whether an address of this kind is valid.

    An address with control characters never is, because they could forge headers.
    """
    if kind == "email" and len(address) <= MAX_PLAIN_EMAIL_LENGTH and PLAIN_EMAIL_PATTERN.fullmatch(address):
        return True
    if not address.isprintable():
        return False
    try:
        (VALIDATORS.get(kind) or CHANNEL_VALIDATORS.get(kind) or (lambda value: None))(address)
    except ValidationError:
        return False
    return True


def is_url_name(kind: str, address: str) -> bool:
    """Return whether an address can be the name of a URL in the settings of a channel, which users may not choose."""
    return kind in NAMED_KINDS and URL_NAME_PATTERN.fullmatch(address) is not None


class ChosenAddress(NamedTuple):
    """The address of a user on a channel.

    :param rejected_address: the address in the user's settings, if it is unusable and the account's address is used.
    :param alternative: the account's address, for use if the address in the settings turns out to be suppressed.
    """

    address: str
    rejected_address: str = ""
    alternative: str = ""

    def use_alternative(self) -> "ChosenAddress":
        """Return the choice of the alternative address, with the present one rejected."""
        return ChosenAddress(self.alternative, self.address)


def choose_address(kind: str, own: str, account: str) -> ChosenAddress:
    """Return the address for a user.

    The address in the user's settings comes first. If it is malformed, the account's address is used, so that a typing
    error does not stop the user's notifications.

    :param own: the address in the user's settings; empty if there is none.
    :param account: the address of the account; empty if there is none.
    """
    if not own:
        return ChosenAddress(account)
    other = account if account and account != own and is_well_formed(kind, account) else ""
    if other and not is_well_formed(kind, own):
        return ChosenAddress(other, own)
    return ChosenAddress(own, alternative=other)


def describe_fault(kind: str, rejected_address: str) -> str:
    """Return why an address was rejected: ``"suppressed"`` or ``"malformed"``."""
    return "suppressed" if is_well_formed(kind, rejected_address) else "malformed"


def user_key(pk: Any) -> str:
    """Return the recipient key of a user."""
    return f"u:{pk}"


def hash_address(address: str) -> str:
    """Return a hash of fixed length, for indexes and for tables from which nobody should be able to read addresses."""
    # Half of a surrogate pair is not an address, but hashing it must not fail.
    return hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()[:32]


def mask_address(address: str) -> str:
    """Return an address with its middle hidden, such as ``a***@example.com`` or ``+49***78``.

    It shows enough for its owner to recognise it. Of a URL, which can contain secrets in every part, it shows the
    scheme, and the host if the scheme is ``http`` or ``https``.
    """
    printable = address if address.isprintable() else "".join(filter(str.isprintable, address))
    if URL_SCHEME_PATTERN.match(printable):
        return mask_url(printable)
    name, at, domain = printable.rpartition("@")
    if at:
        return f"{name[:1] if len(name) > 1 else ''}***@{domain}"[:MAX_MASK_LENGTH]
    return f"{printable[:3]}***{printable[-2:]}" if len(printable) > 6 else "***" * bool(printable)


def mask_url(address: str) -> str:
    """Return an address and, if it is a URL, hide everything but its scheme and an ``http`` or ``https`` host."""
    found = URL_SCHEME_PATTERN.match(address)
    if found is None:
        return address
    host = _find_host(address) if found[1].lower() in ("http", "https") else ""
    return f"{found[0]}{host}{'/' * bool(host)}***"[:MAX_MASK_LENGTH]


def _find_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


# A run of characters is read once and given up as a whole. Otherwise a text without spaces, such as an attachment in
# base64, takes time that grows with the square of its length.
EMAIL_IN_TEXT_PATTERN = re.compile(
    r"""(?:"[^"]++"|(?<![^\s<>"'(),;:@])[^\s<>"'(),;:@]++)@(?:\[[^\]\s]{1,100}+\]|[\w.-]+\w)"""
)
# Also as people write it, such as +49 151 1234-5678 or +44 (0)20 7946 0000. No country's code begins with zero, but
# offsets of time zones do.
PHONE_IN_TEXT_PATTERN = re.compile(r"\+(?:\d{7,15}|[1-9](?:[ \xa0()./-]{0,2}\d){6,14})")


def mask_addresses(text: str) -> str:
    """Return a text, such as a provider's answer, with every address in it masked."""
    masked = EMAIL_IN_TEXT_PATTERN.sub(lambda match: mask_address(match.group()), text)
    return PHONE_IN_TEXT_PATTERN.sub(lambda match: mask_address(match.group()), masked)
