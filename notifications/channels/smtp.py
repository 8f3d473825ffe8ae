"""A faster version of Django's SMTP backend that records the stage at which a dialogue was interrupted.

Before the server has asked for the content of a mail (reply 354 to DATA, RFC 5321, 4.1.1.4) it cannot have accepted the
mail; afterwards the result is unknown. If the server supports PIPELINING (RFC 2920), the envelope takes one round trip
instead of three.
"""

import io
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend
from django.utils.functional import cached_property

from notifications.channels.email_errors import CLOSING, Unreachable
from notifications.channels.mailboxes import NotSupported, parse_like_django, parse_mailbox
from notifications.channels.mime import render_mail

Reply = tuple[int, bytes]
RefusedRecipients = dict[str, Reply]

DONE, FORWARDED, GO_AHEAD = 250, 251, 354
MIN_SECONDS = 0.01
# The time for the replies to RSET and QUIT, which do not matter.
ENDING_SECONDS = 2.0
# The bytes that are written at once: one TLS record (RFC 8446, 5.1), so that each has a timeout.
CHUNK_BYTES = 16384
ATOM, LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[\w-]{1,63}"
# An address without quotes, encoding or comments.
BARE_ADDRESS = re.compile(rf"{ATOM}(\.{ATOM})*@{LABEL}(\.{LABEL})+", re.ASCII)


@dataclass(frozen=True)
class Timeouts:
    """The time that a server has, in seconds.

    Before the content is sent, giving up loses nothing. After it, a filter may need a long time to check the mail, and
    giving up may cause a duplicate.

    :param reply: the time for each reply.
    :param last_reply: the time for the server to receive the content, and again the time for its reply to the content.
    """

    reply: float = 20.0
    last_reply: float = 60.0

    @property
    def opening(self) -> float:
        """The time for opening a connection and for the envelope of a mail together, which limits many slow replies."""
        return 2 * self.reply

    @property
    def ending(self) -> float:
        """The time for ending a mail or a connection. After it the connection is closed without a reply."""
        return min(self.reply, ENDING_SECONDS)

    @property
    def mail(self) -> float:
        """The maximum time for one mail: first on a stale connection, and then on a new one."""
        return 2 * self.opening + 2 * self.last_reply + 4 * self.ending


