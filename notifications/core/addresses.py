"""Addresses: which are well formed, and how they look in a log."""

import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator, validate_email

MAX_MASK_LENGTH = 255
# E.164: a plus sign and at most fifteen digits.
PHONE = re.compile(r"\+[1-9]\d{6,14}")
# Most addresses, told in a tenth of the time that Django's validator takes; lets nothing through that Django does not.
PLAIN_EMAIL = re.compile(
    r"[A-Za-z0-9_+-]++(?:\.[A-Za-z0-9_+-]++)*+@(?:[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+\.)+[A-Za-z]{2,}"
)
# So short that no part of it can be too long.
MAX_PLAIN_EMAIL_LENGTH = 63


def _validate_phone(value: str) -> None:
    if not PHONE.fullmatch(value):
        raise ValidationError("Write a phone number in international form, such as +4915112345678.")


# RFC 6531 lets a local part have letters of every script.
NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def _validate_email(value: str) -> None:
    """Django's own, and what is before the @ may have letters of every script."""
    local, at, domain = value.rpartition("@")
    validate_email(NOT_ASCII.sub("x", local) + at + domain)


VALIDATORS: dict[str, Callable[[str], None]] = {
    "email": _validate_email,
    "phone": _validate_phone,
    "url": URLValidator(schemes=["http", "https"]),
}


def is_well_formed(kind: str, address: str) -> bool:
    """Whether an address can be sent to at all. Control characters never can: they forge headers."""
    if kind == "email" and len(address) <= MAX_PLAIN_EMAIL_LENGTH and PLAIN_EMAIL.fullmatch(address):
        return True
    if not address.isprintable():
        return False
    try:
        VALIDATORS.get(kind, lambda value: None)(address)
    except ValidationError:
        return False
    return True


class ChosenAddress(NamedTuple):
    """Where to reach a user on a channel.

    :param rejected_address: the address in their settings, if it is unusable and that of their account is taken.
    :param alternative: that of their account, to take should a provider have called the one in their settings bad.
    """

    address: str
    rejected_address: str = ""
    alternative: str = ""

    def use_alternative(self) -> "ChosenAddress":
        """The same by the other address."""
        return ChosenAddress(self.alternative, self.address)


def choose_address(kind: str, own: str, account: str) -> ChosenAddress:
    """Where to reach a user who may have given an address of their own. A typing error in it must silence nobody."""
    if not own:
        return ChosenAddress(account)
    other = account if account and account != own and is_well_formed(kind, account) else ""
    if other and not is_well_formed(kind, own):
        return ChosenAddress(other, own)
    return ChosenAddress(own, alternative=other)


def describe_fault(kind: str, rejected_address: str) -> str:
    """Why an address was passed over, in a word."""
    return "suppressed" if is_well_formed(kind, rejected_address) else "malformed"


def hash_address(address: str) -> str:
    """A fixed-length stand-in for an address in indexes and in tables that must not be read back into addresses."""
    # Half of a surrogate pair is no address, but one must be able to say so.
    return hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()[:32]


def mask_address(address: str) -> str:
    """Enough of an address to recognise one's own: ``a***@example.com``, ``+49***78``."""
    shown = address if address.isprintable() else "".join(filter(str.isprintable, address))
    name, at, domain = shown.rpartition("@")
    if at:
        return f"{name[:1] if len(name) > 1 else ''}***@{domain}"[:MAX_MASK_LENGTH]
    return f"{shown[:3]}***{shown[-2:]}" if len(shown) > 6 else "***" * bool(shown)


EMAIL_IN_TEXT = re.compile(r"""(?:"[^"]+"|[^\s<>"'(),;:@]+)@(?:\[[^\]]+\]|[\w.-]+\w)""")
PHONE_IN_TEXT = re.compile(r"\+\d{7,15}")


def mask_addresses_in(text: str) -> str:
    """A provider's words with every address in them masked."""
    hidden = EMAIL_IN_TEXT.sub(lambda found: mask_address(found.group()), text)
    return PHONE_IN_TEXT.sub(lambda found: mask_address(found.group()), hidden)
