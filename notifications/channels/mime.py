"""The bytes of a mail, for our own SMTP backend.

Django makes a tree of MIME parts and then writes it out, which takes longer than handing the mail over. What the email
channel makes has one of two shapes, text, or text with HTML; those are written here in one go, with the same headers
and parts. Whatever else comes (attachments, a mail class of a host's own, a forged header) is left to Django.
"""

import re
import secrets
from binascii import b2a_qp
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from email import policy
from email.header import Header
from email.utils import formataddr, formatdate, getaddresses
from functools import lru_cache
from typing import Any, TypeVar

import django
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.encoding import punycode

from notifications.channels.mailboxes import parse

Mail = TypeVar("Mail", bound=EmailMessage)
# RFC 5322, 2.1.1: without the line end, in bytes.
LONGEST_LINE, GOOD_LENGTH = 998, 78
# What is longer stands alone on a line, and may be too long for one.
LONGEST_WORD = 900
# Stands for addresses while a mail is written.
PLACE = "place@address.invalid"
# Every letter that ends a line somewhere is among them.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
ADDRESSES = ("From", "To", "Reply-To")
WRITTEN_HERE = frozenset({"subject", "from", "to", "cc", "reply-to", "date", "mime-version", "content-type"})


def as_bytes(mail: EmailMessage) -> bytes:
    """The whole mail, with the line ends of SMTP.

    :raises ValueError: if a header has a line end.
    """
    if not "".join(map(str, [mail.from_email, *mail.to, *mail.reply_to])).isascii() and (
        foreign := dict(_foreign_headers(mail))
    ):
        return _with_raw_headers(mail, foreign)
    if isinstance(mail, EmailMultiAlternatives) and is_simple(mail):
        return _written(_with_short_words(mail))
    return written_by_django(with_short_words(mail))


def written_by_django(mail: EmailMessage) -> bytes:
    whole: Any = mail
    if django.VERSION < (6, 0):
        return whole.message().as_bytes(linesep="\r\n")
    return whole.message(policy=policy.SMTP).as_bytes()


def with_short_words(mail: Mail) -> Mail:
    """The same mail, with a subject that can be folded by Django: from 6.0 on, it can fold every one itself."""
    return _with_short_words(mail) if django.VERSION < (6, 0) else mail


def _with_short_words(mail: Mail) -> Mail:
    """Of a word that fills a line, encoded words are made."""
    subject = str(mail.subject)
    if len(subject) <= LONGEST_WORD or not subject.isascii() or max(map(len, subject.split(" "))) <= LONGEST_WORD:
        return mail
    # What is folded between encoded words, no reader shows (RFC 2047, 6.2).
    words = Header(subject, "utf-8", header_name="Subject").encode().split()
    return _changed(mail, subject=" ".join(words))


def _foreign_headers(mail: EmailMessage) -> Iterator[tuple[str, str]]:
    """Of the headers with addresses, those that have one whose local part is not ASCII, as RFC 6532 writes them."""
    for name, texts in (("From", [mail.from_email]), ("To", mail.to), ("Reply-To", mail.reply_to)):
        if not all(map(str.isascii, map(str, texts))):
            mailboxes = [parse(str(text)) for text in texts]
            if not all(mailbox.local.isascii() for mailbox in mailboxes):
                yield name, ", ".join(map(str, mailboxes))


def _with_raw_headers(mail: EmailMessage, foreign: Mapping[str, str]) -> bytes:
    """Django would encode such an address, and so make another of it: it is written into the finished mail."""
    fields = {"From": "from_email", "To": "to", "Reply-To": "reply_to"}
    places = {fields[name]: PLACE if name == "From" else [PLACE] for name in foreign}
    head, end, body = as_bytes(_changed(mail, **places)).partition(b"\r\n\r\n")
    for name, value in foreign.items():
        head = head.replace(f"{name}: {PLACE}".encode(), f"{name}: {value}".encode(), 1)
    return head + end + body


def _changed(mail: Mail, **fields: Any) -> Mail:
    changed = copy(mail)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def is_simple(mail: EmailMultiAlternatives) -> bool:
    return (
        type(mail) is EmailMultiAlternatives
        and not (mail.attachments or mail.cc or mail.encoding)
        and (mail.content_subtype, settings.DEFAULT_CHARSET) == ("plain", "utf-8")
        and [kind for _content, kind in mail.alternatives] in ([], ["text/html"])
        and bool(mail.body or not mail.alternatives)
        and "Message-ID" in mail.extra_headers
        and WRITTEN_HERE.isdisjoint(name.lower() for name in mail.extra_headers)
        and not any(CONTROL.search(name + value) for name, value in _headers(mail))
    )


def _headers(mail: EmailMessage) -> Iterator[tuple[str, str]]:
    yield "Subject", str(mail.subject)
    yield "From", str(mail.from_email)
    yield "To", ", ".join(map(str, mail.to))
    if mail.reply_to:
        yield "Reply-To", ", ".join(map(str, mail.reply_to))
    for name, value in mail.extra_headers.items():
        yield name, str(value)


def _written(mail: EmailMultiAlternatives) -> bytes:
    headers = [_header(name, value) for name, value in _headers(mail)]
    date = formatdate(localtime=settings.EMAIL_USE_LOCALTIME)
    head = "\r\n".join([*headers, f"Date: {date}", "MIME-Version: 1.0", ""])
    parts = [_part("plain", str(mail.body)), *(_part("html", str(content)) for content, _kind in mail.alternatives)]
    return head.encode() + (parts[0] if len(parts) == 1 else _alternatives(parts))


# The sender and the like are the same in all mails.
@lru_cache(maxsize=100)
def _header(name: str, value: str) -> str:
    if value.isascii() and len(f"{name}: {value}") <= GOOD_LENGTH:
        return f"{name}: {value}"
    if name in ADDRESSES and not value.isascii():
        value = ", ".join(_address_in_ascii(*address) for address in getaddresses([value]))
    folded = Header(value, header_name=name).encode(linesep="\r\n")
    return f"{name}: {folded}"


def _address_in_ascii(name: str, address: str) -> str:
    local, at, domain = address.rpartition("@")
    encoded = name if name.isascii() else Header(name, "utf-8").encode()
    return formataddr((encoded, f"{local}{at}{punycode(domain)}"))


def _part(subtype: str, text: str) -> bytes:
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    encoding = "7bit" if text.isascii() else "8bit"
    if max(map(len, content.split(b"\n"))) > LONGEST_LINE:
        encoding, content = "quoted-printable", b2a_qp(content)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + content.replace(b"\n", b"\r\n")


def _alternatives(parts: Sequence[bytes]) -> bytes:
    # No text can hold it, because nobody can guess it.
    boundary = f"=_{secrets.token_hex(16)}"
    head = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
    between, end = f"\r\n--{boundary}\r\n", f"\r\n--{boundary}--\r\n"
    return head.encode() + between.encode().join(parts) + end.encode()
