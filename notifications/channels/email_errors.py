"""Convert errors of email backends into receipts with a verdict. The page of the email channel has them as a table."""

import errno
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.errors import MessageError
from types import FrameType
from typing import Any

from notifications.channels import anymail_errors
from notifications.channels.mailboxes import NotSupported
from notifications.channels.retry_after import retry_after
from notifications.channels.smtp_replies import Stage, find_meaning, find_stage, parse_reply
from notifications.channels.smtp_words import is_about_connection
from notifications.outcomes import Blame, Receipt, Verdict


class Unreachable(OSError):
    """No connection could be opened: the port is closed, there is no route, or the host name is unknown."""


REPLY_ERRORS = (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused)
OPENING_ERRORS = (smtplib.SMTPConnectError, smtplib.SMTPHeloError, smtplib.SMTPAuthenticationError)
# The server closed the connection, with or without TLS.
DISCONNECT_ERRORS = (smtplib.SMTPServerDisconnected, ssl.SSLEOFError)
MISCONFIGURATION_ERRORS: anymail_errors.ErrorTypes = (
    smtplib.SMTPException,
    ssl.SSLError,
    UnicodeError,
    FileNotFoundError,
    *anymail_errors.MISCONFIGURED,
)
NO_ROUTE_CODES = {
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ETIMEDOUT,
    errno.EADDRNOTAVAIL,
}
UNREACHABLE_ERRORS: anymail_errors.ErrorTypes = (
    Unreachable,
    ConnectionRefusedError,
    socket.gaierror,
    *anymail_errors.UNREACHABLE,
)
CLOSING, TIMED_OUT = 421, "451 4.4.2"


def make_opening_receipt(message: Any, error: Exception, provider: str) -> Receipt:
    """Return the receipt for an error while the connection was being opened.

    Nothing was handed over yet. So the verdict is never *unknown*, and the recipient is never blamed.
    """
    if isinstance(error, REPLY_ERRORS):
        return _make_reply_receipt(message, error, Stage.OPENING, provider)
    verdict, blames = Verdict.TEMPORARY, Blame.PROVIDER
    if is_unreachable(error) or has_no_route(error):
        blames = Blame.NETWORK
    elif is_timeout(error):
        blames = Blame.SILENCE
    elif isinstance(error, MISCONFIGURATION_ERRORS) and not isinstance(error, DISCONNECT_ERRORS):
        verdict = Verdict.CONFIGURATION
    return Receipt(message, verdict, provider, error=_format_error(error), blames=blames)


def make_sending_receipt(message: Any, error: Exception, provider: str, may_be_accepted: bool = True) -> Receipt:
    """Return the receipt for an error while the message was being sent.

    :param may_be_accepted: False if the provider had certainly not accepted the content when contact was lost.
    """
    if isinstance(error, OPENING_ERRORS):
        return make_opening_receipt(message, error, provider)
    if isinstance(error, REPLY_ERRORS):
        return _make_reply_receipt(message, error, find_stage(error, may_be_accepted), provider)
    verdict, blames = _classify_error(error, may_be_accepted)
    wait = retry_after(getattr(getattr(error, "response", None), "headers", None) or {})
    code = str(getattr(error, "status_code", None) or "")
    return Receipt(message, verdict, provider, error=_format_error(error), retry_after=wait, blames=blames, code=code)


def _make_reply_receipt(message: Any, error: Any, stage: Stage, provider: str) -> Receipt:
    reply = parse_reply(error)
    meaning = find_meaning(stage, reply)
    return Receipt(
        message,
        meaning.verdict,
        provider,
        error=_format_error(error),
        suppress=meaning.suppress,
        blames=meaning.blames,
        code=reply.label,
    )


def _classify_error(error: Exception, may_be_accepted: bool) -> tuple[Verdict, Blame]:
    if isinstance(error, NotSupported):
        return (Verdict.CONFIGURATION, Blame.PROVIDER) if error.is_sender else (Verdict.PERMANENT, Blame.RECIPIENT)
    if isinstance(error, (smtplib.SMTPNotSupportedError, *anymail_errors.MISCONFIGURED)):
        return Verdict.CONFIGURATION, Blame.PROVIDER
    if isinstance(error, anymail_errors.ERRORS):
        return _classify_anymail_error(error)
    cannot_be_written = isinstance(error, ValueError) and (not may_be_accepted or _was_raised_by_message(error))
    if cannot_be_written or isinstance(error, MessageError | UnicodeError):
        return Verdict.PERMANENT, Blame.MESSAGE
    if is_unreachable(error):
        return Verdict.TEMPORARY, Blame.NETWORK
    if may_be_accepted:
        return Verdict.UNKNOWN, Blame.PROVIDER
    return Verdict.TEMPORARY, Blame.SILENCE if is_timeout(error) else Blame.PROVIDER


