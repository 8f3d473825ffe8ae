"""Email through Django's email backends, including those of django-anymail.

Each recipient gets a separate message in a separate call of ``send_messages()``, because a backend returns one result
for a whole list: one refused recipient would abort the rest of the list.
"""

from collections.abc import Iterator, Mapping, Sequence
from smtplib import SMTPRecipientsRefused
from typing import Any, cast

import django
import idna
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from notifications.channels import anymail_errors
from notifications.channels.base import HTML, SUBJECT, TEXT, BaseChannel, Rendered
from notifications.channels.email_errors import (
    closes_connection,
    make_opening_receipt,
    make_sending_receipt,
    may_need_new_connection,
)
from notifications.channels.email_headers import build_headers
from notifications.channels.mailboxes import has_international_local_part, to_dns_address
from notifications.channels.mime import (
    MAX_WORD_LENGTH,
    check_header,
    keep_subject_literal,
    make_mail,
    make_subject_foldable,
)
from notifications.channels.senders import EncodedSender, Sender, encode_sender, find_sender_faults
from notifications.channels.smtp import EmailBackend as SMTPBackend
from notifications.channels.smtp import Timeouts
from notifications.channels.smtp_security import OPTION, find_encryption_fault, get_setting_name
from notifications.core import extras
from notifications.exceptions import MissingExtra
from notifications.mail import get_theme
from notifications.models import Delivery, Notification
from notifications.outcomes import Blame, Receipt, Verdict

DJANGO_SMTP = "django.core.mail.backends.smtp.EmailBackend"
# A faster backend that also knows whether an email that failed may have been accepted.
REPLACEMENTS = {DJANGO_SMTP: "notifications.channels.smtp.EmailBackend"}
DEFAULT_MAILER = "default"
# The alias that Django requires for a backend that the channel's own options name.
BACKEND_ALIAS = "klaxon"

# In seconds. Other backends may wait forever by default, but a worker must not.
DEFAULT_TIMEOUT = 30.0
# An SMTP dialogue has eight steps and an HTTP request fewer; in practice at most this many take the whole timeout.
SLOW_STEPS = 4


class EmailChannel(BaseChannel):
    """Send emails.

    Options: ``from_email``, ``reply_to`` (a list), ``feedback_id``, ``mailer`` (an alias of ``MAILERS``), or
    ``backend`` (a dotted path) and ``backend_options``, and ``allow_smtp_without_tls``. By default the channel uses the
    site's ``DEFAULT_FROM_EMAIL``, and its default mailer or ``EMAIL_BACKEND``. ``html_from_text``
    is whether emails whose event has no HTML template get HTML from their text.
    """

    address_kind = "email"
    one_by_one = True
    takes_attachments = True
    timeout = Timeouts().mail
    required_parts = (SUBJECT,)
    optional_parts = (TEXT, HTML)
    derived_parts: Sequence[str] = (TEXT, HTML)

    def __init__(
        self,
        from_email: str | None = None,
        reply_to: Sequence[str] = (),
        backend: str | None = None,
        backend_options: dict[str, Any] | None = None,
        mailer: str | None = None,
        allow_smtp_without_tls: bool = False,
        feedback_id: str = "",
        html_from_text: bool = True,
    ) -> None:
        if not isinstance(allow_smtp_without_tls, bool):
            raise TypeError(f"{OPTION} must be True or False, not {allow_smtp_without_tls!r}")
        own = Sender(from_email or settings.DEFAULT_FROM_EMAIL or "", reply_to)
        name = "from_email" if from_email else "DEFAULT_FROM_EMAIL"
        self.sender_faults = list(find_sender_faults(own, name))
        # An email with an invalid sender is prepared too. send() then refuses it as a configuration error.
        unusable = EncodedSender(own.from_email, tuple(own.reply_to), "localhost")
        self.sender = unusable if self.sender_faults else encode_sender(own)
        self.feedback_id = feedback_id
        if not html_from_text:
            self.derived_parts = (TEXT,)
        self.backend, self.backend_options, self.mailer = backend, backend_options or {}, mailer
        self._connect()
        self.encryption_fault = (
            None if allow_smtp_without_tls else find_encryption_fault(self.connection, self.name_setting("use_tls"))
        )
        self.timeout = _get_max_seconds(self.connection)
        self._has_sent_mail = False

    def name_setting(self, option: str) -> str:
        """Return where the site sets an option of its SMTP backend, such as ``"use_tls"``."""
        return get_setting_name(option, self.backend, self.backend_options, self.mailer, uses_mailers())

    def _connect(self) -> None:
        self.connection = cast(Any, open_backend(self.backend, self.backend_options, self.mailer))
        if getattr(self.connection, "timeout", 0) is None:
            self.connection.timeout = DEFAULT_TIMEOUT
        self._provider = type(self.connection).__module__.rpartition(".")[2]
        # Whether the backend builds the MIME message itself, without Django's message().
        self._builds_mime_itself = isinstance(self.connection, (SMTPBackend, *anymail_errors.BACKENDS))

    def prepare(self, delivery: Delivery, rendered: Rendered) -> EmailMultiAlternatives:
        subject, address = rendered.subject, delivery.address
        # Before any backend of the site gets it. Klaxon's own templates have no such subject.
        check_header("Subject", subject)
        sender = self._find_sender(delivery.notification)
        message = make_mail(
            rendered.html,
            rendered.attachments,
            sender.domain,
            subject=subject,
            body=rendered.text,
            from_email=sender.from_email,
            to=[address if address.isascii() else _encode_recipient(address)],
            reply_to=sender.reply_to,
            headers=build_headers(delivery, sender.domain, rendered.footer.unsubscribe_url, self.feedback_id),
        )
        message = keep_subject_literal(message)
        if len(subject) > MAX_WORD_LENGTH and not self._builds_mime_itself:
            return make_subject_foldable(message)
        return message

    def _find_sender(self, notification: Notification) -> EncodedSender:
        """Return the sender of the theme, or that of the channel.

        :raises ValueError: if the theme has an invalid address.
        """
        theme = get_theme(notification.cluster, notification.event)
        if not (theme.from_email or theme.reply_to):
            return self.sender
        chosen = Sender(theme.from_email or self.sender.from_email, theme.reply_to or self.sender.reply_to)
        try:
            return encode_sender(chosen)
        except ValueError as error:
            raise ValueError(
                f"The theme of the event {notification.event!r} in {notification.cluster!s:.80} has an invalid sender: "
                f"{error} Correct THEME or the result of THEME_OF, and resend the email."
            ) from error

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
        if self.sender_faults or self.encryption_fault or not message.to[0].isascii():
            refused = self._refuse_locally(message)
            if refused is not None:
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
        if faults := [*self.sender_faults, *([self.encryption_fault] if self.encryption_fault else [])]:
            error = " ".join(map(str, faults))
            return Receipt(message, Verdict.CONFIGURATION, self._provider, error=error, blames=Blame.PROVIDER)
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
        # The id that the provider uses for this email.
        anymail_id = getattr(getattr(message, "anymail_status", None), "message_id", None)
        message_id = str(anymail_id or message.extra_headers["Message-ID"])[:255]
        return Receipt(message, Verdict.ACCEPTED, self._provider, message_id), False

    def _can_reuse_connection(self, error: Exception) -> bool:
        """Whether the connection can be used again. After most errors smtplib fails for every later mail on it."""
        if not (isinstance(error, SMTPRecipientsRefused) and isinstance(self.connection, SMTPBackend)):
            return False
        return self.connection.is_open and not closes_connection(error)

    def close(self) -> None:
        self._has_sent_mail = False
        try:
            self.connection.close()
        except OSError:
            # The connection was already broken, and this backend object may be unusable.
            self._connect()


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


