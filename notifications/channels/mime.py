"""Build the MIME structure of an email: its attachments, and the whole email as bytes for Klaxon's SMTP backend.

Django builds a tree of MIME parts and then serialises it, which takes longer than sending the mail. Most mails of the
email channel have one of two structures: text, or text with HTML. This module renders them directly, with the same
headers and parts. It leaves all other mails to Django: those with attachments, custom mail classes or invalid headers.
"""

import re
import secrets
from binascii import b2a_qp
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from email import policy
from email.encoders import encode_base64
from email.header import Header
from email.message import MIMEPart
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import formataddr, formatdate, getaddresses
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import unquote

import django
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.encoding import punycode

from notifications.attachments import Attachment
from notifications.channels.email_headers import UnfoldedHeader
from notifications.channels.mailboxes import CONTROL_CHARACTERS, parse_mailbox
from notifications.channels.senders import ENCODED_WORD

Mail = TypeVar("Mail", bound=EmailMessage)
# RFC 5322, 2.1.1; without the line end.
MAX_LINE_BYTES, PREFERRED_LINE_BYTES = 998, 78
# A longer word cannot be folded, and could exceed the length of a line.
MAX_WORD_LENGTH = 900
CONTENT_ID_LINK = re.compile(r"""\bcid:([^"'\s<>()]+)""")
# Replaces addresses that are inserted as they are while Django renders the mail.
PLACEHOLDER = "place@address.invalid"
ADDRESS_HEADERS = ("From", "To", "Reply-To")
OWN_HEADERS = frozenset({"subject", "from", "to", "cc", "reply-to", "date", "mime-version", "content-type"})


def render_mail(mail: EmailMessage) -> bytes:
    """Return the complete mail, with the line ends of SMTP.

    :raises ValueError: if a header contains a line end or another control character.
    """
    if not "".join(map(str, [mail.from_email, *mail.to, *mail.reply_to])).isascii() and (
        international := dict(_find_international_headers(mail))
    ):
        return _render_with_raw_headers(mail, international)
    mail = keep_subject_literal(mail)
    if isinstance(mail, EmailMultiAlternatives) and is_simple(mail):
        return _render_simple(_encode_long_words(mail))
    headers = dict(_list_headers(mail))
    for name, value in headers.items():
        check_header(name, value)
    if long := {name: headers[name] for name in ADDRESS_HEADERS if _is_long_address(name, headers.get(name, ""))}:
        return _render_with_raw_headers(mail, long)
    return render_with_django(make_subject_foldable(mail))


def _is_long_address(name: str, value: str) -> bool:
    """Whether Python may fold the header and remove the quotes of a name, which changes the address."""
    return value.isascii() and PREFERRED_LINE_BYTES < len(f"{name}: {value}") <= MAX_LINE_BYTES


def check_header(name: str, value: str) -> None:
    """Check that a header is one line.

    Django refuses only the usual line ends, but Python breaks a long header at other control characters too.

    :raises ValueError: if it contains a control character.
    """
    if CONTROL_CHARACTERS.search(value):
        raise ValueError(f"The header {name} contains a line end or another control character: {value!r:.200}")


def render_with_django(mail: EmailMessage) -> bytes:
    untyped: Any = mail
    if django.VERSION < (6, 0):
        return untyped.message().as_bytes(linesep="\r\n")
    return untyped.message(policy=policy.SMTP).as_bytes()


class RelatedMail(EmailMultiAlternatives):
    """A mail whose files are all images of its HTML, so that both are one unit (RFC 2387)."""

    def message(self, *args: Any, **kwargs: Any) -> Any:
        message = super().message(*args, **kwargs)
        _write_literal_subject(message, self.subject)
        message.set_type("multipart/related")
        # RFC 2387, 3.1.
        message.set_param("type", "multipart/alternative")
        return message


class EncodedWords(str):
    """A subject that Klaxon has encoded (RFC 2047)."""

    __slots__ = ()


class LiteralSubjectMail(EmailMultiAlternatives):
    """A mail whose subject contains what looks like an encoded word. Readers see it as it was written."""

    def message(self, *args: Any, **kwargs: Any) -> Any:
        message = super().message(*args, **kwargs)
        _write_literal_subject(message, self.subject)
        return message


def keep_subject_literal(mail: Mail) -> Mail:
    """Return the mail so that no reader decodes its subject to a text that nobody wrote."""
    if looks_encoded(mail.subject) and type(mail) is EmailMultiAlternatives:
        copied: Any = copy(mail)
        copied.__class__ = LiteralSubjectMail
        return copied
    return mail


