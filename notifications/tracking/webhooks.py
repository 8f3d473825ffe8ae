"""Receivers of the signals of django-anymail, whose views check and parse the webhooks of email services.

A webhook that is called again changes nothing. If an event cannot be stored, the view answers 500, so that the service
calls it again.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from notifications.core import extras
from notifications.tracking.machines import find_reported_sign
from notifications.tracking.mails import UNREADABLE, UNREADABLE_HINT, record_mail
from notifications.tracking.record import record
from notifications.tracking.reports import Effect, Kind, Report, is_about_site, judge_reply, make_key, parse_reply_text

logger = logging.getLogger("notifications.tracking")

# anymail's normalised types. Others say nothing about a mail that was sent.
KINDS = {
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    "rejected": Kind.REJECTED,
    "failed": Kind.REJECTED,
    "bounced": Kind.BOUNCED,
    "complained": Kind.COMPLAINED,
    "unsubscribed": Kind.UNSUBSCRIBED,
    "opened": Kind.OPENED,
    "clicked": Kind.CLICKED,
}
BEHAVIOR = (Kind.OPENED, Kind.CLICKED)
EFFECTS_BY_REASON = {
    "invalid": Effect.HARD,
    "timed_out": Effect.SOFT,
    "blocked": Effect.BLOCK,
    "spam": Effect.COMPLAINT,
    "unsubscribed": Effect.NONE,
}
SES_EFFECTS = {"Permanent": Effect.HARD, "Transient": Effect.SOFT, "Undetermined": Effect.SOFT}
# The mail was too large, or its content was refused. Another mail may arrive.
SES_CONTENT = ("MessageTooLarge", "ContentRejected", "AttachmentRejected")
# Spam, viruses and the sender's policies are about the site or the mail, although anymail calls some of them a block.
POSTMARK_EFFECTS = {
    "HardBounce": Effect.HARD,
    "SoftBounce": Effect.SOFT,
    "Blocked": Effect.NONE,
    "DMARCPolicy": Effect.NONE,
    "VirusNotification": Effect.NONE,
}
SPARKPOST_EFFECTS = {
    **dict.fromkeys(("10", "30"), Effect.HARD),
    **dict.fromkeys(("20", "21", "22", "24", "40", "70"), Effect.SOFT),
    "50": Effect.BLOCK,
    **dict.fromkeys(("1", "23", "25", "51", "52", "53", "54"), Effect.NONE),
}
MAILJET_CONTENT = ("content", "spam", "system")
"""Values of ``error_related_to`` that are not about the recipient."""

RawEvent = Mapping[str, Any]


def _judge_ses_event(event: RawEvent) -> Effect | None:
    bounce = event.get("bounce") or {}
    # A mail with a virus is rejected by the service itself.
    if event.get("eventType") == "Reject" or bounce.get("bounceSubType") in SES_CONTENT:
        return Effect.NONE
    return SES_EFFECTS.get(str(bounce.get("bounceType")))


def _judge_mailjet_event(event: RawEvent) -> Effect | None:
    if event.get("error_related_to") in MAILJET_CONTENT:
        return Effect.NONE
    return {"True": Effect.HARD, "False": Effect.SOFT}.get(str(event.get("hard_bounce")))


def _judge_sparkpost_event(event: RawEvent) -> Effect | None:
    inner: RawEvent = next(iter((event.get("msys") or {}).values()), {})
    return SPARKPOST_EFFECTS.get(str(inner.get("bounce_class")))


def _judge_mailersend_event(event: RawEvent) -> Effect | None:
    effects = {"hard_bounced": Effect.HARD, "soft_bounced": Effect.SOFT}
    return effects.get(str((event.get("data") or {}).get("type")))


def _judge_resend_event(event: RawEvent) -> Effect | None:
    bounce = (event.get("data") or {}).get("bounce") or {}
    return SES_EFFECTS.get(str(bounce.get("type")))


def _look_up(key: str, effects: Mapping[str, Effect]) -> Callable[[RawEvent], Effect | None]:
    return lambda event: effects.get(str(event.get(key)))


# anymail does not normalise whether a bounce is hard or soft. These services say so.
JUDGES: Mapping[str, Callable[[RawEvent], Effect | None]] = {
    "Amazon SES": _judge_ses_event,
    "Brevo": _look_up("event", {"hard_bounce": Effect.HARD, "soft_bounce": Effect.SOFT, "blocked": Effect.BLOCK}),
    "MailerSend": _judge_mailersend_event,
    "Mailjet": _judge_mailjet_event,
    "Mandrill": _look_up("event", {"hard_bounce": Effect.HARD, "soft_bounce": Effect.SOFT}),
    "Postmark": _look_up("Type", POSTMARK_EFFECTS),
    "Resend": _judge_resend_event,
    "SendGrid": _look_up("type", {"bounce": Effect.HARD, "blocked": Effect.BLOCK, "expired": Effect.SOFT}),
    "SparkPost": _judge_sparkpost_event,
}


def connect() -> None:
    """Connect the receivers, if django-anymail is installed."""
    if extras.is_installed("anymail"):
        signals: Any = extras.import_optional("anymail.signals")
        signals.tracking.connect(receive_tracking_event, dispatch_uid="klaxon.tracking")
        signals.inbound.connect(receive_mail, dispatch_uid="klaxon.inbound")


def receive_tracking_event(sender: Any, event: Any, esp_name: str, **kwargs: Any) -> None:
    """Record an event of a mail that was sent."""
    kind = KINDS.get(event.event_type)
    if kind is not None:
        record(build_report(event, esp_name, kind))


def receive_mail(sender: Any, event: Any, esp_name: str, **kwargs: Any) -> None:
    """Record what a mail says that a service has received: a returned mail or a complaint. Others are ignored."""
    if UNREADABLE in record_mail(event.message.as_bytes()):
        # The service would send the mail again and again if this view failed.
        logger.warning("A returned mail that %s has received cannot be read. %s", esp_name, UNREADABLE_HINT)


def build_report(event: Any, esp_name: str, kind: Kind) -> Report:
    """Return the report of an event of anymail."""
    words = [event.mta_response, event.description, event.reject_reason]
    return Report(
        kind,
        esp_name,
        _make_event_key(event, esp_name),
        (str(event.message_id),) if event.message_id else (),
        event.timestamp,
        event.recipient or "",
        next((str(text) for text in words if text), ""),
        judge_event(event, esp_name),
        find_reported_sign(esp_name, event.esp_event, event.user_agent or "") if kind in BEHAVIOR else "",
    )


def _make_event_key(event: Any, esp_name: str) -> str:
    """One event id may stand for several recipients. Services without event ids repeat an event word for word."""
    named = str(event.event_id or "") or f"{event.message_id} {event.timestamp} {event.click_url or ''}"
    return make_key(esp_name, named, event.event_type, event.recipient or "")


def judge_event(event: Any, esp_name: str) -> Effect:
    """Return the effect of an event of anymail on the address."""
    if event.event_type == "complained":
        return Effect.COMPLAINT
    if event.event_type not in ("bounced", "rejected"):
        return Effect.NONE
    reply = parse_reply_text(event.mta_response or "")
    if reply is not None and is_about_site(reply):
        return Effect.NONE
    effect = _judge_label(event, esp_name)
    is_servers_word = effect is None or (effect is Effect.BLOCK and event.event_type == "bounced")
    if reply is not None and is_servers_word:
        # Services also speak of a block if the server refused the content or the host. Its reply is clearer.
        return judge_reply(reply) or Effect.NONE
    if effect is None:
        return Effect.HARD if event.reject_reason == "bounced" else Effect.NONE
    return effect


def _judge_label(event: Any, esp_name: str) -> Effect | None:
    """Return the effect that a service gives an event, or None if it does not say."""
    judge, raw = JUDGES.get(esp_name), event.esp_event
    if judge and isinstance(raw, Mapping) and (effect := judge(raw)):
        return effect
    if event.reject_reason == "spam" and event.event_type == "bounced":
        # A server took this mail for spam. If the recipient had complained before, the service would reject it.
        return Effect.NONE
    return EFFECTS_BY_REASON.get(event.reject_reason)