def _get_max_seconds(connection: Any) -> float:
    timeouts = getattr(connection, "timeouts", None)
    if isinstance(timeouts, Timeouts):
        return timeouts.mail
    return SLOW_STEPS * float(getattr(connection, "timeout", None) or DEFAULT_TIMEOUT)


def open_backend(backend: str | None, options: Mapping[str, Any], mailer: str | None) -> BaseEmailBackend:
    """Return the backend that sends notifications. It does not open a connection.

    :param backend: the dotted path of a backend for notifications; by default the site's backend.
    :param options: keyword arguments of the backend.
    :param mailer: an alias of the setting ``MAILERS``.
    :raises ImproperlyConfigured: if the options contradict each other or the site's settings.
    :raises MissingExtra: if the backend requires an extra that is not installed.
    """
    if (mailer or options) and (fault := _find_fault(backend, options, mailer)):
        raise ImproperlyConfigured(fault)
    if backend:
        return _make_custom_backend(backend, options)
    if uses_mailers():
        return _make_mailer(mailer or DEFAULT_MAILER)
    # Reading settings.EMAIL_BACKEND causes a deprecation warning in Django 6.1.
    return _make_configured_backend("EMAIL_BACKEND", settings._wrapped.EMAIL_BACKEND, options)  # type: ignore[misc]


def uses_mailers() -> bool:
    """Whether the site has the setting ``MAILERS``, on a Django that reads it."""
    return django.VERSION >= (6, 1) and hasattr(settings, "MAILERS")


def _find_fault(backend: str | None, options: Mapping[str, Any], mailer: str | None) -> str:
    if mailer and not uses_mailers():
        return f"The option 'mailer' is {mailer!r}, but there is no setting MAILERS, which Django 6.1 and later read."
    if mailer and backend:
        return "The options 'mailer' and 'backend' both name an email backend. Remove one of them."
    if options and not backend and uses_mailers():
        return (
            "The option 'backend_options' requires 'backend'. Set the options of a mailer in "
            f"MAILERS[{mailer or DEFAULT_MAILER!r}]['OPTIONS']."
        )
    return ""


def _make_custom_backend(path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    if not uses_mailers():
        return _make_configured_backend("The option 'backend'", path, options)
    try:
        return _make(path, {**options, "alias": BACKEND_ALIAS})
    except ImproperlyConfigured as error:
        fault = str(error).removeprefix(f"MAILERS[{BACKEND_ALIAS!r}]: ").replace("OPTIONS", "backend_options")
        raise ImproperlyConfigured(f"The email backend {path!r} cannot be created: {fault}") from error


def _make_mailer(alias: str) -> BaseEmailBackend:
    mailers: Any = getattr(mail, "mailers")  # noqa: B009 - Django 5.2 and its types do not know it
    configured = mailers.settings.get(alias, {})
    path = configured.get("BACKEND", DJANGO_SMTP)
    _require_extra(path)
    if alias not in mailers or path not in REPLACEMENTS:
        return mailers[alias]
    return _make(path, {**configured.get("OPTIONS", {}), "alias": alias})


def _make_configured_backend(setting: str, path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    try:
        return _make(path, options)
    except MissingExtra:
        raise  # its message names the extra
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting} is {path!r}, which cannot be imported: {error}") from error


def _make(path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    _require_extra(path)
    return import_string(REPLACEMENTS.get(path, path))(**options)


def _require_extra(path: str) -> None:
    package = path.partition(".")[0]
    if package in extras.EXTRA_BY_MODULE:
        extras.import_optional(package)