def looks_encoded(subject: Any) -> bool:
    """Return whether a reader would decode a part of a subject, although Klaxon has not encoded it."""
    if isinstance(subject, EncodedWords) or ENCODED_WORD not in str(subject):
        return False
    # Before Django 6.0, other characters are encoded together with the whole subject.
    return django.VERSION >= (6, 0) or str(subject).isascii()


def _write_literal_subject(message: Any, subject: Any) -> None:
    if not looks_encoded(subject):
        return
    lines = Header(str(subject), "utf-8", header_name="Subject").encode()
    if django.VERSION < (6, 0):
        message.replace_header("Subject", " ".join(lines.split()))
    else:
        # Any other method would decode it, and then write it without encoding.
        del message["Subject"]
        message.set_raw("Subject", lines)


def make_mail(html: str, attachments: Sequence[Attachment], domain: str, **fields: Any) -> EmailMultiAlternatives:
    """Return a mail with its HTML and files. A file that the HTML names, as in ``cid:chart.png``, is shown inside it.

    :param domain: the domain of the sender, for the ids of images.
    :param fields: the other arguments of ``EmailMultiAlternatives``.
    """
    ids: dict[str, str] = {}
    if attachments:
        names = {unquote(name) for name in CONTENT_ID_LINK.findall(html)}
        ids = {file.name: _make_content_id(file.name, domain) for file in attachments if file.name in names}
        html = CONTENT_ID_LINK.sub(lambda link: _replace_link(link, ids), html)
    # With other files, mail clients find the images in a multipart/mixed as well.
    is_related = bool(ids) and all(file.name in ids for file in attachments)
    message = (RelatedMail if is_related else EmailMultiAlternatives)(**fields)
    if html:
        message.attach_alternative(html, "text/html")
    for attachment in attachments:
        attach(message, attachment, ids.get(attachment.name, ""))
    return message


def _make_content_id(name: str, domain: str) -> str:
    return f"{sha256(name.encode()).hexdigest()[:32]}@{domain}"


def _replace_link(link: re.Match[str], ids: Mapping[str, str]) -> str:
    name = unquote(link[1])
    return f"cid:{ids[name]}" if name in ids else link[0]


def attach(message: EmailMessage, attachment: Attachment, content_id: str = "") -> None:
    """Attach a file so that it arrives unchanged.

    :param content_id: the id by which the HTML of the message refers to it; empty if it does not.
    """
    if content_id:
        part = _make_part(attachment, "inline")
        part["Content-ID"] = f"<{content_id}>"
        message.attach(part)
    elif attachment.is_text or attachment.parameters:
        message.attach(_make_part(attachment))
    else:
        message.attach(attachment.name, attachment.content, attachment.mimetype)


def _make_part(attachment: Attachment, disposition: str = "attachment") -> Any:
    """Return a part in base64, so that it arrives unchanged. Django would change line ends and omit parameters."""
    part = _make_empty_part(attachment.kind)
    for parameter, value in attachment.parameters.items():
        part.set_param(parameter, value)
    if attachment.is_text and "charset" not in attachment.parameters:
        part.set_param("charset", "utf-8")
    part.set_payload(attachment.content)
    encode_base64(part)
    name: Any = attachment.name if attachment.name.isascii() else ("utf-8", "", attachment.name)
    part.add_header("Content-Disposition", disposition, filename=name)
    return part


def _make_empty_part(kind: str) -> MIMEPart | MIMENonMultipart:
    """Return a part of the class that Django expects: 5.2 only accepts the older class, and 6.0 deprecates it."""
    if django.VERSION < (6, 0):
        return MIMENonMultipart(*kind.split("/"))
    part = MIMEPart()
    part["Content-Type"] = kind
    return part


def make_subject_foldable(mail: Mail) -> Mail:
    """Return the mail with a subject that Django can fold. Django 6.0 and later can fold every subject."""
    return _encode_long_words(mail) if django.VERSION < (6, 0) else mail


def _encode_long_words(mail: Mail) -> Mail:
    """Return the mail with a subject in encoded words, if it has a word that would fill a line."""
    subject = str(mail.subject)
    if len(subject) <= MAX_WORD_LENGTH or not subject.isascii() or max(map(len, subject.split(" "))) <= MAX_WORD_LENGTH:
        return mail
    # Mail clients ignore the folding between encoded words (RFC 2047, 6.2).
    words = Header(subject, "utf-8", header_name="Subject").encode().split()
    return _copy_with(mail, subject=EncodedWords(" ".join(words)))


