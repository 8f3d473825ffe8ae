"""What an error of an email backend means, in the five verdicts. The page of the email channel has it as a table."""

import errno
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.errors import MessageError
from types import FrameType
from typing import Any

from notifications.channels import services
from notifications.channels.mailboxes import NotSupported
from notifications.channels.retry_after import retry_after
from notifications.channels.smtp_replies import Stage, meaning_of, reply_to, stage_of
from notifications.channels.smtp_words import speak_of_the_connection
from notifications.outcomes import Blame, Receipt, Verdict


class Unreachable(OSError):
    """No connection could be made: nobody listens there, there is no way to it, or its name is not known."""


REPLIES = (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused)
BEFORE_ANY_MAIL = (smtplib.SMTPConnectError, smtplib.SMTPHeloError, smtplib.SMTPAuthenticationError)
# The server hung up, within TLS or without.
HUNG_UP = (smtplib.SMTPServerDisconnected, ssl.SSLEOFError)
NOT_SET_UP: services.Kinds = (
    smtplib.SMTPException,
    ssl.SSLError,
    UnicodeError,
    FileNotFoundError,
    *services.NOT_SET_UP,
)
NO_ROUTE = {
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ETIMEDOUT,
    errno.EADDRNOTAVAIL,
}
UNREACHABLE: services.Kinds = (Unreachable, ConnectionRefusedError, socket.gaierror, *services.UNREACHABLE)
CLOSING, TIMED_OUT = 421, "451 4.4.2"


def while_opening(message: Any, error: Exception, provider: str) -> Receipt:
    """An error before anything was handed over: never *unknown*, and nothing that a recipient is to blame for."""
    if isinstance(error, REPLIES):
        return _replied(message, error, Stage.OPENING, provider)
    verdict, blames = Verdict.TEMPORARY, Blame.PROVIDER
    if is_unreachable(error) or has_no_route(error):
        blames = Blame.NETWORK
    elif is_silence(error):
        blames = Blame.SILENCE
    elif isinstance(error, NOT_SET_UP) and not isinstance(error, HUNG_UP):
        verdict = Verdict.CONFIGURATION
    return Receipt(message, verdict, provider, error=_words(error), blames=blames)


def while_sending(message: Any, error: Exception, provider: str, may_be_accepted: bool = True) -> Receipt:
    """An error while the message was on its way.

    :param may_be_accepted: False if the provider had certainly not taken the content when contact was lost.
    """
    if isinstance(error, BEFORE_ANY_MAIL):
        return while_opening(message, error, provider)
    if isinstance(error, REPLIES):
        return _replied(message, error, stage_of(error, may_be_accepted), provider)
    verdict, blames = _of_other(error, may_be_accepted)
    wait = retry_after(getattr(getattr(error, "response", None), "headers", None) or {})
    code = str(getattr(error, "status_code", None) or "")
    return Receipt(message, verdict, provider, error=_words(error), retry_after=wait, blames=blames, code=code)


def _replied(message: Any, error: Any, stage: Stage, provider: str) -> Receipt:
    reply = reply_to(error)
    meaning = meaning_of(stage, reply)
    return Receipt(
        message,
        meaning.verdict,
        provider,
        error=_words(error),
        suppress=meaning.suppress,
        blames=meaning.blames,
        code=reply.label,
    )


def _of_other(error: Exception, may_be_accepted: bool) -> tuple[Verdict, Blame]:
    if isinstance(error, NotSupported):
        return (Verdict.CONFIGURATION, Blame.PROVIDER) if error.is_sender else (Verdict.PERMANENT, Blame.RECIPIENT)
    if isinstance(error, (smtplib.SMTPNotSupportedError, *services.NOT_SET_UP)):
        return Verdict.CONFIGURATION, Blame.PROVIDER
    if isinstance(error, services.ERRORS):
        return _of_anymail(error)
    cannot_be_written = isinstance(error, ValueError) and (not may_be_accepted or _came_of_writing(error))
    if cannot_be_written or isinstance(error, MessageError | UnicodeError):
        return Verdict.PERMANENT, Blame.MESSAGE
    if is_unreachable(error):
        return Verdict.TEMPORARY, Blame.NETWORK
    if may_be_accepted:
        return Verdict.UNKNOWN, Blame.PROVIDER
    return Verdict.TEMPORARY, Blame.SILENCE if is_silence(error) else Blame.PROVIDER


