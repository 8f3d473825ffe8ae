"""Remedies: a sentence for each reason that says what would have to change, so that a delivery is sent, or earlier."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from django.contrib.auth import get_user_model

from notifications import conf
from notifications.conf import get_address_kind
from notifications.core.rules import log_text, parts_of
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.outcomes import Reason, Rule, RuleKind
from notifications.sending.gates import Person, get_choices
from notifications.sending.permission import get_required_permission

RESEND = "a user with the permission klaxon.retry_delivery can resend it"
IF_CRITICAL = "the event would have to be declared CRITICAL"


@dataclass(frozen=True)
class Subject:
    """The event, the channel and the recipient that a remedy is about."""

    event_name: str
    channel: str = ""
    recipient_key: str = ""

    @property
    def event(self) -> NotificationEvent | None:
        return NOTIFICATION_EVENTS.named(self.event_name)

    @property
    def kind(self) -> str:
        """The kind of address that the channel sends to; empty if it sends to none or is not configured."""
        return find_address_kind(self.channel) or ""

    @property
    def is_address(self) -> bool:
        return self.recipient_key.startswith("a:")


def find_address_kind(channel: str) -> str | None:
    """Return the kind of address that a channel sends to; None if the channel is not configured."""
    try:
        return get_address_kind(channel)
    except LookupError:
        return None


def find_preference(text: str, person: Person, event_name: str, channel: str) -> Rule | None:
    """Return the preference that a text of the log describes; None if it has changed since."""
    event = NOTIFICATION_EVENTS.named(event_name)
    category = event.category if event else ""
    found = (choices.find_choice(event_name, category, channel) for choices in get_choices(person))
    return next((rule for _wanted, rule in filter(None, found) if log_text(rule) == text), None)


def describe_remedy(reason: str, subject: Subject, rule: Rule | None = None) -> str:
    """Return what would have to change, as a sentence; empty if nothing has to.

    :param rule: the rule that decided; None if it is not known.
    """
    remedy = REMEDIES[Reason(reason)] if reason in Reason.values else ""
    return remedy(subject, rule) if callable(remedy) else remedy.format(subject=subject)


def _describe_address(subject: Subject, rule: Rule | None) -> str:
    if subject.is_address and subject.kind == "user":
        return f"The channel {subject.channel} sends only to accounts: the call would have to name a user."
    if subject.is_address:
        return f"The call would have to name this address too: Address({subject.kind}=…)."
    field = conf.current().address_fields.get(subject.kind)
    if field is None and subject.kind == "email":
        field = get_user_model().get_email_field_name()
    place = f"the field {field} of the account" if field else f"a field that ADDRESS_FIELDS names for {subject.kind}"
    return f"The address would have to be in {place} or, for {subject.channel} only, in the user's settings."


def _describe_preference(subject: Subject, rule: Rule | None) -> str:
    if rule is None:
        return f"The preference would have to allow it, or {IF_CRITICAL}."
    if rule.owner == "user":
        return f"The user would have to turn it on, or {IF_CRITICAL}."
    return f"The {rule.owner} would have to turn it on, or the user for themselves, or {IF_CRITICAL}."


def _describe_duplicate(subject: Subject, rule: Rule | None) -> str:
    keys = ", ".join(subject.event.dedup_keys) if subject.event else ""
    values = f", or with other values of {keys}" if keys else ""
    return (
        f"It would have to be sent after the event's deduplication window{values}, or the first notification would "
        "have to fail."
    )


DEFAULT_RULES = {
    Reason.DIGEST: Rule(RuleKind.DIGEST, "user"),
    Reason.BATCH: Rule(RuleKind.BATCH, "event"),
    Reason.QUIET_HOURS: Rule(RuleKind.QUIET_HOURS, "user"),
    Reason.DELIVERY_WINDOW: Rule(RuleKind.DELIVERY_WINDOWS, "user"),
}
"""The rules that make a delivery wait, if the rule itself is not known."""


def _describe_hours(reason: Reason, subject: Subject, rule: Rule | None) -> str:
    """Return the remedies for all rules of which each would change the time, or all together would."""
    joint = " In addition, " if rule and rule.kind is RuleKind.TOGETHER else " Alternatively, "
    rules = parts_of(rule) or (DEFAULT_RULES[reason],)
    return joint.join(_describe_wait(reason, subject, part, is_first=part is rules[0]) for part in rules)


def _describe_wait(reason: Reason, subject: Subject, rule: Rule, is_first: bool) -> str:
    who = "The" if is_first else "the"
    if rule.kind is RuleKind.DIGEST:
        return (
            f"{who} user would have to turn off the digest, the event would have to declare digest=False, or the call "
            "would have to be CRITICAL."
        )
    if rule.kind is RuleKind.BATCH:
        return f"{who} event would have to declare no batch_window, or the call would have to be CRITICAL."
    # A digest keeps the hours regardless of the events in it.
    exempt = "" if reason is Reason.DIGEST else ", or the event would have to declare ignores_quiet_hours"
    if rule.kind is RuleKind.DELIVERY_WINDOWS:
        return f"{who} user would have to choose another delivery window for {subject.channel}{exempt}."
    site = f"{who} setting QUIET_HOURS would have to change, or the user" if rule.owner == "site" else f"{who} user"
    return f"{site} would have to choose other quiet hours{exempt}."


def _describe_limits(subject: Subject, rule: Rule | None) -> str:
    settings, event = conf.current(), subject.event
    own = event.limit if event else None
    limits = {
        "LIMITS['user']": settings.limit("user"),
        "the limit of the event": own,
        "LIMITS['user_event']": "" if own else settings.limit("user_event"),
        "LIMITS['user_channel']": settings.limit("user_channel", subject.channel),
        "LIMITS['cluster']": settings.limit("cluster"),
        "LIMITS['global']": settings.limit("global"),
    }
    if event and event.bypasses_preferences:
        limits = {"CRITICAL_LIMIT": settings.critical_limit}
    names = ", ".join(f"{name} {rate}" for name, rate in limits.items() if rate)
    return f"Fewer notifications would have to be sent, or a limit would have to be higher{names and f': {names}'}."


def _describe_permission(subject: Subject, rule: Rule | None) -> str:
    permission = get_required_permission(subject.event) if subject.event else ""
    return f"The actor would have to have the permission {permission}, or the call would have to name another actor."


REMEDIES: Mapping[Reason, str | Callable[[Subject, Rule | None], str]] = {
    Reason.UNKNOWN_USER: "An account with this key would have to exist.",
    Reason.INACTIVE: "The account would have to be made active.",
    Reason.NOT_MEMBER: "The user would have to become a member of the cluster, as MEMBERS_OF defines it.",
    Reason.NO_ADDRESS: _describe_address,
    Reason.INVALID_ADDRESS: "The {subject.kind} address would have to be corrected.",
    Reason.ACCOUNT_ADDRESS: "The {subject.kind} address in the settings would have to be corrected.",
    Reason.SUPPRESSED: "Somebody would have to delete the suppression once the address works, or another address "
    "would have to be used.",
    Reason.PREFERENCE: _describe_preference,
    Reason.MUTED: f"The user would have to lift the mute, or {IF_CRITICAL}.",
    Reason.DUPLICATE: _describe_duplicate,
    Reason.NOT_CONFIGURED: "The channel {subject.channel} would have to be listed in NOTIFICATIONS['CHANNELS'], with "
    "its ENABLED not set to False.",
    Reason.NOT_PERMITTED: _describe_permission,
    Reason.SWITCHED_OFF: "NOTIFICATIONS['ENABLED'] would have to be True; then a new call would have to send it.",
    Reason.QUEUE_FULL: "Workers would have to deliver some of the queue, QUEUE_LIMIT or CLUSTER_QUEUE_LIMIT would "
    f"have to be higher, or {IF_CRITICAL}.",
    Reason.SHED: "A new call would have to send it when there is room, or it would have to be more urgent than the "
    "delivery that took its place.",
    Reason.OVER_LIMIT: _describe_limits,
    **{reason: partial(_describe_hours, reason) for reason in DEFAULT_RULES},
    Reason.SCHEDULED: "The call would have to name an earlier send_at, or none.",
    Reason.EXPIRED: "The call would have to name a later expires_at, or none.",
    Reason.CANCELLED: "A new call would have to send it; a cancelled delivery is never sent.",
    Reason.UNKNOWN_EVENT: f"The event {{subject.event_name}} would have to be registered again; then {RESEND}.",
    Reason.RENDERING: f"The template, the transform or the context would have to be corrected; then {RESEND}.",
    Reason.TEMPORARY: f"The provider would have to work again. If the retries are used up, {RESEND}.",
    Reason.UNREACHABLE: f"This site would have to reach the provider again. If the retries are used up, {RESEND}.",
    Reason.PERMANENT: f"The address or the message would have to be one that the provider accepts; then {RESEND}.",
    Reason.CONFIGURATION: f"The provider's settings would have to be corrected. If the retries are used up, {RESEND}.",
    Reason.LOST_CONTACT: f"It may have arrived. If that cannot be found out, {RESEND}; it could then arrive twice.",
    Reason.WORKER_LOST: "",
    Reason.FAILED_OVER: "",
    Reason.BROKEN_OFF: "",
    Reason.ON_TRIAL: "",
    Reason.STRIKES: f"Somebody would have to find out why its workers stopped; then {RESEND}.",
    Reason.FALLBACK: "",
    Reason.RETRIED: "",
}
