"""Email through Django's email backends, including those of django-anymail.

Each recipient gets a separate message in a separate call of ``send_messages()``, because a backend returns one result
for a whole list: one refused recipient would abort the rest of the list.
"""

import hashlib
from collections.abc import Iterator, Sequence
from email.encoders import encode_base64
from email.message import MIMEPart
from email.mime.nonmultipart import MIMENonMultipart
from smtplib import SMTPRecipientsRefused
from typing import Any

import django
import idna
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from notifications.attachments import Attachment
from notifications.channels import services
from notifications.channels.backends import open_backend
from notifications.channels.base import BaseChannel
from notifications.channels.email_errors import (
    closes_connection,
    make_opening_receipt,
    make_sending_receipt,
    may_need_new_connection,
)
from notifications.channels.mailboxes import (
    InvalidMailbox,
    encode_domain,
    has_international_local_part,
    parse_mailbox,
    to_dns_address,
)
from notifications.channels.mime import make_subject_foldable
from notifications.channels.rendered import Rendered
from notifications.channels.smtp import EmailBackend as SMTPBackend
from notifications.channels.smtp import Timeouts
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

# In seconds. Other backends may wait forever by default, but a worker must not.
DEFAULT_TIMEOUT = 30.0
# An SMTP dialogue has eight steps and an HTTP request fewer; in practice at most this many take the whole timeout.
SLOW_STEPS = 4


class EmailChannel(BaseChannel):
    """Send emails.

    Options: ``from_email``, ``reply_to`` (a list), ``mailer`` (an alias of ``MAILERS``), or ``backend`` (a dotted path)
    and ``backend_options``. By default the channel uses the site's ``DEFAULT_FROM_EMAIL``, and its default mailer or
    ``EMAIL_BACKEND``.
    """

    address_kind = "email"
    one_by_one = True
    takes_attachments = True
    timeout = Timeouts().mail
    required_parts = ("subject.txt", "txt")
    optional_parts = ("html",)

    def __init__(
        self,
        from_email: str | None = None,
        reply_to: Sequence[str] = (),
        backend: str | None = None,
        backend_options: dict[str, Any] | None = None,
        mailer: str | None = None,
    ) -> None:
        if isinstance(reply_to, str):
            raise TypeError(f"reply_to must be a list of addresses, not {reply_to!r}")
        self.from_email, self.reply_to = str(from_email or settings.DEFAULT_FROM_EMAIL or ""), list(map(str, reply_to))
        self.sender_faults = list(_find_sender_faults(self.from_email, self.reply_to, is_default=not from_email))
        if not self.sender_faults:
            self.from_email, self.reply_to = encode_domain(self.from_email), list(map(encode_domain, self.reply_to))
        self.backend, self.backend_options, self.mailer = backend, backend_options or {}, mailer
        self.connection = self._connect()
        self.timeout = _get_max_seconds(self.connection)
        self._has_sent_mail = False
        self.domain = "localhost" if self.sender_faults else parse_mailbox(self.from_email).domain

    @property
    def _builds_mime_itself(self) -> bool:
        """Whether the backend builds the MIME message itself, without Django's ``message()``."""
        return isinstance(self.connection, (SMTPBackend, *services.BACKENDS))

    def _connect(self) -> BaseEmailBackend:
        connection: Any = open_backend(self.backend, self.backend_options, self.mailer)
        if getattr(connection, "timeout", 0) is None:
            connection.timeout = DEFAULT_TIMEOUT
        return connection

    def prepare(self, delivery: Delivery, rendered: Rendered) -> EmailMultiAlternatives:
        message = EmailMultiAlternatives(
            subject=rendered.subject,
            body=rendered.text,
            from_email=self.from_email,
            to=[_encode_recipient(delivery.address)],
            reply_to=self.reply_to,
            headers={"Message-ID": self._message_id(delivery), "Auto-Submitted": "auto-generated"},
        )
        if rendered.html:
            message.attach_alternative(rendered.html, "text/html")
        for attachment in rendered.attachments:
            _attach(message, attachment)
        return message if self._builds_mime_itself else make_subject_foldable(message)

    def _message_id(self, delivery: Delivery) -> str:
        """Return the same id for each attempt of an epoch, so that a mailbox can detect repeats (RFC 5322, 3.6.4)."""
        key = f"{delivery.notification.correlation_id}:{delivery.idempotency_key}"
        return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}.{delivery.idempotency_key}@{self.domain}>"

    def send(self, messages: Sequence[EmailMultiAlternatives]) -> Iterator[Receipt]:
        for message in messages:
            was_used = self._has_sent_mail
            receipt, may_be_stale = self._attempt(message)
            if was_used and may_be_stale:
                # The server may have refused only this connection. Its answer on a new one is final.
                self.close()
                receipt, _may_be_stale = self._attempt(message)
            yield receipt

    def _attempt(self, message: EmailMultiAlternatives) -> tuple[Receipt, bool]:
        """Return the receipt, and whether the server may have refused only this connection, without taking the mail."""
        if (refused := self._refuse_locally(message)) is not None:
            return refused, False
        try:
            if self.connection.open():
                self._has_sent_mail = False
        except Exception as error:  # noqa: BLE001 - the receipt contains the error
            self.close()
            return make_opening_receipt(message, error, self._provider), False
        return self._hand_over(message)

    def _refuse_locally(self, message: EmailMultiAlternatives) -> Receipt | None:
        """Return a receipt if the message cannot be sent at all; otherwise None."""
        if self.sender_faults:
            error = " ".join(self.sender_faults)
            return Receipt(message, Verdict.CONFIGURATION, self._provider, error=error, blames=Blame.PROVIDER)
        if all(map(str.isascii, message.to)):
            return None
        if error := _find_recipient_fault(message.to[0], knows_utf8=isinstance(self.connection, SMTPBackend)):
            return Receipt(message, Verdict.PERMANENT, self._provider, error=error, blames=Blame.RECIPIENT)
        return None

    def _hand_over(self, message: EmailMultiAlternatives) -> tuple[Receipt, bool]:
        try:
            count = self.connection.send_messages([message])
        except Exception as error:  # noqa: BLE001 - the receipt contains the error
            may_be_accepted = getattr(self.connection, "is_content_requested", True)
            if not self._can_reuse_connection(error):
                self.close()
            receipt = make_sending_receipt(message, error, self._provider, may_be_accepted)
            return receipt, may_need_new_connection(error, may_be_accepted)
        if count == 0:
            return Receipt(message, Verdict.PERMANENT, self._provider, error="The email backend sent nothing."), False
        self._has_sent_mail = True
        return Receipt(message, Verdict.ACCEPTED, self._provider, _get_provider_id(message)), False

    def _can_reuse_connection(self, error: Exception) -> bool:
        """Whether the connection can be used again. After most errors smtplib fails for every later mail on it."""
        if not (isinstance(error, SMTPRecipientsRefused) and isinstance(self.connection, SMTPBackend)):
            return False
        return self.connection.is_open and not closes_connection(error)

    @property
    def _provider(self) -> str:
        return type(self.connection).__module__.rpartition(".")[2]

    def close(self) -> None:
        self._has_sent_mail = False
        try:
            self.connection.close()
        except OSError:
            # The connection was already broken, and this backend object may be unusable.
            self.connection = self._connect()


