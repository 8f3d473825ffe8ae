"""What a refusal by an SMTP server is about: this recipient, this mail, the server, or ourselves.

A reply 4yz is for now, 5yz is for good (RFC 5321, 4.2.1). An enhanced code among its words (RFC 3463) says what it is
about; without one, only a few codes do.
"""

import re
import smtplib
from dataclasses import dataclass

from notifications.outcomes import Verdict

Refusal = smtplib.SMTPSenderRefused | smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError

# Not a part of something longer, such as an IP address.
ENHANCED = re.compile(r"(?<![\d.])[245]\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
CLOSING, NO_STORAGE, NO_MAILBOX, TOO_BIG = 421, 452, 550, 552
LOGIN_WANTED = (530, 534, 535, 538)
ADDRESS, SERVER, SECURITY = "1", "3", "7"
# Of the codes about addresses, those about the sender's: malformed, and of a host that does not exist.
OF_SENDER = ("7", "8")


@dataclass(frozen=True)
class Reply:
    """A code, and the second and third number of the enhanced code, where the server gave one."""

    code: int
    subject: str = ""
    detail: str = ""

    @classmethod
    def of(cls, code: int, said: bytes | str) -> "Reply":
        found = ENHANCED.search(said.decode(errors="replace") if isinstance(said, bytes) else said)
        return cls(code, *(found.groups() if found else ()))

    @classmethod
    def to(cls, error: Refusal) -> "Reply":
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            # There is one recipient to a mail.
            return cls.of(*next(iter(error.recipients.values())))
        return cls.of(error.smtp_code, error.smtp_error)

    @property
    def is_for_now(self) -> bool:
        return 400 <= self.code < 500

    @property
    def is_for_good(self) -> bool:
        return 500 <= self.code < 600

    @property
    def blames_sender(self) -> bool:
        return self.subject == ADDRESS and self.detail in OF_SENDER

    @property
    def blames_us(self) -> bool:
        return self.code in LOGIN_WANTED or self.subject == SECURITY or self.blames_sender

    @property
    def blames_server(self) -> bool:
        return self.code == CLOSING or self.subject == SERVER or (self.code == NO_STORAGE and not self.subject)

    @property
    def blames_address(self) -> bool:
        return self.subject == ADDRESS and not self.blames_sender


def verdict_of(error: Refusal, may_be_accepted: bool) -> Verdict:
    reply = Reply.to(error)
    if reply.is_for_now:
        return Verdict.TEMPORARY
    if not reply.is_for_good:
        # Not a reply that SMTP knows: as good as none.
        lost_late = may_be_accepted and isinstance(error, smtplib.SMTPDataError)
        return Verdict.UNKNOWN if lost_late else Verdict.TEMPORARY
    # At MAIL a server has seen the sender, and the size of the mail.
    sender_refused = isinstance(error, smtplib.SMTPSenderRefused) and reply.code != TOO_BIG
    return Verdict.CONFIGURATION if sender_refused or reply.blames_us else Verdict.PERMANENT


def is_bad_address(error: Refusal) -> bool:
    """Whether nothing should be sent there again."""
    reply = Reply.to(error)
    bare = reply.code == NO_MAILBOX and not reply.subject and isinstance(error, smtplib.SMTPRecipientsRefused)
    return verdict_of(error, False) is Verdict.PERMANENT and (bare or reply.blames_address)


def blames_recipient(error: Refusal) -> bool:
    """Whether only this mailbox failed, so that nothing is said about the others, nor about the server's health."""
    reply = Reply.to(error)
    # For now, policy (4.7.x) is mostly greylisting.
    ours = reply.blames_sender or (reply.blames_us and reply.is_for_good)
    if isinstance(error, smtplib.SMTPSenderRefused) or reply.blames_server or ours:
        return False
    at_rcpt = isinstance(error, smtplib.SMTPRecipientsRefused) and (reply.is_for_now or reply.is_for_good)
    return at_rcpt or reply.blames_address
