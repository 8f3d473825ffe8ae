"""Reports: what a provider, a mail server or a recipient says about a delivery. All functions here are pure."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from notifications.channels.smtp_replies import Meaning, Reply, Stage, find_meaning
from notifications.models import TrackingEvent
from notifications.outcomes import Blame, Suppress, Verdict

Kind = TrackingEvent.Kind
EMAIL = "email"
# Not a part of a number, an address or an id.
REPLY_CODE = re.compile(r"(?<![\w.])([245]\d\d)(?![\w.])")
ENHANCED_CODE = re.compile(r"(?<![\d.])([245])\.\d\.\d{1,3}(?!\.?\d)")


class Effect(Enum):
    """The effect of a report on the address. SOFT suppresses it at the third time, the others but NONE at once."""

    NONE = "none"
    HARD = "hard"
    SOFT = "soft"
    BLOCK = "block"
    COMPLAINT = "complaint"
    STOP = "stop"


@dataclass(frozen=True)
class Report:
    """One report.

    :param source: who reports it, such as ``"SendGrid"`` or ``"DSN"``.
    :param key: a text that is the same each time that the same thing is reported.
    :param message_ids: the ids by which the provider or the mail may name the delivery.
    :param at: when it happened, aware; None if the report does not say so.
    :param address: the address of the recipient; empty if only the delivery can say it.
    :param detail: the provider's words.
    :param machine_sign: the sign by which an open or click is a machine's; empty if it may be a person's.
    :param address_kind: the kind of the address.
    :param delivery_id: the id of the delivery, if the report names it; then the message ids are not looked up.
    """

    kind: Kind
    source: str
    key: str
    message_ids: tuple[str, ...] = ()
    at: datetime | None = None
    address: str = ""
    detail: str = ""
    effect: Effect = Effect.NONE
    machine_sign: str = ""
    address_kind: str = EMAIL
    delivery_id: int | None = None


def make_key(*parts: str) -> str:
    """Return the key of a report from what identifies it."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def parse_reply_text(text: str, status: str = "") -> Reply | None:
    """Return the reply of a server in a text, or None if no code in it reports a failure.

    :param status: an enhanced code that is given apart from the text. One in the text is used first.
    """
    enhanced = ENHANCED_CODE.search(text) or (None if is_vague(status) else ENHANCED_CODE.search(status))
    code = REPLY_CODE.search(text)
    if code and code[1][0] in "45":
        number = int(code[1])
    elif enhanced and enhanced[1] in "45":
        number = 550 if enhanced[1] == "5" else 450
    else:
        return None
    has_status = not enhanced or enhanced[0] in text
    return Reply.of(number, text if has_status else f"{enhanced[0]} {text}" if enhanced else text)


def is_vague(status: str) -> bool:
    """Whether an enhanced code says only that something failed (RFC 3463, 3.1)."""
    return status[1:].startswith(".0.0")


def judge_reply(reply: Reply) -> Effect | None:
    """Return the effect of a server's final refusal; None if the reply is about the sending site or the message."""
    meaning = find_meaning(Stage.RCPT, reply)
    if meaning.suppress is Suppress.BLOCKED:
        return Effect.BLOCK
    if meaning.suppress is Suppress.NOW:
        return Effect.HARD
    return Effect.SOFT if _is_about_mailbox(reply, meaning) else None


def is_about_site(reply: Reply) -> bool:
    """Whether a refusal is about the sending site, so that it says nothing about the address."""
    return find_meaning(Stage.RCPT, reply).verdict is Verdict.CONFIGURATION


def _is_about_mailbox(reply: Reply, meaning: Meaning) -> bool:
    # A temporary refusal is only reported as final after the server has given up.
    return meaning.blames is Blame.RECIPIENT or meaning.suppress is not Suppress.NO or 400 <= reply.code < 500
