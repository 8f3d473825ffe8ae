"""Django's SMTP backend, faster, and knowing how far a conversation had come when it broke off.

Before the server has asked for the content of a mail (reply 354 to DATA, RFC 5321, 4.1.1.4) nothing can have been
accepted; afterwards nobody can tell. Where the server knows PIPELINING (RFC 2920) the envelope is one round trip
instead of three.
"""

import re
import smtplib
from collections.abc import Sequence
from email.utils import parseaddr
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend
from django.core.mail.message import sanitize_address

from notifications.channels.mime import as_bytes

Reply = tuple[int, bytes]
Refused = dict[str, Reply]

DONE, FORWARDED, GO_AHEAD, CLOSING = 250, 251, 354, 421
ATOM, LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[\w-]{1,63}"
# Nothing in such an address is quoted, encoded or commented.
BARE_ADDRESS = re.compile(rf"{ATOM}(\.{ATOM})*@{LABEL}(\.{LABEL})+", re.ASCII)


class Phased(smtplib.SMTP):
    """Remembers whether content was asked for, since it was last told to forget."""

    content_asked_for = False

    def getreply(self) -> Reply:
        code, words = super().getreply()
        self.content_asked_for = self.content_asked_for or code == GO_AHEAD
        return code, words

    def hand_over(self, sender: str, recipients: Sequence[str], content: bytes) -> Refused:
        """``sendmail()`` with its answer and its errors, but in fewer steps where the server allows it."""
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("pipelining"):
            return self.sendmail(sender, recipients, content)
        refused = self._open_envelope(sender, recipients, len(content))
        code, words = self._fill(content)
        if code != DONE:
            raise smtplib.SMTPDataError(code, words)
        return refused

    def _open_envelope(self, sender: str, recipients: Sequence[str], length: int) -> Refused:
        size = f" SIZE={length}" if self.has_extn("size") else ""
        commands = [f"MAIL FROM:<{sender}>{size}", *(f"RCPT TO:<{address}>" for address in recipients), "DATA"]
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
                self.getreply()
            elif asked[0] != CLOSING:
                self.rset()
        except smtplib.SMTPServerDisconnected:
            pass  # What it has refused is refused.

    def _fill(self, content: bytes) -> Reply:
        """The content and its end in one go; a dot at the start of a line is doubled (RFC 5321, 4.5.2)."""
        quoted = (b"\n" + content).replace(b"\n.", b"\n..")[1:]
        self.send(quoted + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.getreply()


class PhasedOverTLS(Phased, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""


class EmailBackend(DjangoBackend):
    """Takes the same settings as Django's own."""

    connection: Any

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return PhasedOverTLS if self.use_ssl else Phased

    @property
    def content_asked_for(self) -> bool:
        """Whether the mail that failed may have been accepted."""
        return getattr(self.connection, "content_asked_for", False)

    def _send(self, email_message: EmailMessage) -> bool:
        """Django's own, but for how the mail is written and handed over."""
        self.connection.content_asked_for = False
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
    return parseaddr(sanitize_address(address, settings.DEFAULT_CHARSET))[1]
