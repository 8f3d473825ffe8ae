"""Read mails that report about a delivery: returned mails (RFC 3464) and complaints (RFC 5965).

Anyone can send such a mail. So a report counts only if it names the ``Message-ID`` of a delivery, which contains a hash
that only its recipient and the servers on its way know. Mails of servers without RFC 3464 are read by flufl.bounce.
"""

import hashlib
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes, message_from_string, policy
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

from django.utils import timezone

from notifications.core import extras
from notifications.tracking.reports import (
    Effect,
    Kind,
    Report,
    is_about_site,
    judge_reply,
    make_key,
    parse_reply_text,
)

logger = logging.getLogger("notifications.tracking")

MAX_BYTES = 10_485_760
MAX_MESSAGE_IDS = 20
MAX_BLOCKS = 100
"""The number of recipients of a status notification that are read. Each is recorded on its own."""
FIRST_YEAR = 2000
"""An earlier date is wrong, and may be outside of what a database can store."""
BLANK_LINES = re.compile(r"\r?\n(?:[ \t]*\r?\n)+")
COPIED_HEADER = re.compile(r"^[>\s]*(return-path|received|message-id):", re.IGNORECASE | re.MULTILINE)
MESSAGE_ID = re.compile(r"<[^<>\s@]{1,180}@[^<>\s]{1,180}>")
RETURNED_PARTS = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
)
STATUS, FEEDBACK = "fields/status", "fields/feedback"
# The second is for addresses that are not ASCII (RFC 6533, 3).
FIELD_TYPES = {
    "message/delivery-status": STATUS,
    "message/global-delivery-status": STATUS,
    "message/feedback-report": FEEDBACK,
}
ACTIONS = {"failed": Kind.BOUNCED, "delayed": Kind.DEFERRED, "delivered": Kind.DELIVERED}
"""The actions that say something about the mailbox. *Relayed* and *expanded* say only that the mail went on."""
COMPLAINT_TYPES = ("abuse", "fraud", "virus", "other")
GAVE_UP_CODES = ("4.4.7", "5.4.7")
"""The server has tried for days (RFC 3463, 3.5)."""


class ReportMail(Message):
    """A mail whose parts with fields are texts. Python would parse them as messages before it decodes them."""

    def get_content_type(self) -> str:
        kind = super().get_content_type()
        return FIELD_TYPES.get(kind, kind)


def read_reports(raw: bytes) -> list[Report]:
    """Return what a mail reports about deliveries; an empty list if it is no report, such as an absence note.

    :raises MissingExtra: if the mail can only be read by flufl.bounce, which is not installed.
    """
    try:
        return list(_read_mail(raw[:MAX_BYTES]))
    except RecursionError:
        # Somebody may send such a mail on purpose. The other mails must still be read.
        logger.warning("A mail has too many parts within each other, so it is ignored.")
        return []


def _read_mail(raw: bytes) -> Iterator[Report]:
    message = _parse_mail(raw)
    if message.get_content_type() != "multipart/report":
        return _read_old_bounce(message, raw)
    # The parameter report-type is the type of this part (RFC 6522, 3), but Python cannot decode it (RFC 2231).
    parts: Any = message.get_payload() if message.is_multipart() else ()
    if any(part.get_content_type() == FEEDBACK for part in parts):
        return _read_complaint(message, raw)
    return _read_status_notification(message, raw)


def _parse_mail(raw: bytes) -> Message:
    return message_from_bytes(raw, _class=ReportMail, policy=policy.compat32)


def _read_complaint(message: Message, raw: bytes) -> Iterator[Report]:
    fields = _find_fields(message, FEEDBACK)
    kinds = {str(block.get("Feedback-Type", "")).strip().lower() for block in fields}
    if kinds.isdisjoint(COMPLAINT_TYPES):
        # Such as auth-failure, which is about DKIM, or not-spam.
        return
    [kind] = sorted(kinds.intersection(COMPLAINT_TYPES))[:1]
    yield Report(
        Kind.COMPLAINED,
        "ARF",
        _make_mail_key(message, raw, ""),
        find_message_ids(message, raw),
        _read_date(message),
        detail=kind,
        effect=Effect.COMPLAINT,
    )


def _read_status_notification(message: Message, raw: bytes) -> Iterator[Report]:
    message_ids, at = find_message_ids(message, raw), _read_date(message)
    # The first block is about the whole mail.
    for number, fields in enumerate(_find_fields(message, STATUS)[: MAX_BLOCKS + 1]):
        action = str(fields.get("Action", "")).split(";")[0].strip().lower()
        if kind := ACTIONS.get(action):
            detail = " ".join(filter(None, (_get(fields, "Status"), _get(fields, "Diagnostic-Code"))))
            key = _make_mail_key(message, raw, str(number))
            effect = judge_status(_get(fields, "Status"), _get(fields, "Diagnostic-Code"))
            yield Report(
                kind,
                "DSN",
                key,
                message_ids,
                at,
                _get_recipient(fields),
                detail,
                effect if kind == Kind.BOUNCED else Effect.NONE,
            )


