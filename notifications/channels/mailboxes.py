"""Addresses in mails: read from settings and deliveries, and written as SMTP wants them.

A domain is written as IDNA 2008 has it (RFC 5891), after the mapping of UTS #46 for letters such as capitals:
``faß.de`` is ``xn--fa-hia.de``, and not ``fass.de``, which belongs to somebody else. A local part that is not ASCII
stays as it is; only servers with SMTPUTF8 (RFC 6531) take it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email._header_value_parser import get_mailbox
from email.errors import HeaderParseError, MessageError
from email.header import Header
from email.headerregistry import Address
from email.utils import getaddresses, quote
from functools import lru_cache

import idna
from django.utils.encoding import punycode

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LOCAL = re.compile(r"""[\w.!#$%&'*+/=?^`{|}~\u0080-\U0010ffff-]+|"(?:[^"\\]|\\.)*\"""")
DOMAIN = re.compile(r"""[^\s@<>(),;:\\"\[\]]+|\[[^\s\[\]]+\]""")
# A label of a domain neither begins nor ends with a hyphen (RFC 1123, 2.1).
LABEL = re.compile(r"(?!-)[^.]{1,63}(?<!-)")
# In octets (RFC 5321, 4.5.3.1).
LONGEST_LOCAL, LONGEST_DOMAIN = 64, 255
QUOTED = re.compile(r"""\"(?:[^"\\]|\\.)*\"|\((?:[^()\\]|\\.)*\)""")
IN_QUOTES = 'Put a name that has a comma, a colon or an "@" in double quotes.'


class InvalidMailbox(ValueError):
    """A text that is no address, with the reason."""


class NotSupported(Exception):
    """The server takes no address whose local part is not ASCII.

    :ivar is_sender: whether it is the sender's.
    """

    def __init__(self, address: str, is_sender: bool) -> None:
        super().__init__(
            f"The part of {address} before the @ is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)."
        )
        self.is_sender = is_sender


@dataclass(frozen=True)
class Mailbox:
    """One address, perhaps with a name. ``domain`` is as the DNS has it."""

    name: str
    local: str
    domain: str

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"

    def __str__(self) -> str:
        return f'"{quote(self.name)}" <{self.address}>' if self.name else self.address


@lru_cache(maxsize=1000)
def dns_domain(domain: str) -> str:
    """A domain as the DNS has it; one in ASCII stays as it is.

    :raises idna.IDNAError: if IDNA 2008 does not allow it.
    """
    return domain if domain.isascii() else idna.encode(domain, uts46=True, transitional=False).decode()


def dns_address(address: str) -> str:
    """The same for the domain of a bare address."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{dns_domain(domain)}"


def is_international(address: str) -> bool:
    """Whether the local part of a bare address is not ASCII."""
    return not address.isascii() and not address.rpartition("@")[0].isascii()


@lru_cache(maxsize=100)
def parse(text: str) -> Mailbox:
    """The one address in a text.

    :raises InvalidMailbox: if there is none, or more than one.
    """
    if not text.strip():
        raise InvalidMailbox("is empty")
    if CONTROL.search(text):
        raise InvalidMailbox("has a line end or another control character")
    found = getaddresses([text])
    if len(found) != 1:
        raise InvalidMailbox(f"is not one address. {IN_QUOTES}")
    [(name, address)] = found
    local, _at, domain = address.rpartition("@")
    if not (LOCAL.fullmatch(local) and DOMAIN.fullmatch(domain)) or _is_open_ended(text):
        raise InvalidMailbox("has no address of the form name@example.com")
    mailbox = Mailbox(name, local, _allowed(domain))
    for fault in _faults(mailbox):
        raise InvalidMailbox(fault)
    _read_by_django(text.replace(domain, mailbox.domain))
    return mailbox


def _is_open_ended(text: str) -> bool:
    """Whether an angle bracket is not closed. Python's parsers close it at the end."""
    bare = QUOTED.sub("", text)
    return bare.count("<") != bare.count(">")


def _faults(mailbox: Mailbox) -> Iterator[str]:
    """What a mail server would refuse. ``domain`` is as the DNS has it."""
    local, domain = mailbox.local, mailbox.domain
    if not local.startswith('"') and not all(local.split(".")):
        yield f"has a dot too many in {local!r}"
    if len(local.encode()) > LONGEST_LOCAL:
        yield f"has more than {LONGEST_LOCAL} octets before the @"
    if not domain.startswith("[") and not all(map(LABEL.fullmatch, domain.split("."))):
        yield f"has a domain that cannot be one: {domain!r}"
    if len(domain) > LONGEST_DOMAIN:
        yield f"has more than {LONGEST_DOMAIN} octets after the @"


def _allowed(domain: str) -> str:
    try:
        return dns_domain(domain)
    except idna.IDNAError as error:
        raise InvalidMailbox(f"has a domain that IDNA 2008 does not allow: {error}") from error


def read_strictly(text: str) -> tuple[str, str]:
    """The name and the address in a text, by the parser that Django's email backends use.

    :raises ValueError: if it is not exactly one mailbox.
    """
    try:
        mailbox, rest = get_mailbox(text)
    except (HeaderParseError, IndexError) as error:
        raise ValueError(f"Invalid address {text!r}") from error
    name, local, domain = mailbox.display_name or "", mailbox.local_part, mailbox.domain or ""
    if rest or set("\r\n") & set(name + local + domain):
        raise ValueError(f"Invalid address {text!r}: there is more than one, or a line end")
    local = local if local.isascii() else Header(local, "utf-8").encode()
    return name, Address(username=local, domain=punycode(domain)).addr_spec


def _read_by_django(text: str) -> None:
    """Django reads the sender again, by another parser, and must find the same."""
    try:
        read_strictly(text)
    except (ValueError, TypeError, IndexError, MessageError) as error:
        raise InvalidMailbox(f"cannot be read as one address. {IN_QUOTES}") from error


def rewritten(text: str) -> str:
    """A sender as it was written, but for a domain that is not ASCII.

    :raises InvalidMailbox: if it is none.
    """
    mailbox = parse(text)
    return text if mailbox.domain in text else str(mailbox)
