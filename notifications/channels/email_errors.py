"""What an error of an email backend means, in the five verdicts. The page of the email channel has it as a table."""

import smtplib
import ssl
from email.errors import MessageError
from typing import Any

from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
)
from django.core.mail import BadHeaderError

from notifications.channels.smtp_replies import blames_recipient, is_bad_address, verdict_of
from notifications.outcomes import Blame, Receipt, Suppress, Verdict

BEFORE_ANY_MAIL = (smtplib.SMTPConnectError, smtplib.SMTPHeloError, smtplib.SMTPAuthenticationError)
REFUSALS = (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError)
# The server hung up, within TLS or without.
HUNG_UP = (smtplib.SMTPServerDisconnected, ssl.SSLEOFError)
NOT_SET_UP = (smtplib.SMTPException, ssl.SSLError, AnymailConfigurationError)


def while_opening(message: Any, error: Exception, provider: str) -> Receipt:
    """An error before anything was handed over: never *unknown*, and nothing that a recipient is to blame for."""
    for_now = getattr(error, "smtp_code", 500) < 500 or isinstance(error, HUNG_UP)
    ours = isinstance(error, NOT_SET_UP) and not for_now
    return Receipt(message, Verdict.CONFIGURATION if ours else Verdict.TEMPORARY, provider, error=_words(error))


def while_sending(message: Any, error: Exception, provider: str, may_be_accepted: bool = True) -> Receipt:
    """An error while the message was on its way.

    :param may_be_accepted: False if the provider had certainly not taken the content when contact was lost.
    """
    if isinstance(error, BEFORE_ANY_MAIL):
        return while_opening(message, error, provider)
    if isinstance(error, REFUSALS):
        return _refused(message, error, provider, may_be_accepted)
    verdict = _of_other(error, may_be_accepted)
    return Receipt(message, verdict, provider, error=_words(error), retry_after=_retry_after(error))


def _refused(message: Any, error: Any, provider: str, may_be_accepted: bool) -> Receipt:
    return Receipt(
        message,
        verdict_of(error, may_be_accepted),
        provider,
        error=_words(error),
        suppress=Suppress.NOW if is_bad_address(error) else Suppress.NO,
        blames=Blame.RECIPIENT if blames_recipient(error) else Blame.PROVIDER,
    )


def _of_other(error: Exception, may_be_accepted: bool) -> Verdict:
    if isinstance(error, smtplib.SMTPNotSupportedError | AnymailConfigurationError):
        return Verdict.CONFIGURATION
    if isinstance(error, AnymailError):
        return _of_anymail(error)
    if isinstance(error, BadHeaderError | MessageError | UnicodeError):
        return Verdict.PERMANENT
    return Verdict.UNKNOWN if may_be_accepted else Verdict.TEMPORARY


def _of_anymail(error: AnymailError) -> Verdict:
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


def _retry_after(error: Exception) -> float | None:
    """Seconds, as RFC 9110 (10.2.3) writes them; its other form, a date, is rare enough to leave to the schedule."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    return float(asked) if asked.isascii() and asked.isdigit() else None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
