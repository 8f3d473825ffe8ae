"""Receivers of the signals of django-anymail, whose views check and parse the webhooks of email services.

A webhook that is called again changes nothing. If an event cannot be stored, the view answers 500, so that the service
calls it again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from notifications.core import extras
from notifications.tracking.bounce_mails import read_reports
from notifications.tracking.machines import find_reported_sign
from notifications.tracking.record import record, record_named
from notifications.tracking.reports import Effect, Kind, Report, is_about_site, judge_reply, make_key, parse_reply_text

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


def _judge_ses_event(event: Mapping[str, Any]) -> Effect | None:
    bounce = event.get("bounce") or {}
    if bounce.get("bounceSubType") in SES_CONTENT:
        return Effect.NONE
    return SES_EFFECTS.get(str(bounce.get("bounceType")))


def _look_up(key: str, effects: Mapping[str, Effect]) -> Callable[[Mapping[str, Any]], Effect | None]:
    return lambda event: effects.get(str(event.get(key)))


# anymail does not normalise whether a bounce is hard or soft. These services say so.
JUDGES: Mapping[str, Callable[[Mapping[str, Any]], Effect | None]] = {
    "Amazon SES": _judge_ses_event,
    "Brevo": _look_up("event", {"hard_bounce": Effect.HARD, "soft_bounce": Effect.SOFT, "blocked": Effect.BLOCK}),
    "Mailjet": _look_up("hard_bounce", {"True": Effect.HARD, "False": Effect.SOFT}),
    "Mandrill": _look_up("event", {"hard_bounce": Effect.HARD, "soft_bounce": Effect.SOFT}),
    "Postmark": _look_up("Type", {"HardBounce": Effect.HARD, "SoftBounce": Effect.SOFT}),
    "SendGrid": _look_up("type", {"bounce": Effect.HARD, "blocked": Effect.BLOCK, "expired": Effect.SOFT}),
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
    for report in read_reports(event.message.as_bytes()):
        record_named(report)


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
    judge, raw = JUDGES.get(esp_name), event.esp_event
    if judge and isinstance(raw, Mapping) and (effect := judge(raw)):
        return effect
    if event.reject_reason in EFFECTS_BY_REASON:
        return EFFECTS_BY_REASON[event.reject_reason]
    if reply is not None:
        return judge_reply(reply) or Effect.NONE
    return Effect.HARD if event.reject_reason == "bounced" else Effect.NONE
