"""Django's SMTP backend, faster, and knowing how far a conversation had come when it broke off.

Before the server has asked for the content of a mail (reply 354 to DATA, RFC 5321, 4.1.1.4) nothing can have been
accepted; afterwards nobody can tell. Where the server knows PIPELINING (RFC 2920) the envelope is one round trip
instead of three.
"""

import io
import re
import smtplib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend

from notifications.channels.email_errors import Unreachable
from notifications.channels.mailboxes import NotSupported, parse, read_strictly
from notifications.channels.mime import as_bytes

Reply = tuple[int, bytes]
Refused = dict[str, Reply]

DONE, FORWARDED, GO_AHEAD, CLOSING = 250, 251, 354, 421
A_MOMENT = 0.01
# For the replies to RSET and QUIT, on which nothing depends.
SECONDS_TO_END = 2.0
# What is written at once. One record of TLS (RFC 8446, 5.1), so that each has its time-out.
PIECE = 16384
ATOM, LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[\w-]{1,63}"
# Nothing in such an address is quoted, encoded or commented.
BARE_ADDRESS = re.compile(rf"{ATOM}(\.{ATOM})*@{LABEL}(\.{LABEL})+", re.ASCII)


@dataclass(frozen=True)
class Patience:
    """How many seconds a server is waited for.

    Before the content nothing is lost by giving up. After it a filter may look at the mail for long, and giving up may
    make a duplicate.

    :param reply: for each reply.
    :param last_reply: for the content to be taken, and then for the reply to it.
    """

    reply: float = 20.0
    last_reply: float = 60.0

    @property
    def opening(self) -> float:
        """For a connection and the envelope of a mail together, so that many slow replies do not add up."""
        return 2 * self.reply

    @property
    def ending(self) -> float:
        """For a mail or a connection to be ended. Who is not answered in that time ends it alone."""
        return min(self.reply, SECONDS_TO_END)

    @property
    def mail(self) -> float:
        """The longest that one mail takes: on a connection that turns out to be stale, and on a fresh one."""
        return 2 * self.opening + 2 * self.last_reply + 4 * self.ending


class Reaching(smtplib.SMTP):
    """Tells a server that cannot be reached from one that does not answer."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        try:
            return super()._get_socket(host, port, timeout)  # type: ignore[misc]
        except OSError as error:
            raise Unreachable(*error.args) from error


class Deadline(io.RawIOBase):
    """Reads from a socket until a moment that may be moved. A time-out alone begins anew with each byte.

    :ivar until: seconds, by the clock ``time.monotonic()``.
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


