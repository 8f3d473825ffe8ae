"""Interpret refusals by an SMTP server, with a table of reply codes, enhanced codes and stages.

A reply 4yz is temporary and a reply 5yz is permanent (RFC 5321, 4.2.1). An enhanced code in its text describes the
reason (RFC 3463, 5248, 7372 and 7505, and the lists of Microsoft, Google and Amazon). If the codes are vague, the text
decides, but only in favour of the mail and its recipient: see :mod:`notifications.channels.smtp_words`.
"""

import re
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from notifications.channels import smtp_words
from notifications.outcomes import Blame, Suppress, Verdict


class Stage(Enum):
    """The stage of the dialogue: opening the connection, or one of the steps of a mail."""

    OPENING = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    END = auto()


@dataclass(frozen=True)
class Meaning:
    """The meaning of a refusal, for the receipt."""

    verdict: Verdict
    blames: Blame
    suppress: Suppress = Suppress.NO


LOST = Meaning(Verdict.UNKNOWN, Blame.PROVIDER)
BUSY = Meaning(Verdict.TEMPORARY, Blame.PROVIDER)
MAILBOX_BUSY = Meaning(Verdict.TEMPORARY, Blame.RECIPIENT)
ACCOUNT_REFUSED = Meaning(Verdict.CONFIGURATION, Blame.PROVIDER)
# Only the text says so. The email is retried or uses the next provider; if a second recipient gets the same reply, the
# circuit opens.
MAYBE_ACCOUNT_REFUSED = Meaning(Verdict.CONFIGURATION, Blame.MESSAGE)
REFUSED = Meaning(Verdict.PERMANENT, Blame.MESSAGE)
# A bare 550 can mean "no such mailbox" or anything else.
MAYBE_NO_MAILBOX = Meaning(Verdict.PERMANENT, Blame.MESSAGE, Suppress.AMONG_ACCEPTED)
BLOCKED = Meaning(Verdict.PERMANENT, Blame.MESSAGE, Suppress.BLOCKED)
MAILBOX_FAILS = Meaning(Verdict.PERMANENT, Blame.RECIPIENT)
MAILBOX_CLOSED = Meaning(Verdict.PERMANENT, Blame.RECIPIENT, Suppress.REPEATED)
NO_MAILBOX = Meaning(Verdict.PERMANENT, Blame.RECIPIENT, Suppress.NOW)

# The code must not be part of a longer number, such as an IP address.
ENHANCED = re.compile(r"(?<![\d.])([245])\.([0-7])\.(\d{1,3})(?!\.?\d)")


@dataclass(frozen=True)
class Reply:
    """A server's reply.

    :param code: the reply code, such as 550.
    :param enhanced: the enhanced code, such as ``"5.7.1"``; empty if the reply has none.
    :param words: the text, normalized by :func:`smtp_words.normalize_text`.
    """

    code: int
    enhanced: str = ""
    words: str = ""

    @classmethod
    def of(cls, code: int, raw: bytes | str) -> "Reply":
        text = _decode(raw) if isinstance(raw, bytes) else raw
        return cls(code, _find_enhanced_code(code, text), smtp_words.normalize_text(text))

    @property
    def label(self) -> str:
        """The codes, such as ``"550 5.7.1"`` or ``"550"``. Two replies with the same label are treated as equal."""
        return f"{self.code} {self.enhanced}".strip() if self.code > 0 else ""

    def has_enhanced_code(self, pattern: str) -> bool:
        """Whether the enhanced code matches a pattern of subject and detail, and does not contradict the reply code."""
        if not self.enhanced or pattern == "-":
            return not self.enhanced and pattern == "-"
        kind, subject, detail = self.enhanced.split(".")
        expected_subject, _dot, details = pattern.partition(".")
        first, _dash, last = details.partition("-")
        is_in_range = details == "*" or int(first) <= int(detail) <= int(last or first)
        return kind == str(self.code)[:1] and subject == expected_subject and is_in_range


