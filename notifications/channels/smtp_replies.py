"""What a refusal by an SMTP server means: a table of reply codes, enhanced codes and the stage at which they are said.

A reply 4yz is for now, 5yz is for good (RFC 5321, 4.2.1). An enhanced code among its words says what it is about (RFC
3463, 5248, 7372 and 7505, and the lists of Microsoft, Google and Amazon). Where codes are vague the words decide, but
only in favour of the mail and its recipient: see :mod:`notifications.channels.smtp_words`.
"""

import re
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from notifications.channels import smtp_words as words
from notifications.outcomes import Blame, Suppress, Verdict


class Stage(Enum):
    """How far the conversation had come: no mail yet, or in the middle of one."""

    OPENING = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    END = auto()


@dataclass(frozen=True)
class Meaning:
    """What a receipt says of a refusal."""

    verdict: Verdict
    blames: Blame
    suppress: Suppress = Suppress.NO


LOST = Meaning(Verdict.UNKNOWN, Blame.PROVIDER)
BUSY = Meaning(Verdict.TEMPORARY, Blame.PROVIDER)
MAILBOX_BUSY = Meaning(Verdict.TEMPORARY, Blame.RECIPIENT)
OUR_ACCOUNT = Meaning(Verdict.CONFIGURATION, Blame.PROVIDER)
# Words say so, but no code. It is tried again, or by a reserve; a second recipient who gets the same opens the circuit.
PERHAPS_OURS = Meaning(Verdict.CONFIGURATION, Blame.MESSAGE)
REFUSED = Meaning(Verdict.PERMANENT, Blame.MESSAGE)
# A bare 550 says "no such mailbox" or anything else.
PERHAPS_NO_MAILBOX = Meaning(Verdict.PERMANENT, Blame.MESSAGE, Suppress.AMONG_ACCEPTED)
MAILBOX_FAILS = Meaning(Verdict.PERMANENT, Blame.RECIPIENT)
MAILBOX_DISABLED = Meaning(Verdict.PERMANENT, Blame.RECIPIENT, Suppress.REPEATED)
NO_MAILBOX = Meaning(Verdict.PERMANENT, Blame.RECIPIENT, Suppress.NOW)

# Not a part of something longer, such as an IP address.
ENHANCED = re.compile(r"(?<![\d.])([245])\.([0-7])\.(\d{1,3})(?!\.?\d)")


@dataclass(frozen=True)
class Reply:
    """A server's answer.

    :param code: the reply code, such as 550.
    :param enhanced: the enhanced code that goes with it, such as ``"5.7.1"``; empty if the server gave none.
    :param words: the text, as :func:`smtp_words.plain` leaves it.
    """

    code: int
    enhanced: str = ""
    words: str = ""

    @classmethod
    def of(cls, code: int, said: bytes | str) -> "Reply":
        text = _decoded(said) if isinstance(said, bytes) else said
        return cls(code, _enhanced(code, text), words.plain(text))

    @property
    def label(self) -> str:
        """What makes two answers the same: ``"550 5.7.1"``, or ``"550"``."""
        return f"{self.code} {self.enhanced}".strip() if self.code > 0 else ""

    def is_about(self, pattern: str) -> bool:
        """Whether the enhanced code has this subject and detail, and does not contradict the reply code."""
        if not self.enhanced or pattern == "-":
            return not self.enhanced and pattern == "-"
        kind, subject, detail = self.enhanced.split(".")
        wanted, _dot, details = pattern.partition(".")
        first, _dash, last = details.partition("-")
        is_in_range = details == "*" or int(first) <= int(detail) <= int(last or first)
        return kind == str(self.code)[:1] and subject == wanted and is_in_range


def _decoded(said: bytes) -> str:
    """UTF-8 (RFC 6531, 3.7.4.2), or what older servers of Western Europe write."""
    try:
        return said.decode()
    except UnicodeDecodeError:
        return said.decode("latin-1")