def _encode_recipient(address: str) -> str:
    """Return an address with an ASCII domain. If IDNA 2008 does not allow the domain, return the address unchanged;
    the channel then refuses it."""
    try:
        return to_dns_address(address)
    except idna.IDNAError:
        return address


def _find_recipient_fault(address: str, knows_utf8: bool) -> str:
    """Return why the email cannot be sent to a recipient that is not ASCII; empty if it can."""
    try:
        to_dns_address(address)
    except idna.IDNAError as error:
        return f"IDNA 2008 does not allow the domain of {address}: {error}"
    if has_international_local_part(address) and not knows_utf8:
        return f"The part of {address} before the @ is not ASCII, which requires an SMTP server with SMTPUTF8."
    return ""


def _find_sender_faults(from_email: str, reply_to: Sequence[str], is_default: bool) -> Iterator[str]:
    """Yield one sentence for each invalid sender. It names the setting."""
    senders = [("DEFAULT_FROM_EMAIL" if is_default else "from_email", from_email)]
    for setting, text in [*senders, *(("reply_to", address) for address in reply_to)]:
        try:
            parse_mailbox(text)
        except InvalidMailbox as error:
            yield f"{setting} {text!r:.200} {error}".rstrip(".") + "."


def _get_max_seconds(connection: Any) -> float:
    timeouts = getattr(connection, "timeouts", None)
    if isinstance(timeouts, Timeouts):
        return timeouts.mail
    return SLOW_STEPS * float(getattr(connection, "timeout", None) or DEFAULT_TIMEOUT)


def _attach(message: EmailMultiAlternatives, attachment: Attachment) -> None:
    if attachment.is_text or attachment.parameters:
        message.attach(_make_part(attachment))
    else:
        message.attach(attachment.name, attachment.content, attachment.mimetype)


def _make_part(attachment: Attachment) -> Any:
    """Return a part in base64, so that it arrives unchanged. Django would change line ends and omit parameters."""
    part = _make_empty_part(attachment.kind)
    for parameter, value in attachment.parameters.items():
        part.set_param(parameter, value)
    if attachment.is_text and "charset" not in attachment.parameters:
        part.set_param("charset", "utf-8")
    part.set_payload(attachment.content)
    encode_base64(part)
    name: Any = attachment.name if attachment.name.isascii() else ("utf-8", "", attachment.name)
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def _make_empty_part(kind: str) -> MIMEPart | MIMENonMultipart:
    """Return a part of the class that Django expects: 5.2 only accepts the older class, and 6.0 deprecates it."""
    if django.VERSION < (6, 0):
        return MIMENonMultipart(*kind.split("/"))
    part = MIMEPart()
    part["Content-Type"] = kind
    return part


def _get_provider_id(message: EmailMultiAlternatives) -> str:
    """Return the id that the provider uses for this email."""
    status = getattr(message, "anymail_status", None)
    return str(getattr(status, "message_id", None) or message.extra_headers["Message-ID"])[:255]