def _of_anymail(error: Exception) -> tuple[Verdict, Blame]:
    if isinstance(error, services.REFUSALS):
        return Verdict.PERMANENT, Blame.MESSAGE
    status = getattr(error, "status_code", None)
    if status is not None:
        return _of_status(status)
    if not isinstance(error, services.API_ERRORS):
        return Verdict.PERMANENT, Blame.MESSAGE
    if is_unreachable(error) or was_never_connected(error):
        return Verdict.TEMPORARY, Blame.NETWORK
    return Verdict.UNKNOWN, Blame.PROVIDER


def _of_status(status: int) -> tuple[Verdict, Blame]:
    if status in (401, 403):
        return Verdict.CONFIGURATION, Blame.PROVIDER
    if status in (429, 503):
        return Verdict.TEMPORARY, Blame.PROVIDER
    # Any other failure inside the provider may have come after it took the mail.
    return (Verdict.UNKNOWN, Blame.PROVIDER) if status >= 500 else (Verdict.PERMANENT, Blame.MESSAGE)


def wants_a_fresh_connection(error: Exception, may_be_accepted: bool) -> bool:
    """Whether a server may have had enough of a connection before it asked for the content of a mail.

    So servers do after a time without mails, or after so many of them (RFC 5321, 3.8 and 4.5.3.2.7). Some do not say
    421 then, but refuse each further recipient, with a bare 550 for instance.
    """
    if isinstance(error, REPLIES):
        at_the_envelope = isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPRecipientsRefused)
        return (at_the_envelope or not may_be_accepted) and _is_of_the_connection(error)
    hung_up = isinstance(error, smtplib.SMTPServerDisconnected | ConnectionError)
    return hung_up and not may_be_accepted and not is_silence(error)


def _is_of_the_connection(error: Any) -> bool:
    said = reply_to(error)
    is_bare = isinstance(error, smtplib.SMTPRecipientsRefused) and said.code >= 500 and not said.enhanced
    return is_bare or says_goodbye(error) or speak_of_the_connection(said.words)


def says_goodbye(error: Any) -> bool:
    """Whether the server closes the connection with this reply."""
    said = reply_to(error)
    return said.code == CLOSING or said.label == TIMED_OUT


def is_unreachable(error: BaseException) -> bool:
    """Whether no connection to the provider could be made, so that nothing was handed over."""
    for cause in _causes(error):
        if isinstance(cause, services.UNDER_WAY):
            return False
        if isinstance(cause, UNREACHABLE):
            return True
    return False


def has_no_route(error: BaseException) -> bool:
    """The same, where nothing has been handed over: a connection in use can fail in this way too."""
    return any(isinstance(cause, OSError) and cause.errno in NO_ROUTE for cause in _causes(error))


def was_never_connected(error: BaseException) -> bool:
    """Whether it failed at a proxy, or while TLS was being agreed on, so that nothing was handed over."""
    return any(isinstance(cause, services.NEVER_CONNECTED) or _is_of_a_handshake(cause) for cause in _causes(error))


def _is_of_a_handshake(error: BaseException) -> bool:
    """An error of a socket does not say when it came; the place where it was raised does."""
    frames = _frames(error) if isinstance(error, OSError) else ()
    return any(frame.f_code.co_name == "do_handshake" for frame in frames)


def _came_of_writing(error: BaseException) -> bool:
    """Whether Django could not write the mail, because a header has a line end for instance."""
    return any(frame.f_globals.get("__name__") == "django.core.mail.message" for frame in _frames(error))


def _frames(error: BaseException) -> Iterator[FrameType]:
    place = error.__traceback__
    while place:
        yield place.tb_frame
        place = place.tb_next


def is_silence(error: BaseException) -> bool:
    """Whether the time for an answer ran out."""
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it came of, the nearest first."""
    waiting, seen = [error], {id(error)}
    for one in waiting:
        yield one
        behind = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        for cause in (*one.args, getattr(one, "reason", None), getattr(one, "original_error", None), behind):
            if isinstance(cause, BaseException) and id(cause) not in seen:
                seen.add(id(cause))
                waiting.append(cause)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
