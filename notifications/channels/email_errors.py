"""What an error of an email backend means, in the five verdicts.

SMTP replies: 4yz is for now, 5yz is for good (RFC 5321, 4.2.1). Of the enhanced codes (RFC 3463) 5.1 blames the address
and 5.7 our own standing. A refusal of the sender or of our log-in says nothing about the recipient.
"""

import re
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

ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.\d{1,3}\b")
NO_SUCH_MAILBOX = 550
ADDRESS, SECURITY = "1", "7"
OURS = (smtplib.SMTPNotSupportedError, ssl.SSLError, AnymailConfigurationError)


def while_opening(message: Any, error: Exception, provider: str) -> Receipt:
    """An error before anything was handed over: never *unknown*."""
    code = getattr(error, "smtp_code", None)
    refused = isinstance(error, smtplib.SMTPAuthenticationError) and not _passing(code)
    verdict = Verdict.CONFIGURATION if refused or isinstance(error, OURS) else Verdict.TEMPORARY
    return Receipt(message, verdict, provider, error=_words(error))


def while_sending(message: Any, error: Exception, provider: str, may_be_accepted: bool = True) -> Receipt:
    """An error while the message was on its way.

    :param may_be_accepted: False if the provider had certainly not taken the content when contact was lost.
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _refused_recipient(message, error, provider)
    if isinstance(error, smtplib.SMTPResponseException):
        verdict = _of_reply(error)
    elif isinstance(error, OURS):
        verdict = Verdict.CONFIGURATION
    elif isinstance(error, AnymailError):
        verdict = _of_anymail(error)
    elif isinstance(error, BadHeaderError | UnicodeError):
        verdict = Verdict.PERMANENT
    else:
        verdict = Verdict.UNKNOWN if may_be_accepted else Verdict.TEMPORARY
    return Receipt(message, verdict, provider, error=_words(error), retry_after=_retry_after(error))


def _refused_recipient(message: Any, error: smtplib.SMTPRecipientsRefused, provider: str) -> Receipt:
    code, said = next(iter(error.recipients.values()))
    subject = _subject(said)
    if _passing(code):
        verdict = Verdict.TEMPORARY
    else:
        verdict = Verdict.CONFIGURATION if subject == SECURITY else Verdict.PERMANENT
    bad_address = subject == ADDRESS or (subject is None and code == NO_SUCH_MAILBOX)
    suppress = verdict is Verdict.PERMANENT and bad_address
    blames_recipient = verdict is not Verdict.CONFIGURATION
    return Receipt(
        message, verdict, provider, error=_words(error), suppress=suppress, blames_recipient=blames_recipient
    )


def _of_reply(error: smtplib.SMTPResponseException) -> Verdict:
    """A reply to MAIL, DATA or the content."""
    if _passing(error.smtp_code):
        return Verdict.TEMPORARY
    blames_us = isinstance(error, smtplib.SMTPSenderRefused) or _subject(error.smtp_error) == SECURITY
    return Verdict.CONFIGURATION if blames_us else Verdict.PERMANENT


def _passing(code: int | None) -> bool:
    return code is not None and 400 <= code < 500


def _subject(said: bytes | str) -> str | None:
    """The second number of an enhanced status code, which says what the reply is about."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    found = ENHANCED.search(text)
    return found.group(2) if found else None


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