def _decode(raw: bytes) -> str:
    """Decode UTF-8 (RFC 6531, 3.7.4.2), or Latin-1, which older servers in Western Europe use."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _find_enhanced_code(code: int, text: str) -> str:
    """Return the first enhanced code that starts the text or has the same class as the reply code."""
    for found in ENHANCED.finditer(text):
        if found.start() == 0 or found[1] == str(code)[:1]:
            return found[0]
    return ""


@dataclass(frozen=True)
class ReplyRule:
    """One row of the table.

    :param meaning: the meaning of the reply if the row matches.
    :param stages: the stages to match; all if empty.
    :param codes: prefixes of reply codes, separated by spaces: ``"4 552"``; all codes if empty.
    :param enhanced: subjects and details of enhanced codes, separated by spaces: ``"1.1 3.* 7.606-649"``. ``"-"``
        matches a reply without an enhanced code. If empty, all replies match.
    :param matches_words: an additional condition on the text.
    :param source: the document that defines the meaning.
    """

    meaning: Meaning
    source: str
    stages: tuple[Stage, ...] = ()
    codes: str = ""
    enhanced: str = ""
    matches_words: Callable[[str], bool] | None = None

    def matches(self, stage: Stage, reply: Reply) -> bool:
        return (
            (not self.stages or stage in self.stages)
            and (not self.codes or str(reply.code).startswith(tuple(self.codes.split())))
            and (not self.enhanced or any(reply.has_enhanced_code(pattern) for pattern in self.enhanced.split()))
            and (self.matches_words is None or self.matches_words(reply.words))
        )


RFC5321, RFC3463, RFC5248, RFC7372 = "RFC 5321, 4.2.3", "RFC 3463, 3", "RFC 5248", "RFC 7372"
MICROSOFT = "Microsoft: Email non-delivery reports and SMTP errors in Exchange Online"
GOOGLE = "Google: Gmail SMTP errors and codes"
OPENING, MAIL, RCPT = (Stage.OPENING,), (Stage.MAIL,), (Stage.RCPT,)
CONTENT = (Stage.DATA, Stage.END)

# The first row that matches decides.
REPLY_RULES = (
    # Before there is a recipient, the reply is about the server or the site.
    ReplyRule(BUSY, RFC5321, (*OPENING, *MAIL), "4"),
    ReplyRule(ACCOUNT_REFUSED, RFC5321, OPENING, "5"),
    ReplyRule(ACCOUNT_REFUSED, "RFC 4954, 6", codes="530 534 535 538 525"),
    ReplyRule(REFUSED, "RFC 1870, 6.1; RFC 3463, 3.3 and 3.4", (*MAIL, *RCPT, *CONTENT), "5", "3.4 2.3"),
    ReplyRule(MAYBE_ACCOUNT_REFUSED, "text", MAIL, "552", matches_words=smtp_words.is_about_sender),
    ReplyRule(REFUSED, "RFC 1870, 6.1", MAIL, "552"),
    ReplyRule(REFUSED, "RFC 6531, 3.5: an address that is not ASCII", MAIL, "5", "6.7 6.9"),
    ReplyRule(ACCOUNT_REFUSED, RFC5321, MAIL, "5"),
    # Temporary refusals.
    ReplyRule(BUSY, RFC5321, codes="421"),
    ReplyRule(MAILBOX_BUSY, "RFC 6647", codes="4", matches_words=smtp_words.is_greylisting),
    ReplyRule(MAILBOX_BUSY, f"{RFC3463}: a full mailbox", codes="4", enhanced="2.2"),
    ReplyRule(BUSY, "text", codes="4", matches_words=smtp_words.is_about_account),
    ReplyRule(BUSY, RFC3463, codes="4", enhanced="1.7 1.8 3.* 4.* 5.*"),
    ReplyRule(BUSY, f"{MICROSOFT}; {GOOGLE}; {RFC7372}", codes="4", enhanced="7.20-28 7.32 7.40 7.500-999"),
    ReplyRule(BUSY, RFC5321, codes="454"),
    ReplyRule(BUSY, f"{RFC5321}: too little storage", codes="452", enhanced="-"),
    ReplyRule(MAILBOX_BUSY, "RFC 6647", RCPT, "4"),
    ReplyRule(MAILBOX_BUSY, RFC3463, CONTENT, "4", "2.*"),
    ReplyRule(BUSY, RFC5321, CONTENT, "4"),
    # Permanent refusals. First, codes about the sender, the server, or a recipient that does not accept all senders.
    ReplyRule(ACCOUNT_REFUSED, RFC3463, codes="5", enhanced="1.7 1.8 3.1 3.2 3.5 5.3"),
    ReplyRule(ACCOUNT_REFUSED, f"{GOOGLE}: a daily quota", codes="5", enhanced="4.5"),
    ReplyRule(ACCOUNT_REFUSED, f"{RFC5248}; {RFC7372}", codes="5", enhanced="7.8-11 7.13 7.20-28"),
    ReplyRule(
        ACCOUNT_REFUSED,
        f"{MICROSOFT}: the sender, or how much it sends",
        codes="5",
        enhanced="1.20 1.90 2.252 7.232-236",
    ),
    ReplyRule(
        ACCOUNT_REFUSED, f"{MICROSOFT}: not logged in, or may not", codes="5", enhanced="7.30 7.54 7.57 7.60 7.64 7.68"
    ),
    ReplyRule(
        ACCOUNT_REFUSED, f"{MICROSOFT}: banned", codes="5", enhanced="7.501-503 7.506 7.508-509 7.511 7.515 7.606-649"
    ),
    ReplyRule(BLOCKED, f"{MICROSOFT}: blocked for this recipient", codes="5", enhanced="7.703"),
    ReplyRule(ACCOUNT_REFUSED, f"{MICROSOFT}: the tenant", codes="5", enhanced="7.700-799"),
    ReplyRule(
        BLOCKED, f"{RFC3463}; {MICROSOFT}: not from everybody", codes="5", enhanced="7.2 7.120-139 7.504-505 7.507"
    ),
    # Codes about a mailbox. The text can show that the mailbox itself is not the cause.
    ReplyRule(MAILBOX_FAILS, "text", codes="5", enhanced="1.1-3 1.6 1.10 2.1", matches_words=smtp_words.is_doubtful),
    ReplyRule(NO_MAILBOX, f"{RFC3463}; RFC 7505", codes="5", enhanced="1.1-3 1.6 1.10"),
    ReplyRule(MAILBOX_FAILS, "text", codes="5", enhanced="2.2", matches_words=smtp_words.is_about_sender),
    ReplyRule(MAILBOX_CLOSED, f"{RFC3463}: disabled or full", RCPT, "5", "2.1-2"),
    ReplyRule(MAILBOX_FAILS, f"{RFC3463}; {MICROSOFT}", codes="5", enhanced="1.4-5 2.1-999"),
    ReplyRule(MAILBOX_FAILS, f"RFC 7293; {MICROSOFT}", codes="5", enhanced="4.310-317 7.17-19"),
    ReplyRule(ACCOUNT_REFUSED, f"{RFC5321}: the order of commands", (*RCPT, Stage.DATA), "500 502 503"),
    # Vague codes. The text can show that this mail is not the cause.
    ReplyRule(MAYBE_ACCOUNT_REFUSED, "text", codes="5", matches_words=smtp_words.is_about_sender),
    ReplyRule(MAILBOX_FAILS, RFC3463, codes="5", enhanced="1.0 4.4"),
    ReplyRule(MAILBOX_FAILS, f"{RFC5321}; RFC 7504", RCPT, "551 552 556", "-"),
    ReplyRule(REFUSED, "text", RCPT, "550", "-", matches_words=smtp_words.is_doubtful),
    ReplyRule(MAYBE_NO_MAILBOX, RFC5321, RCPT, "550", "-"),
    ReplyRule(REFUSED, RFC5321, codes="5"),
    # An invalid reply is treated as lost contact.
    ReplyRule(LOST, RFC5321, (Stage.END,)),
    ReplyRule(BUSY, RFC5321),
)


def find_meaning(stage: Stage, reply: Reply) -> Meaning:
    """Return the meaning of a reply that refuses something, for the mail, its recipient and the server."""
    return next(rule.meaning for rule in REPLY_RULES if rule.matches(stage, reply))


def parse_reply(error: smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused) -> Reply:
    """Return the server's reply. Each mail has one recipient."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Reply.of(*next(iter(error.recipients.values())))
    return Reply.of(error.smtp_code, error.smtp_error)


def find_stage(error: Exception, is_content_requested: bool) -> Stage:
    """Return the stage at which the server refused.

    :param is_content_requested: True if the server had asked for the content of the mail, or if this is unknown.
    """
    if isinstance(error, smtplib.SMTPSenderRefused):
        return Stage.MAIL
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Stage.RCPT
    if isinstance(error, smtplib.SMTPDataError):
        return Stage.END if is_content_requested else Stage.DATA
    return Stage.OPENING