class ReachabilitySMTP(smtplib.SMTP):
    """Raises ``Unreachable`` if the server cannot be reached, to distinguish this from a server that does not reply."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        try:
            return super()._get_socket(host, port, timeout)  # type: ignore[misc]
        except ConnectionResetError as error:
            # The server has accepted the connection and closed it before connect() returned: it has been reached.
            raise smtplib.SMTPServerDisconnected(f"Connection unexpectedly closed: {error}") from error
        except OSError as error:
            raise Unreachable(*error.args) from error


class DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline that can be changed. A socket's own timeout restarts with each byte.

    :ivar until: the deadline in seconds of ``time.monotonic()``.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.until = sock, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("The reply did not end in time.")
        self.sock.settimeout(left)
        return self.sock.recv_into(buffer)


class StageTrackingSMTP(ReachabilitySMTP):
    """Records whether the server has asked for the content of the current mail, and sets timeouts accordingly."""

    def __init__(self, *args: Any, timeouts: Timeouts, **kwargs: Any) -> None:
        self.is_content_requested = False
        self.timeouts = timeouts
        self._has_begun = self._is_ending = False
        self._until = time.monotonic() + timeouts.opening
        super().__init__(*args, **kwargs)

    @property
    def is_open(self) -> bool:
        return self.sock is not None

    def begin_mail(self) -> None:
        """Start a mail. The first mail of a connection has the rest of the time for opening it."""
        if self._has_begun:
            self._until = time.monotonic() + self.timeouts.opening
        self._has_begun, self.is_content_requested = True, False

    def getreply(self) -> Reply:
        if self.file is None and self.sock is not None:
            self._deadline = DeadlineReader(self.sock)
            self.file = io.BufferedReader(self._deadline)
        self._deadline.until = time.monotonic() + self._get_timeout()
        code, words = super().getreply()
        if code == GO_AHEAD:
            self.is_content_requested = True
        # Operations that do not set a timeout, such as the TLS handshake, use this one.
        self._set_timeout(self._get_timeout())
        return code, words

    def send(self, s: Any) -> None:
        data = s.encode(self.command_encoding) if isinstance(s, str) else s
        until = time.monotonic() + self._get_timeout()
        for start in range(0, len(data), CHUNK_BYTES):
            self._set_timeout(until - time.monotonic())
            super().send(data[start : start + CHUNK_BYTES])

    def rset(self) -> Reply:
        return self._run_ending_command(super().rset)

    def quit(self) -> Reply:
        return self._run_ending_command(super().quit)

    def _run_ending_command(self, command: Callable[[], Reply]) -> Reply:
        self._is_ending = True
        try:
            return command()
        finally:
            self._is_ending = False

    def _get_timeout(self) -> float:
        """Return the time, in seconds, that the server has for its next reply, or for receiving data."""
        if self._is_ending:
            return self.timeouts.ending
        if self.is_content_requested:
            return self.timeouts.last_reply
        return max(min(self.timeouts.reply, self._until - time.monotonic()), MIN_SECONDS)

    def _set_timeout(self, seconds: float) -> None:
        if self.sock:
            self.sock.settimeout(max(seconds, MIN_SECONDS))

    def send_mail(self, sender: str, recipients: Sequence[str], content: bytes) -> RefusedRecipients:
        """Do the same as ``sendmail()``, with the same result and errors, but with fewer round trips if possible.

        :raises NotSupported: if an address is not ASCII and the server does not support SMTPUTF8.
        """
        self.ehlo_or_helo_if_needed()
        options = self._get_mail_options(sender, recipients)
        if not self.has_extn("pipelining"):
            return self.sendmail(sender, recipients, content, options)
        if self.has_extn("size"):
            options = [f"SIZE={len(content)}", *options]
        refused = self._send_envelope(" ".join([f"MAIL FROM:<{sender}>", *options]), sender, recipients)
        code, words = self._send_content(content)
        if code != DONE:
            raise smtplib.SMTPDataError(code, words)
        return refused

    def _get_mail_options(self, sender: str, recipients: Sequence[str]) -> list[str]:
        """Return the options for addresses that are not ASCII (RFC 6531, 3.4 and 3.6). Their headers are UTF-8 too."""
        international = [address for address in (sender, *recipients) if not address.isascii()]
        self.command_encoding = "utf-8" if international else "ascii"
        if not international:
            return []
        if not self.has_extn("smtputf8"):
            raise NotSupported(international[0], is_sender=international[0] == sender)
        return ["SMTPUTF8", "BODY=8BITMIME"]

    def _send_envelope(self, mail: str, sender: str, recipients: Sequence[str]) -> RefusedRecipients:
        commands = [mail, *(f"RCPT TO:<{address}>" for address in recipients), "DATA"]
        (code, words), *recipient_replies, data_reply = self._pipeline(commands)
        replies = zip(recipients, recipient_replies, strict=True)
        refused = {address: reply for address, reply in replies if reply[0] not in (DONE, FORWARDED)}
        if code != DONE:
            raise smtplib.SMTPSenderRefused(code, words, sender)
        if len(refused) < len(recipients) and data_reply[0] == GO_AHEAD:
            return refused
        self._abandon_mail(data_reply)
        if len(refused) == len(recipients):
            raise smtplib.SMTPRecipientsRefused(refused)
        raise smtplib.SMTPDataError(*data_reply)

    def _pipeline(self, commands: Sequence[str]) -> list[Reply]:
        """Send all commands and return the reply to each.

        If the server refuses a command and closes the connection, the remaining commands get the reply 421.
        """
        if any("\r" in command or "\n" in command for command in commands):
            raise ValueError(f"An SMTP command contains a line end: {commands}.")
        self.send("".join(f"{command}\r\n" for command in commands))
        replies: list[Reply] = []
        try:
            while len(replies) < len(commands):
                replies.append(self.getreply())
        except smtplib.SMTPServerDisconnected as lost:
            if all(code < 400 for code, _words in replies):
                raise
            replies += [(CLOSING, str(lost).encode())] * (len(commands) - len(replies))
        return replies

    def _abandon_mail(self, data_reply: Reply) -> None:
        """End a mail without content."""
        try:
            if data_reply[0] == GO_AHEAD:
                # The mail has no recipient, but the server waits for its end (RFC 2920, 3.1).
                self.send(".\r\n")
                code, _words = self.getreply()
            else:
                code, _words = data_reply if data_reply[0] == CLOSING else self.rset()
            if code == CLOSING:
                self.close()
        except smtplib.SMTPServerDisconnected:
            pass  # The refusals are still valid.

    def _send_content(self, content: bytes) -> Reply:
        """Send the content and its end. A dot at the start of a line is doubled (RFC 5321, 4.5.2)."""
        quoted = (b"\n" + content).replace(b"\n.", b"\n..")[1:]
        self.send(quoted + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.getreply()


class StageTrackingSMTPOverTLS(StageTrackingSMTP, smtplib.SMTP_SSL, ReachabilitySMTP):
    """The same class with TLS from the start of the connection."""


class EmailBackend(DjangoBackend):
    """Accepts the same settings as Django's backend. A timeout in the settings applies to every reply."""

    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django 6.1 warns if a backend is created without an alias.
        kwargs.setdefault("alias", None)
        super().__init__(*args, **kwargs)
        self.timeouts = Timeouts() if self.timeout is None else Timeouts(self.timeout, self.timeout)
        self.timeout = self.timeouts.reply

    @property
    def connection_class(self) -> Any:
        return partial(StageTrackingSMTPOverTLS if self.use_ssl else StageTrackingSMTP, timeouts=self.timeouts)

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """Django's context, but never with a version before TLS 1.2, which a system's OpenSSL may still allow."""
        context: ssl.SSLContext = super().ssl_context
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        return context

    @property
    def is_content_requested(self) -> bool:
        """Whether the mail that failed may have been accepted."""
        return getattr(self.connection, "is_content_requested", False)

    @property
    def is_open(self) -> bool:
        """Whether the next mail can use the same connection."""
        return self.connection is not None and self.connection.is_open

    def _send(self, email_message: EmailMessage) -> bool:
        """Override Django's method to render and send the mail faster."""
        self.connection.begin_mail()
        recipients = [_get_envelope_address(address) for address in email_message.recipients()]
        if not recipients:
            return False
        try:
            self.connection.send_mail(
                _get_envelope_address(email_message.from_email), recipients, render_mail(email_message)
            )
        except smtplib.SMTPException:
            if not self.fail_silently:
                raise
            return False
        return True


# The sender is usually the same in all mails.
@lru_cache(maxsize=100)
def _get_envelope_address(address: str) -> str:
    """Return the bare address for the envelope. The given address can have a name.

    :raises ValueError: if it is not a valid address.
    """
    if BARE_ADDRESS.fullmatch(address):
        return address
    if not address.isascii():
        return parse_mailbox(address).address
    return parse_like_django(address)[1]