def _find_international_headers(mail: EmailMessage) -> Iterator[tuple[str, str]]:
    """Yield the address headers with a local part that is not ASCII, in the form of RFC 6532."""
    for name, texts in (("From", [mail.from_email]), ("To", mail.to), ("Reply-To", mail.reply_to)):
        if not all(map(str.isascii, map(str, texts))):
            mailboxes = [parse_mailbox(str(text)) for text in texts]
            if not all(mailbox.local.isascii() for mailbox in mailboxes):
                yield name, ", ".join(map(str, mailboxes))


def _render_with_raw_headers(mail: EmailMessage, raw: Mapping[str, str]) -> bytes:
    """Insert addresses into the rendered mail as they are. Django would encode or fold them and change the address."""
    fields = {"From": "from_email", "To": "to", "Reply-To": "reply_to"}
    placeholders = {fields[name]: PLACEHOLDER if name == "From" else [PLACEHOLDER] for name in raw}
    head, end, body = render_mail(_copy_with(mail, **placeholders)).partition(b"\r\n\r\n")
    for name, value in raw.items():
        head = head.replace(f"{name}: {PLACEHOLDER}".encode(), f"{name}: {value}".encode(), 1)
    return head + end + body


def _copy_with(mail: Mail, **fields: Any) -> Mail:
    copied = copy(mail)
    for name, value in fields.items():
        setattr(copied, name, value)
    return copied


def is_simple(mail: EmailMultiAlternatives) -> bool:
    return (
        type(mail) is EmailMultiAlternatives
        and not (mail.attachments or mail.cc or mail.encoding)
        and (mail.content_subtype, settings.DEFAULT_CHARSET) == ("plain", "utf-8")
        and [kind for _content, kind in mail.alternatives] in ([], ["text/html"])
        and bool(mail.body or not mail.alternatives)
        and "Message-ID" in mail.extra_headers
        and OWN_HEADERS.isdisjoint(name.lower() for name in mail.extra_headers)
        and not CONTROL_CHARACTERS.search("".join(chain.from_iterable(_list_headers(mail))))
    )


def _list_headers(mail: EmailMessage) -> list[tuple[str, str]]:
    headers = [("Subject", str(mail.subject)), ("From", str(mail.from_email)), ("To", ", ".join(map(str, mail.to)))]
    if mail.reply_to:
        headers.append(("Reply-To", ", ".join(map(str, mail.reply_to))))
    for name, value in mail.extra_headers.items():
        headers.append((name, value if type(value) is UnfoldedHeader else str(value)))
    return headers


def _render_simple(mail: EmailMultiAlternatives) -> bytes:
    headers = [
        f"{name}: {value}" if type(value) is UnfoldedHeader else _format_header(name, value)
        for name, value in _list_headers(mail)
    ]
    date = formatdate(localtime=settings.EMAIL_USE_LOCALTIME)
    head = "\r\n".join([*headers, f"Date: {date}", "MIME-Version: 1.0", ""])
    parts = [
        _format_part("plain", str(mail.body)),
        *(_format_part("html", str(content)) for content, _kind in mail.alternatives),
    ]
    return head.encode() + (parts[0] if len(parts) == 1 else _join_alternatives(parts))


# Headers such as From are the same in all mails.
@lru_cache(maxsize=100)
def _format_header(name: str, value: str) -> str:
    if value.isascii() and len(f"{name}: {value}") <= PREFERRED_LINE_BYTES:
        return f"{name}: {value}"
    if name in ADDRESS_HEADERS and not value.isascii():
        value = ", ".join(_encode_address(*address) for address in getaddresses([value]))
    folded = Header(value, header_name=name).encode(linesep="\r\n")
    return f"{name}: {folded}"


def _encode_address(name: str, address: str) -> str:
    local, at, domain = address.rpartition("@")
    encoded = name if name.isascii() else Header(name, "utf-8").encode()
    return formataddr((encoded, f"{local}{at}{punycode(domain)}"))


def _format_part(subtype: str, text: str) -> bytes:
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    encoding = "7bit" if text.isascii() else "8bit"
    if max(map(len, content.split(b"\n"))) > MAX_LINE_BYTES:
        encoding, content = "quoted-printable", b2a_qp(content)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + content.replace(b"\n", b"\r\n")


def _join_alternatives(parts: Sequence[bytes]) -> bytes:
    # The boundary is random, so no text can contain it.
    boundary = f"=_{secrets.token_hex(16)}"
    head = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
    between, end = f"\r\n--{boundary}\r\n", f"\r\n--{boundary}--\r\n"
    return head.encode() + between.encode().join(parts) + end.encode()
