"""What an error of an email backend means, in the five verdicts.

SMTP codes: 4yz is for now, 5yz is for good (RFC 5321, 4.2.1). A refusal of the sender or of our log-in says nothing
about the recipient; it is a configuration error.
"""

import smtplib
import ssl
from typing import Any

from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
)
from django.core.mail import BadHeaderError

from notifications.outcomes import Receipt, Verdict

NO_SUCH_MAILBOX = 550


def while_opening(message: Any, error: Exception, provider: str) -> Receipt:
    """An error before anything was handed over: never *unknown*."""
    ours = smtplib.SMTPAuthenticationError | smtplib.SMTPNotSupportedError | ssl.SSLError | AnymailConfigurationError
    verdict = Verdict.CONFIGURATION if isinstance(error, ours) else Verdict.TEMPORARY
    return Receipt(message, verdict, provider, error=_words(error))


def while_sending(message: Any, error: Exception, provider: str) -> Receipt:
    """An error while the message was on its way. What cannot be told for certain is *unknown*."""
    code = _smtp_code(error)
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPNotSupportedError | AnymailConfigurationError):
        verdict = Verdict.CONFIGURATION
    elif code is not None:
        verdict = Verdict.TEMPORARY if 400 <= code < 500 else Verdict.PERMANENT
    elif isinstance(error, AnymailError):
        verdict, code = _anymail_verdict(error), None
    elif isinstance(error, BadHeaderError | UnicodeError):
        verdict = Verdict.PERMANENT
    else:
        verdict = Verdict.UNKNOWN
    refused = isinstance(error, smtplib.SMTPRecipientsRefused) and code == NO_SUCH_MAILBOX
    return Receipt(message, verdict, provider, error=_words(error), suppress=refused)


def _smtp_code(error: Exception) -> int | None:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next(iter(error.recipients.values()))[0]
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else None


def _anymail_verdict(error: AnymailError) -> Verdict:
    if isinstance(error, AnymailRecipientsRefused | AnymailInvalidAddress):
        return Verdict.PERMANENT
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return Verdict.CONFIGURATION
    if status is None:
        return Verdict.UNKNOWN if isinstance(error, AnymailAPIError) else Verdict.PERMANENT
    if status in (429, 503):
        return Verdict.TEMPORARY
    # Any other failure inside the provider may have come after it took the mail.
    return Verdict.UNKNOWN if status >= 500 else Verdict.PERMANENT


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