class Phased(Reaching):
    """Remembers whether content was asked for, since the mail began, and is patient accordingly."""

    def __init__(self, *args: Any, patience: Patience, **kwargs: Any) -> None:
        self.content_asked_for = False
        self.patience = patience
        self._has_begun = self._is_ending = False
        self._until = time.monotonic() + patience.opening
        super().__init__(*args, **kwargs)

    @property
    def is_open(self) -> bool:
        return self.sock is not None

    def begin(self) -> None:
        """A mail begins. The first one has what time is left of opening the connection."""
        if self._has_begun:
            self._until = time.monotonic() + self.patience.opening
        self._has_begun, self.content_asked_for = True, False

    def getreply(self) -> Reply:
        if self.file is None and self.sock is not None:
            self._deadline = Deadline(self.sock)
            self.file = io.BufferedReader(self._deadline)
        self._deadline.until = time.monotonic() + self._seconds()
        code, words = super().getreply()
        if code == GO_AHEAD:
            self.content_asked_for = True
        # For what does not ask for the time, such as a TLS handshake.
        self._wait(self._seconds())
        return code, words

    def send(self, s: Any) -> None:
        data = s.encode(self.command_encoding) if isinstance(s, str) else s
        until = time.monotonic() + self._seconds()
        for start in range(0, len(data), PIECE):
            self._wait(until - time.monotonic())
            super().send(data[start : start + PIECE])

    def rset(self) -> Reply:
        return self._end(super().rset)

    def quit(self) -> Reply:
        return self._end(super().quit)

    def _end(self, command: Callable[[], Reply]) -> Reply:
        self._is_ending = True
        try:
            return command()
        finally:
            self._is_ending = False

    def _seconds(self) -> float:
        """How long the server has for its next reply, or for taking what is sent."""
        if self._is_ending:
            return self.patience.ending
        if self.content_asked_for:
            return self.patience.last_reply
        return max(min(self.patience.reply, self._until - time.monotonic()), A_MOMENT)

    def _wait(self, seconds: float) -> None:
        if self.sock:
            self.sock.settimeout(max(seconds, A_MOMENT))

    def hand_over(self, sender: str, recipients: Sequence[str], content: bytes) -> Refused:
        """``sendmail()`` with its answer and its errors, but in fewer steps where the server allows it.

        :raises NotSupported: if an address is not ASCII and the server does not know what to do with it.
        """
        self.ehlo_or_helo_if_needed()
        options = self._options(sender, recipients)
        if not self.has_extn("pipelining"):
            return self.sendmail(sender, recipients, content, options)
        if self.has_extn("size"):
            options = [f"SIZE={len(content)}", *options]
        refused = self._open_envelope(" ".join([f"MAIL FROM:<{sender}>", *options]), sender, recipients)
        code, words = self._fill(content)
        if code != DONE:
            raise smtplib.SMTPDataError(code, words)
        return refused

    def _options(self, sender: str, recipients: Sequence[str]) -> list[str]:
        """For addresses that are not ASCII (RFC 6531, 3.4 and 3.6); their headers are not, either."""
        foreign = [address for address in (sender, *recipients) if not address.isascii()]
        self.command_encoding = "utf-8" if foreign else "ascii"
        if not foreign:
            return []
        if not self.has_extn("smtputf8"):
            raise NotSupported(foreign[0], is_sender=foreign[0] == sender)
        return ["SMTPUTF8", "BODY=8BITMIME"]

    def _open_envelope(self, mail: str, sender: str, recipients: Sequence[str]) -> Refused:
        commands = [mail, *(f"RCPT TO:<{address}>" for address in recipients), "DATA"]
        (code, words), *answers, asked = self._all_at_once(commands)
        said = zip(recipients, answers, strict=True)
        refused = {address: answer for address, answer in said if answer[0] not in (DONE, FORWARDED)}
        if code != DONE:
            raise smtplib.SMTPSenderRefused(code, words, sender)
        if len(refused) < len(recipients) and asked[0] == GO_AHEAD:
            return refused
        self._leave_empty(asked)
        if len(refused) == len(recipients):
            raise smtplib.SMTPRecipientsRefused(refused)
        raise smtplib.SMTPDataError(*asked)

    def _all_at_once(self, commands: Sequence[str]) -> list[Reply]:
        """The reply to each. A server that refuses something and hangs up says to the rest that it is closing."""
        if any("\r" in command or "\n" in command for command in commands):
            raise ValueError(f"There is a line end in {commands}.")
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

    def _leave_empty(self, asked: Reply) -> None:
        """End a mail that nothing goes into."""
        try:
            if asked[0] == GO_AHEAD:
                # For nobody, but the server waits until it ends (RFC 2920, 3.1).
                self.send(".\r\n")
                code, _words = self.getreply()
            else:
                code, _words = asked if asked[0] == CLOSING else self.rset()
            if code == CLOSING:
                self.close()
        except smtplib.SMTPServerDisconnected:
            pass  # What it has refused is refused.

    def _fill(self, content: bytes) -> Reply:
        """The content and its end in one go; a dot at the start of a line is doubled (RFC 5321, 4.5.2)."""
        quoted = (b"\n" + content).replace(b"\n.", b"\n..")[1:]
        self.send(quoted + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.getreply()


class PhasedOverTLS(Phased, smtplib.SMTP_SSL, Reaching):
    """The same with TLS from the first byte."""


class EmailBackend(DjangoBackend):
    """Takes the same settings as Django's own. A time-out that is set is kept everywhere."""

    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django 6.1 takes a backend without an alias for one that no setting describes, and warns.
        kwargs.setdefault("alias", None)
        super().__init__(*args, **kwargs)
        self.patience = Patience() if self.timeout is None else Patience(self.timeout, self.timeout)
        self.timeout = self.patience.reply

    @property
    def connection_class(self) -> Any:
        return partial(PhasedOverTLS if self.use_ssl else Phased, patience=self.patience)

    @property
    def content_asked_for(self) -> bool:
        """Whether the mail that failed may have been accepted."""
        return getattr(self.connection, "content_asked_for", False)

    @property
    def is_open(self) -> bool:
        """Whether the next mail can go over the same connection."""
        return self.connection is not None and self.connection.is_open

    def _send(self, email_message: EmailMessage) -> bool:
        """Django's own, but for how the mail is written and handed over."""
        self.connection.begin()
        recipients = [_mailbox(address) for address in email_message.recipients()]
        if not recipients:
            return False
        try:
            self.connection.hand_over(_mailbox(email_message.from_email), recipients, as_bytes(email_message))
        except smtplib.SMTPException:
            if not self.fail_silently:
                raise
            return False
        return True


# The sender is the same in all mails.
@lru_cache(maxsize=100)
def _mailbox(address: str) -> str:
    """What stands in the envelope for an address, perhaps one with a name.

    :raises ValueError: if it is none.
    """
    if BARE_ADDRESS.fullmatch(address):
        return address
    if not address.isascii():
        return parse(address).address
    return read_strictly(address)[1]
