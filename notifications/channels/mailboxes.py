"""Email addresses: parse them from settings and deliveries, and encode them for SMTP.

Domains are encoded according to IDNA 2008 (RFC 5891), after the mapping of UTS #46 for letters such as capitals:
``faß.de`` becomes ``xn--fa-hia.de`` and not ``fass.de``, which is another domain. A local part that is not ASCII is
not changed; only servers with SMTPUTF8 (RFC 6531) accept it.
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

# Includes every character that some software treats as a line end.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LOCAL = re.compile(r"""[\w.!#$%&'*+/=?^`{|}~\u0080-\U0010ffff-]+|"(?:[^"\\]|\\.)*\"""")
DOMAIN = re.compile(r"""[^\s@<>(),;:\\"\[\]]+|\[[^\s\[\]]+\]""")
# A label of a domain must not start or end with a hyphen (RFC 1123, 2.1).
LABEL = re.compile(r"(?!-)[^.]{1,63}(?<!-)")
# RFC 5321, 4.5.3.1.
MAX_LOCAL_BYTES, MAX_DOMAIN_BYTES = 64, 255
QUOTED = re.compile(r"""\"(?:[^"\\]|\\.)*\"|\((?:[^()\\]|\\.)*\)""")
QUOTING_ADVICE = 'Put a name that contains a comma, a colon or an "@" in double quotes.'


class InvalidMailbox(ValueError):
    """A text that is not a valid address. The message is the reason, without a subject: "is empty"."""


class NotSupported(Exception):
    """The server does not accept an address whose local part is not ASCII.

    :ivar is_sender: whether it is the address of the sender.
    """

    def __init__(self, address: str, is_sender: bool) -> None:
        super().__init__(
            f"The part of {address} before the @ is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)."
        )
        self.is_sender = is_sender


@dataclass(frozen=True)
class Mailbox:
    """One address with an optional name. ``domain`` is the ASCII form."""

    name: str
    local: str
    domain: str

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"

    def __str__(self) -> str:
        return f'"{quote(self.name)}" <{self.address}>' if self.name else self.address


@lru_cache(maxsize=1000)
def to_dns_domain(domain: str) -> str:
    """Return the ASCII form of a domain.

    :raises idna.IDNAError: if IDNA 2008 does not allow the domain.
    """
    return domain if domain.isascii() else idna.encode(domain, uts46=True, transitional=False).decode()


def to_dns_address(address: str) -> str:
    """Return a bare address with the ASCII form of its domain.

    :raises idna.IDNAError: if IDNA 2008 does not allow the domain.
    """
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{to_dns_domain(domain)}"


def has_international_local_part(address: str) -> bool:
    """Whether the local part of a bare address is not ASCII."""
    return not address.isascii() and not address.rpartition("@")[0].isascii()


@lru_cache(maxsize=100)
def parse_mailbox(text: str) -> Mailbox:
    """Return the address in a text.

    :raises InvalidMailbox: if the text does not contain exactly one valid address.
    """
    if not text.strip():
        raise InvalidMailbox("is empty")
    if CONTROL_CHARACTERS.search(text):
        raise InvalidMailbox("contains a line end or another control character")
    found = getaddresses([text])
    if len(found) != 1:
        raise InvalidMailbox(f"is not one address. {QUOTING_ADVICE}")
    [(name, address)] = found
    local, _at, domain = address.rpartition("@")
    if not (LOCAL.fullmatch(local) and DOMAIN.fullmatch(domain)) or _is_open_ended(text):
        raise InvalidMailbox("has no address of the form name@example.com")
    mailbox = Mailbox(name, local, _convert_domain(domain))
    for fault in _find_faults(mailbox):
        raise InvalidMailbox(fault)
    _check_with_django_parser(text.replace(domain, mailbox.domain))
    return mailbox


def _is_open_ended(text: str) -> bool:
    """Whether an angle bracket is not closed. Python's parsers would close it at the end of the text."""
    bare = QUOTED.sub("", text)
    return bare.count("<") != bare.count(">")


def _find_faults(mailbox: Mailbox) -> Iterator[str]:
    """Yield the reasons why a mail server would refuse the address."""
    local, domain = mailbox.local, mailbox.domain
    if not local.startswith('"') and not all(local.split(".")):
        yield f"has a misplaced dot in {local!r}"
    if len(local.encode()) > MAX_LOCAL_BYTES:
        yield f"has more than {MAX_LOCAL_BYTES} octets before the @"
    if not domain.startswith("[") and not all(map(LABEL.fullmatch, domain.split("."))):
        yield f"has an invalid domain: {domain!r}"
    if len(domain) > MAX_DOMAIN_BYTES:
        yield f"has more than {MAX_DOMAIN_BYTES} octets after the @"


def _convert_domain(domain: str) -> str:
    try:
        return to_dns_domain(domain)
    except idna.IDNAError as error:
        raise InvalidMailbox(f"has a domain that IDNA 2008 does not allow: {error}") from error


def parse_like_django(text: str) -> tuple[str, str]:
    """Return the name and the address in a text, with the parser that Django's email backends use.

    :raises ValueError: if the text is not exactly one mailbox.
    """
    try:
        mailbox, rest = get_mailbox(text)
    except (HeaderParseError, IndexError) as error:
        raise ValueError(f"Invalid address {text!r}") from error
    name, local, domain = mailbox.display_name or "", mailbox.local_part, mailbox.domain or ""
    if rest or set("\r\n") & set(name + local + domain):
        raise ValueError(f"Invalid address {text!r}: it contains more than one address, or a line end")
    local = local if local.isascii() else Header(local, "utf-8").encode()
    return name, Address(username=local, domain=punycode(domain)).addr_spec


def _check_with_django_parser(text: str) -> None:
    """Django parses the sender again with another parser, which must accept it too."""
    try:
        parse_like_django(text)
    except (ValueError, TypeError, IndexError, MessageError) as error:
        raise InvalidMailbox(f"cannot be read as one address. {QUOTING_ADVICE}") from error


def encode_domain(text: str) -> str:
    """Return a sender with the ASCII form of its domain, and otherwise unchanged.

    :raises InvalidMailbox: if the sender is invalid.
    """
    mailbox = parse_mailbox(text)
    return text if mailbox.domain in text else str(mailbox)
