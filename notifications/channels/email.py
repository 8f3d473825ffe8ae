"""Email through Django's email backends, django-anymail's among them.

One message for each recipient and one ``send_messages([message])`` for each, because a backend answers for a whole
list: one refused recipient would abort the rest of it.
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
from notifications.channels.email_errors import says_goodbye, wants_a_fresh_connection, while_opening, while_sending
from notifications.channels.mailboxes import InvalidMailbox, dns_address, is_international, parse, rewritten
from notifications.channels.mime import with_short_words
from notifications.channels.rendered import Rendered
from notifications.channels.smtp import EmailBackend as SMTPBackend
from notifications.channels.smtp import Patience
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Verdict

# Other backends may wait for ever unless told otherwise; a worker must not.
SECONDS_TO_WAIT = 30.0
# Of an SMTP conversation with its eight steps, or of a request over HTTP: more than so many never all take their time.
SLOW_STEPS = 4


class EmailChannel(BaseChannel):
    """Options: ``from_email``, ``reply_to`` (a list), ``mailer`` (an alias of ``MAILERS``), or ``backend`` (a dotted
    path) and ``backend_options``.

    By default the site's own ``DEFAULT_FROM_EMAIL``, and its default mailer or ``EMAIL_BACKEND``.
    """

    address_kind = "email"
    one_by_one = True
    takes_attachments = True
    patience = Patience().mail
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
        self.sender_faults = list(_faults(self.from_email, self.reply_to, is_default=not from_email))
        if not self.sender_faults:
            self.from_email, self.reply_to = rewritten(self.from_email), list(map(rewritten, self.reply_to))
        self.backend, self.backend_options, self.mailer = backend, backend_options or {}, mailer
        self.connection = self._connect()
        self.patience = _patience_of(self.connection)
        self._has_carried_mail = False
        self.domain = "localhost" if self.sender_faults else parse(self.from_email).domain

    @property
    def _writes_mails_itself(self) -> bool:
        """Whether the backend does not hand over what Django makes of a mail."""
        return isinstance(self.connection, (SMTPBackend, *services.BACKENDS))

    def _connect(self) -> BaseEmailBackend:
        connection: Any = open_backend(self.backend, self.backend_options, self.mailer)
        if getattr(connection, "timeout", 0) is None:
            connection.timeout = SECONDS_TO_WAIT
        return connection

    def prepare(self, delivery: Delivery, rendered: Rendered) -> EmailMultiAlternatives:
        message = EmailMultiAlternatives(
            subject=rendered.subject,
            body=rendered.text,
            from_email=self.from_email,
            to=[_recipient(delivery.address)],
            reply_to=self.reply_to,
            headers={"Message-ID": self._message_id(delivery), "Auto-Submitted": "auto-generated"},
        )
        if rendered.html:
            message.attach_alternative(rendered.html, "text/html")
        for attachment in rendered.attachments:
            _attach(message, attachment)
        return message if self._writes_mails_itself else with_short_words(message)

    def _message_id(self, delivery: Delivery) -> str:
        """The same for every try of one epoch, so that a mailbox can recognise a repeat (RFC 5322, 3.6.4)."""
        told = f"{delivery.notification.correlation_id}:{delivery.idempotency_key}"
        return f"<{hashlib.sha256(told.encode()).hexdigest()[:32]}.{delivery.idempotency_key}@{self.domain}>"

    def send(self, messages: Sequence[EmailMultiAlternatives]) -> Iterator[Receipt]:
        for message in messages:
            was_used = self._has_carried_mail
            receipt, may_be_stale = self._attempt(message)
            if was_used and may_be_stale:
                # Perhaps the server has only had enough of this connection. Whatever it says on a fresh one holds.
                self.close()
                receipt, _may_be_stale = self._attempt(message)
            yield receipt

    def _attempt(self, message: EmailMultiAlternatives) -> tuple[Receipt, bool]:
        """The receipt, and whether it may say only that the connection was used up, and nothing was handed over."""
        if (refused := self._refused_here(message)) is not None:
            return refused, False
        try:
            if self.connection.open():
                self._has_carried_mail = False
        except Exception as error:  # noqa: BLE001 - the receipt tells it
            self.close()
            return while_opening(message, error, self._provider), False
        return self._hand_over(message)

    def _refused_here(self, message: EmailMultiAlternatives) -> Receipt | None:
        """What need not be handed over at all."""
        if self.sender_faults:
            error = " ".join(self.sender_faults)
            return Receipt(message, Verdict.CONFIGURATION, self._provider, error=error, blames=Blame.PROVIDER)
        if all(map(str.isascii, message.to)):
            return None
        if error := _fault_of(message.to[0], knows_utf8=isinstance(self.connection, SMTPBackend)):
            return Receipt(message, Verdict.PERMANENT, self._provider, error=error, blames=Blame.RECIPIENT)
        return None

    def _hand_over(self, message: EmailMultiAlternatives) -> tuple[Receipt, bool]:
        try:
            count = self.connection.send_messages([message])
        except Exception as error:  # noqa: BLE001 - the receipt tells it
            may_be_accepted = getattr(self.connection, "content_asked_for", True)
            if not self._goes_on(error):
                self.close()
            receipt = while_sending(message, error, self._provider, may_be_accepted)
            return receipt, wants_a_fresh_connection(error, may_be_accepted)
        if count == 0:
            return Receipt(message, Verdict.PERMANENT, self._provider, error="The email backend sent nothing."), False
        self._has_carried_mail = True
        return Receipt(message, Verdict.ACCEPTED, self._provider, _id_given_to(message)), False

    def _goes_on(self, error: Exception) -> bool:
        """Whether the connection is as good as before. After most errors smtplib fails every later mail on it."""
        if not (isinstance(error, SMTPRecipientsRefused) and isinstance(self.connection, SMTPBackend)):
            return False
        return self.connection.is_open and not says_goodbye(error)

    @property
    def _provider(self) -> str:
        return type(self.connection).__module__.rpartition(".")[2]

    def close(self) -> None:
        self._has_carried_mail = False
        try:
            self.connection.close()
        except OSError:
            # The connection was broken, which is why it is closed.
            self.connection = self._connect()


def _recipient(address: str) -> str:
    """As the DNS has its domain; as it is, if IDNA 2008 does not allow it, for then it is not sent to."""
    try:
        return dns_address(address)
    except idna.IDNAError:
        return address


def _fault_of(address: str, knows_utf8: bool) -> str:
    """Why a recipient that is not ASCII cannot have a mail; empty if it may."""
    try:
        dns_address(address)
    except idna.IDNAError as error:
        return f"IDNA 2008 does not allow the domain of {address}: {error}"
    if is_international(address) and not knows_utf8:
        return f"The part of {address} before the @ is not ASCII; only an SMTP server with SMTPUTF8 can take it."
    return ""


def _faults(from_email: str, reply_to: Sequence[str], is_default: bool) -> Iterator[str]:
    """What is wrong with a sender, in sentences that name the setting."""
    named = [("DEFAULT_FROM_EMAIL" if is_default else "from_email", from_email)]
    for setting, text in [*named, *(("reply_to", one) for one in reply_to)]:
        try:
            parse(text)
        except InvalidMailbox as error:
            yield f"{setting} {text!r:.200} {error}".rstrip(".") + "."


def _patience_of(connection: Any) -> float:
    patience = getattr(connection, "patience", None)
    if isinstance(patience, Patience):
        return patience.mail
    return SLOW_STEPS * float(getattr(connection, "timeout", None) or SECONDS_TO_WAIT)


def _attach(message: EmailMultiAlternatives, attachment: Attachment) -> None:
    if attachment.is_text or attachment.parameters:
        message.attach(_part(attachment))
    else:
        message.attach(attachment.name, attachment.content, attachment.mimetype)


def _part(attachment: Attachment) -> Any:
    """Django would write a text with the line ends of SMTP, and no parameters; in base64 it arrives byte for byte."""
    part = _empty_part(attachment.kind)
    for parameter, value in attachment.parameters.items():
        part.set_param(parameter, value)
    if attachment.is_text and "charset" not in attachment.parameters:
        part.set_param("charset", "utf-8")
    part.set_payload(attachment.content)
    encode_base64(part)
    name: Any = attachment.name if attachment.name.isascii() else ("utf-8", "", attachment.name)
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def _empty_part(kind: str) -> MIMEPart | MIMENonMultipart:
    """As Django takes it: 5.2 knows only the older class, and 6.0 warns of it."""
    if django.VERSION < (6, 0):
        return MIMENonMultipart(*kind.split("/"))
    part = MIMEPart()
    part["Content-Type"] = kind
    return part


def _id_given_to(message: EmailMultiAlternatives) -> str:
    """The id by which the provider will speak of this mail."""
    status = getattr(message, "anymail_status", None)
    return str(getattr(status, "message_id", None) or message.extra_headers["Message-ID"])[:255]