def _classify_anymail_error(error: Exception) -> tuple[Verdict, Blame]:
    if isinstance(error, anymail_errors.REFUSALS):
        return Verdict.PERMANENT, Blame.MESSAGE
    status = getattr(error, "status_code", None)
    if status is not None:
        return _classify_status(status)
    if not isinstance(error, anymail_errors.API_ERRORS):
        return Verdict.PERMANENT, Blame.MESSAGE
    if is_unreachable(error) or was_never_connected(error):
        return Verdict.TEMPORARY, Blame.NETWORK
    return Verdict.UNKNOWN, Blame.PROVIDER


def _classify_status(status: int) -> tuple[Verdict, Blame]:
    if status in (401, 403):
        return Verdict.CONFIGURATION, Blame.PROVIDER
    if status in (429, 503):
        return Verdict.TEMPORARY, Blame.PROVIDER
    # Other server errors may have occurred after the provider accepted the mail.
    return (Verdict.UNKNOWN, Blame.PROVIDER) if status >= 500 else (Verdict.PERMANENT, Blame.MESSAGE)


def may_need_new_connection(error: Exception, may_be_accepted: bool) -> bool:
    """Whether the server may have refused only this connection, before it asked for the content of the mail.

    Servers do so after an idle time or a number of mails (RFC 5321, 3.8 and 4.5.3.2.7). Instead of 421, some reply
    to each further recipient with a refusal, such as a bare 550.
    """
    if isinstance(error, REPLY_ERRORS):
        is_envelope_refused = isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPRecipientsRefused)
        return (is_envelope_refused or not may_be_accepted) and _is_about_connection(error)
    is_disconnected = isinstance(error, smtplib.SMTPServerDisconnected | ConnectionError)
    return is_disconnected and not may_be_accepted and not is_timeout(error)


def _is_about_connection(error: Any) -> bool:
    reply = parse_reply(error)
    is_bare = isinstance(error, smtplib.SMTPRecipientsRefused) and reply.code >= 500 and not reply.enhanced
    return is_bare or closes_connection(error) or is_about_connection(reply.words)


def closes_connection(error: Any) -> bool:
    """Whether the server closes the connection with this reply."""
    reply = parse_reply(error)
    return reply.code == CLOSING or reply.label == TIMED_OUT


def is_unreachable(error: BaseException) -> bool:
    """Whether no connection to the provider could be opened, so that nothing was handed over."""
    for cause in _iterate_causes(error):
        if isinstance(cause, anymail_errors.REQUEST_SENT):
            return False
        if isinstance(cause, UNREACHABLE_ERRORS):
            return True
    return False


def has_no_route(error: BaseException) -> bool:
    """Whether the network has no route to the provider. An open connection can fail with the same errors, so this only
    proves that nothing was handed over if the connection was not open yet."""
    return any(isinstance(cause, OSError) and cause.errno in NO_ROUTE_CODES for cause in _iterate_causes(error))


def was_never_connected(error: BaseException) -> bool:
    """Whether a proxy or the TLS handshake failed, so that nothing was handed over."""
    return any(
        isinstance(cause, anymail_errors.NEVER_CONNECTED) or _was_raised_in_handshake(cause)
        for cause in _iterate_causes(error)
    )


def _was_raised_in_handshake(error: BaseException) -> bool:
    """Inspect the traceback, because a socket error does not contain the stage at which it was raised."""
    frames = _iterate_frames(error) if isinstance(error, OSError) else ()
    return any(frame.f_code.co_name == "do_handshake" for frame in frames)


def _was_raised_by_message(error: BaseException) -> bool:
    """Whether Django could not build the message, for example because a header contains a line end."""
    return any(frame.f_globals.get("__name__") == "django.core.mail.message" for frame in _iterate_frames(error))


def _iterate_frames(error: BaseException) -> Iterator[FrameType]:
    place = error.__traceback__
    while place:
        yield place.tb_frame
        place = place.tb_next


def is_timeout(error: BaseException) -> bool:
    """Whether the provider did not answer in time."""
    return any(isinstance(cause, TimeoutError) for cause in _iterate_causes(error))


def _iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the nearest first."""
    queue, seen = [error], {id(error)}
    for current in queue:
        yield current
        context = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        attributes = getattr(current, "reason", None), getattr(current, "original_error", None)
        for cause in (*current.args, *attributes, context):
            if isinstance(cause, BaseException) and id(cause) not in seen:
                seen.add(id(cause))
                queue.append(cause)


def _format_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