def judge_status(status: str, diagnostic: str) -> Effect:
    """Return the effect of the status and the diagnostic code of a failed delivery on its address."""
    if status.startswith(GAVE_UP_CODES):
        return Effect.SOFT
    reply = parse_reply_text(diagnostic.partition(";")[2] or diagnostic, status)
    if reply is None or is_about_site(reply):
        return Effect.NONE
    return judge_reply(reply) or Effect.NONE


def _read_old_bounce(message: Message, raw: bytes) -> Iterator[Report]:
    """Read a returned mail of a server that does not implement RFC 3464."""
    message_ids = find_message_ids(message, raw)
    if not message_ids or not _is_from_mail_system(message):
        return
    flufl: Any = extras.import_optional("flufl.bounce")
    try:
        temporary, permanent = flufl.all_failures(message_from_bytes(raw))
    except Exception:
        # Any detector can fail with any error if a mail is malformed. The other mails must still be read.
        logger.exception("A mail cannot be read as a returned mail, so it is ignored.")
        return
    if not temporary and not permanent:
        return
    reply = parse_reply_text(_get_text(message))
    effect = Effect.NONE
    if permanent:
        effect = Effect.HARD if reply is None else judge_reply(reply) or Effect.NONE
        effect = Effect.NONE if reply is not None and is_about_site(reply) else effect
    yield Report(
        Kind.BOUNCED if permanent else Kind.DEFERRED,
        "bounce",
        _make_mail_key(message, raw, ""),
        message_ids,
        _read_date(message),
        detail=reply.label if reply else "",
        effect=effect,
    )


def _is_from_mail_system(message: Message) -> bool:
    """Whether a mail system may have sent the mail: it has no envelope sender (RFC 5321, 4.5.5) or a typical one."""
    sender = f"{message.get('From', '')} {message.get('Sender', '')}".lower()
    has_name = "mailer-daemon" in sender or "postmaster" in sender
    return has_name or "X-Failed-Recipients" in message or str(message.get("Return-Path", "")).strip() == "<>"


def find_named_ids(raw: bytes) -> tuple[str, ...]:
    """Return the ids of the mail that a report is about, whether or not the report can be read."""
    raw = raw[:MAX_BYTES]
    return find_message_ids(_parse_mail(raw), raw)


def find_message_ids(message: Message, raw: bytes) -> tuple[str, ...]:
    """Return the ids of the mail that a report is about.

    They are in the headers of the returned mail or, if a server has only pasted it, anywhere in the text. The headers
    of the report itself do not count: an answer to a mail names it too.
    """
    for part in message.walk():
        if part.get_content_type() in RETURNED_PARTS and part is not message:
            found = MESSAGE_ID.findall(_get_returned_headers(part))
            if found:
                return tuple(dict.fromkeys(found))[:MAX_MESSAGE_IDS]
    _head, _end, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    return tuple(dict.fromkeys(MESSAGE_ID.findall(body.decode("latin-1"))))[:MAX_MESSAGE_IDS]


def _get_returned_headers(part: Message) -> str:
    if part.is_multipart():
        returned: Any = part.get_payload(0)
        return str(returned.get("Message-ID", ""))
    headers = message_from_bytes(part.get_payload(decode=True) or b"", policy=policy.compat32)  # type: ignore[arg-type]
    return str(headers.get("Message-ID", ""))


def _find_fields(message: Message, content_type: str) -> list[Message]:
    """Return the blocks of fields in the parts of a type."""
    blocks: list[Message] = []
    for part in message.walk():
        if part.get_content_type() == content_type:
            content: Any = part.get_payload(decode=True) or b""
            texts = BLANK_LINES.split(content.decode("utf-8", "replace").lstrip())
            blocks += [message_from_string(text) for text in texts if text.strip()]
    return blocks


def _get(fields: Any, name: str) -> str:
    return " ".join(str(fields.get(name, "")).split())


def _get_recipient(fields: Any) -> str:
    name = "Original-Recipient" if "Original-Recipient" in fields else "Final-Recipient"
    return _get(fields, name).rpartition(";")[2].strip(" <>")


def _get_text(message: Message) -> str:
    """Return the words of the server, without the copy of the returned mail, whose ids may look like codes."""
    part: Any = next((part for part in message.walk() if part.get_content_type() == "text/plain"), None)
    text: str = (part.get_payload(decode=True) or b"").decode("latin-1")[:20_000] if part is not None else ""
    copied = COPIED_HEADER.search(text)
    return text[: copied.start()] if copied else text


def _read_date(message: Message) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(message.get("Date", "")))
    except (ValueError, OverflowError):
        return None
    if at.year < FIRST_YEAR:
        return None
    return at if timezone.is_aware(at) else timezone.make_aware(at, timezone.get_default_timezone())


def _make_mail_key(message: Message, raw: bytes, block: str) -> str:
    """Return the key of a block of a mail. The same mail may be read twice, with other headers of its transport."""
    own_id = str(message.get("Message-ID", "")).strip()
    return make_key("mail", own_id or hashlib.sha256(raw).hexdigest(), block)
