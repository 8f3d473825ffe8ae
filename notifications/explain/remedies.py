"""Remedies: a sentence for each reason that says what would have to change, so that a delivery is sent, or earlier."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from notifications import conf
from notifications.conf.limits import LIMIT_KEYS
from notifications.core.rules import parts_of
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.outcomes import Reason, Rule, RuleKind
from notifications.sending.gates.facts import get_address_field
from notifications.sending.permission import get_required_permission

RESEND = _("a user with the permission klaxon.retry_delivery can resend it")
IF_CRITICAL = _("the event would have to be declared CRITICAL")


class Subject(NamedTuple):
    """The event, the channel and the recipient that a remedy is about."""

    event_name: str
    channel: str = ""
    recipient_key: str = ""

    @property
    def event(self) -> NotificationEvent | None:
        return NOTIFICATION_EVENTS.named(self.event_name)

    @property
    def kind(self) -> str | None:
        """The kind of address that the channel sends to; None if the channel is not configured."""
        try:
            return conf.get_address_kind(self.channel)
        except LookupError:
            return None

    def format(self, text: str, **values: object) -> str:
        """Return a text in the active language, with these values and those that many remedies contain."""
        common = {"event": self.event_name, "channel": self.channel, "kind": self.kind or ""}
        return gettext(text).format(**common, resend=gettext(RESEND), critical=gettext(IF_CRITICAL), **values)


def describe_remedy(reason: str, subject: Subject, rule: Rule | None = None) -> str:
    """Return what would have to change, as sentences; empty if nothing has to.

    :param rule: the rule that decided; None if it is not known.
    """
    if reason in WAITS:
        return _describe_waits(reason, subject, rule)
    remedy = REMEDIES[Reason(reason)] if reason in Reason.values else ""
    return remedy(subject, rule) if callable(remedy) else remedy and subject.format(remedy)


def _describe_address(subject: Subject, rule: Rule | None) -> str:
    if subject.recipient_key.startswith("a:"):
        if subject.event and subject.event.sensitive:
            sentence = _("{event} is sensitive, so only accounts can read it: the call would have to name a user.")
        elif subject.kind == "user":
            sentence = _("The channel {channel} sends only to accounts: the call would have to name a user.")
        else:
            sentence = _("The call would have to name this address too: Address({kind}=…).")
        return subject.format(sentence)
    field = get_address_field(get_user_model(), subject.kind or "")
    own = _("the field {field} of the account") if field else _("a field that ADDRESS_FIELDS names for {kind}")
    sentence = _("The address would have to be in {place} or, for {channel} only, in the user's settings.")
    return subject.format(sentence, place=subject.format(own, field=field))


def _describe_preference(subject: Subject, rule: Rule | None) -> str:
    if rule is None or not rule.owner:
        return subject.format(_("The preference would have to allow it, or {critical}."))
    if rule.owner == "user":
        return subject.format(_("The user would have to turn it on, or {critical}."))
    sentence = _("The {owner} would have to turn it on, or the user for themselves, or {critical}.")
    return subject.format(sentence, owner=rule.owner)


def _describe_duplicate(subject: Subject, rule: Rule | None) -> str:
    if rule and rule.kind is RuleKind.KEY_USED:
        return subject.format(_("The call would have to pass another idempotency key."))
    if rule and rule.kind is RuleKind.KEY_CONFLICT:
        return subject.format(_("The call would have to pass another idempotency key, or the same content."))
    window = _("the event's deduplication window")
    if keys := ", ".join(subject.event.dedup_keys if subject.event else ()):
        window = _("the event's deduplication window, or with other values of {keys}")
    sentence = _("It would have to be sent after {window}, or the first notification would have to fail.")
    return subject.format(sentence, window=subject.format(window, keys=keys))


def _describe_limits(subject: Subject, rule: Rule | None) -> str:
    settings, event = conf.current(), subject.event
    limits = {f"LIMITS['{name}']": settings.limit(name, subject.channel) for name in LIMIT_KEYS}
    if event and event.limit:
        limits |= {"LIMITS['user_event']": None, gettext("the limit of the event"): event.limit}
    if event and event.priority == NotificationPriority.CRITICAL:
        limits = {"CRITICAL_LIMIT": settings.critical_limit}
    names = ", ".join(f"{name} {rate}" for name, rate in limits.items() if rate)
    sentence = _("Fewer notifications would have to be sent, or a limit would have to be higher.")
    if names:
        sentence = _("Fewer notifications would have to be sent, or a limit would have to be higher: {limits}.")
    return subject.format(sentence, limits=names)


def _describe_permission(subject: Subject, rule: Rule | None) -> str:
    permission = get_required_permission(subject.event) if subject.event else ""
    sentence = _("The actor would have to have the permission {name}, or the call would have to name another actor.")
    return subject.format(sentence, name=permission)


def _describe_waits(reason: str, subject: Subject, rule: Rule | None) -> str:
    """Return the remedies for all rules of which each would change the time, or all together would."""
    parts = [part for part in parts_of(rule) if part.kind in WAIT_REMEDIES]
    clauses = []
    for part in parts or [Rule(WAITS[reason], "user")]:
        is_hours, is_sites = part.kind in HOURS, part.owner == "site"
        clause = subject.format(SITE_HOURS if is_hours and is_sites else WAIT_REMEDIES[part.kind])
        # A digest keeps the hours regardless of the events in it.
        if is_hours and reason != Reason.DIGEST:
            exempt = _("{clause}, or the event would have to declare ignores_quiet_hours")
            clause = subject.format(exempt, clause=clause)
        clauses.append(clause)
    joint = _(". In addition, ") if rule and rule.kind is RuleKind.TOGETHER else _(". Alternatively, ")
    return f"{capfirst(gettext(joint).join(clauses))}."


WAITS: Mapping[str, RuleKind] = {
    Reason.DIGEST: RuleKind.DIGEST,
    Reason.BATCH: RuleKind.BATCH,
    Reason.QUIET_HOURS: RuleKind.QUIET_HOURS,
    Reason.DELIVERY_WINDOW: RuleKind.DELIVERY_WINDOWS,
}
"""The kind of rule that makes a delivery wait, by the reason of the hold."""
HOURS = (RuleKind.QUIET_HOURS, RuleKind.DELIVERY_WINDOWS)
SITE_HOURS = _("the setting QUIET_HOURS would have to change, or the user would have to choose other quiet hours")
WAIT_REMEDIES = {
    RuleKind.DIGEST: _(
        "the user would have to turn off the digest, the event would have to declare digest=False, or the call would "
        "have to be CRITICAL"
    ),
    RuleKind.BATCH: _("the event would have to declare no batch_window, or the call would have to be CRITICAL"),
    RuleKind.QUIET_HOURS: _("the user would have to choose other quiet hours"),
    RuleKind.DELIVERY_WINDOWS: _("the user would have to choose another delivery window for {channel}"),
}
REMEDIES: Mapping[Reason, str | Callable[[Subject, Rule | None], str]] = {
    Reason.UNKNOWN_USER: _("An account with this key would have to exist."),
    Reason.INACTIVE: _("The account would have to be made active."),
    Reason.NOT_MEMBER: _("The user would have to become a member of the cluster, as MEMBERS_OF defines it."),
    Reason.NO_ADDRESS: _describe_address,
    Reason.INVALID_ADDRESS: _("The {kind} address would have to be corrected."),
    Reason.ACCOUNT_ADDRESS: _("The {kind} address in the settings would have to be corrected."),
    Reason.SUPPRESSED: _(
        "Somebody would have to lift the suppression once the address works, or another address would have to be used."
    ),
    Reason.PREFERENCE: _describe_preference,
    Reason.MUTED: _("The user would have to lift the mute, or {critical}."),
    Reason.DUPLICATE: _describe_duplicate,
    Reason.COVERED: _("The call would have to leave out the channel that covers {channel}."),
    Reason.PREFERRED: _(
        "The channels before it would have to fail, or the event would have to declare a shorter wait, or no prefer."
    ),
    Reason.PASSED_OVER: _(
        "The recipient would have to open a page with a live stream, or the channel would have to work and not be "
        "paused, when the notification is sent."
    ),
    Reason.READ: _("The event would have to declare no prefer; then all channels are used at once."),
    Reason.NOT_CONFIGURED: _(
        "The channel {channel} would have to be listed in NOTIFICATIONS['CHANNELS'], with its ENABLED not set to False."
    ),
    Reason.NOT_PERMITTED: _describe_permission,
    Reason.SWITCHED_OFF: _("NOTIFICATIONS['ENABLED'] would have to be True; then a new call would have to send it."),
    Reason.QUEUE_FULL: _(
        "Workers would have to deliver some of the queue, QUEUE_LIMIT or CLUSTER_QUEUE_LIMIT would have to be higher, "
        "or {critical}."
    ),
    Reason.SHED: _(
        "A new call would have to send it when there is room, or it would have to be more urgent than the delivery "
        "that took its place."
    ),
    Reason.OVER_LIMIT: _describe_limits,
    Reason.SCHEDULED: _("The call would have to name an earlier send_at, or none."),
    Reason.EXPIRED: _("The call would have to name a later expires_at, or none."),
    Reason.CANCELLED: _("A new call would have to send it; a cancelled delivery is never sent."),
    Reason.UNKNOWN_EVENT: _("The event {event} would have to be registered again; then {resend}."),
    Reason.RENDERING: _("The template, the transform or the context would have to be corrected; then {resend}."),
    Reason.TEMPORARY: _("The provider would have to work again. If the retries are used up, {resend}."),
    Reason.UNREACHABLE: _("This site would have to reach the provider again. If the retries are used up, {resend}."),
    Reason.PERMANENT: _("The address or the message would have to be one that the provider accepts; then {resend}."),
    Reason.CONFIGURATION: _(
        "The provider's settings would have to be corrected. If the retries are used up, {resend}."
    ),
    Reason.LOST_CONTACT: _("It may have arrived. If that cannot be found out, {resend}; it could then arrive twice."),
    Reason.STRIKES: _("Somebody would have to find out why its workers stopped; then {resend}."),
    **dict.fromkeys((Reason.WORKER_LOST, Reason.FAILED_OVER, Reason.BROKEN_OFF, Reason.ON_TRIAL), ""),
    **dict.fromkeys((Reason.FALLBACK, Reason.RETRIED), ""),
}