def _enhanced(code: int, text: str) -> str:
    """The first that begins the text, or is of the same class as the reply."""
    for found in ENHANCED.finditer(text):
        if found.start() == 0 or found[1] == str(code)[:1]:
            return found[0]
    return ""


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    :param meaning: what the reply means if the row fits.
    :param stages: where it is said; everywhere if empty.
    :param codes: beginnings of reply codes, separated by spaces: ``"4 552"``. Any code if empty.
    :param about: subject and detail of enhanced codes, separated by spaces: ``"1.1 3.* 7.606-649"``; ``"-"`` is a reply
        without an enhanced code. Anything if empty.
    :param says: what the words must say besides.
    :param source: where the meaning comes from.
    """

    meaning: Meaning
    source: str
    stages: tuple[Stage, ...] = ()
    codes: str = ""
    about: str = ""
    says: Callable[[str], bool] | None = None

    def fits(self, stage: Stage, reply: Reply) -> bool:
        return (
            (not self.stages or stage in self.stages)
            and (not self.codes or str(reply.code).startswith(tuple(self.codes.split())))
            and (not self.about or any(reply.is_about(one) for one in self.about.split()))
            and (self.says is None or self.says(reply.words))
        )


RFC5321, RFC3463, RFC5248, RFC7372 = "RFC 5321, 4.2.3", "RFC 3463, 3", "RFC 5248", "RFC 7372"
MICROSOFT = "Microsoft: Email non-delivery reports and SMTP errors in Exchange Online"
GOOGLE = "Google: Gmail SMTP errors and codes"
OPENING, MAIL, RCPT = (Stage.OPENING,), (Stage.MAIL,), (Stage.RCPT,)
CONTENT = (Stage.DATA, Stage.END)

# The first row that fits has the word.
RULES = (
    # Before there is a recipient it is the server's affair, or ours.
    Rule(BUSY, RFC5321, (*OPENING, *MAIL), "4"),
    Rule(OUR_ACCOUNT, RFC5321, OPENING, "5"),
    Rule(OUR_ACCOUNT, "RFC 4954, 6", codes="530 534 535 538 525"),
    Rule(REFUSED, "RFC 1870, 6.1; RFC 3463, 3.3 and 3.4", (*MAIL, *RCPT, *CONTENT), "5", "3.4 2.3"),
    Rule(PERHAPS_OURS, "words", MAIL, "552", says=words.accuse_sender),
    Rule(REFUSED, "RFC 1870, 6.1", MAIL, "552"),
    Rule(REFUSED, "RFC 6531, 3.5: an address that is not ASCII", MAIL, "5", "6.7 6.9"),
    Rule(OUR_ACCOUNT, RFC5321, MAIL, "5"),
    # For now.
    Rule(BUSY, RFC5321, codes="421"),
    Rule(MAILBOX_BUSY, "RFC 6647", codes="4", says=words.speak_of_greylisting),
    Rule(MAILBOX_BUSY, f"{RFC3463}: a full mailbox", codes="4", about="2.2"),
    Rule(BUSY, "words", codes="4", says=words.accuse_account),
    Rule(BUSY, RFC3463, codes="4", about="1.7 1.8 3.* 4.* 5.*"),
    Rule(BUSY, f"{MICROSOFT}; {GOOGLE}; {RFC7372}", codes="4", about="7.20-28 7.32 7.40 7.500-999"),
    Rule(BUSY, RFC5321, codes="454"),
    Rule(BUSY, f"{RFC5321}: too little storage", codes="452", about="-"),
    Rule(MAILBOX_BUSY, "RFC 6647", RCPT, "4"),
    Rule(MAILBOX_BUSY, RFC3463, CONTENT, "4", "2.*"),
    Rule(BUSY, RFC5321, CONTENT, "4"),
    # For good. First the codes that speak of the sender, of the server, or of one choosy recipient.
    Rule(OUR_ACCOUNT, RFC3463, codes="5", about="1.7 1.8 3.1 3.2 3.5 5.3"),
    Rule(OUR_ACCOUNT, f"{GOOGLE}: a daily quota", codes="5", about="4.5"),
    Rule(OUR_ACCOUNT, f"{RFC5248}; {RFC7372}", codes="5", about="7.8-11 7.13 7.20-28"),
    Rule(OUR_ACCOUNT, f"{MICROSOFT}: the sender, or how much it sends", codes="5", about="1.20 1.90 2.252 7.232-236"),
    Rule(OUR_ACCOUNT, f"{MICROSOFT}: not logged in, or may not", codes="5", about="7.30 7.54 7.57 7.60 7.64 7.68"),
    Rule(OUR_ACCOUNT, f"{MICROSOFT}: banned", codes="5", about="7.501-503 7.506 7.508-509 7.511 7.515 7.606-649"),
    Rule(REFUSED, f"{MICROSOFT}: blocked for this recipient", codes="5", about="7.703"),
    Rule(OUR_ACCOUNT, f"{MICROSOFT}: the tenant", codes="5", about="7.700-799"),
    Rule(REFUSED, f"{RFC3463}; {MICROSOFT}: not from everybody", codes="5", about="7.2 7.120-139 7.504-505 7.507"),
    # Those that name a mailbox. Words may spare it.
    Rule(MAILBOX_FAILS, "words", codes="5", about="1.1-3 1.6 1.10 2.1", says=words.doubt),
    Rule(NO_MAILBOX, f"{RFC3463}; RFC 7505", codes="5", about="1.1-3 1.6 1.10"),
    Rule(MAILBOX_DISABLED, RFC3463, RCPT, "5", "2.1"),
    Rule(MAILBOX_FAILS, f"{RFC3463}; {MICROSOFT}", codes="5", about="1.4-5 2.1-999"),
    Rule(MAILBOX_FAILS, f"RFC 7293; {MICROSOFT}", codes="5", about="4.310-317 7.17-19"),
    Rule(OUR_ACCOUNT, f"{RFC5321}: the order of commands", (*RCPT, Stage.DATA), "500 502 503"),
    # The rest says little. Words may say that it is not this mail.
    Rule(PERHAPS_OURS, "words", codes="5", says=words.accuse_sender),
    Rule(MAILBOX_FAILS, RFC3463, codes="5", about="1.0 4.4"),
    Rule(MAILBOX_FAILS, f"{RFC5321}; RFC 7504", RCPT, "551 552 556", "-"),
    Rule(REFUSED, "words", RCPT, "550", "-", says=words.doubt),
    Rule(PERHAPS_NO_MAILBOX, RFC5321, RCPT, "550", "-"),
    Rule(REFUSED, RFC5321, codes="5"),
    # Not a reply that SMTP knows: as good as none.
    Rule(LOST, RFC5321, (Stage.END,)),
    Rule(BUSY, RFC5321),
)


def meaning_of(stage: Stage, reply: Reply) -> Meaning:
    """What a reply that is no success means for the mail, its recipient and the server."""
    return next(rule.meaning for rule in RULES if rule.fits(stage, reply))


def reply_to(error: smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused) -> Reply:
    """What the server said. There is one recipient to a mail."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Reply.of(*next(iter(error.recipients.values())))
    return Reply.of(error.smtp_code, error.smtp_error)


def stage_of(error: Exception, content_asked_for: bool) -> Stage:
    """Where the server said it.

    :param content_asked_for: whether the server had asked for the content of the mail, or nobody knows.
    """
    if isinstance(error, smtplib.SMTPSenderRefused):
        return Stage.MAIL
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Stage.RCPT
    if isinstance(error, smtplib.SMTPDataError):
        return Stage.END if content_asked_for else Stage.DATA
    return Stage.OPENING
