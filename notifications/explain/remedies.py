"""What would have to change: a sentence for each reason that something was held, dropped or refused for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from django.contrib.auth import get_user_model

from notifications import conf
from notifications.core.channel_classes import get_address_kind
from notifications.core.rules import log_text, parts_of
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Reason, Rule, RuleKind
from notifications.sending.gates import Person
from notifications.sending.gates.preferences import get_choices
from notifications.sending.permission import get_required_permission

AGAIN = "somebody with the permission klaxon.retry_delivery can send it again"


@dataclass(frozen=True)
class About:
    """What a sentence is about.

    :param kind: the kind of address that the channel sends to; empty if it sends to none, or is not known.
    :param rule: the rule that decided; None if it is not known.
    :param reason: what it was held, dropped or refused for.
    """

    event: str
    channel: str
    kind: str = ""
    has_account: bool = True
    rule: Rule | None = None
    reason: str = ""


def about_row(row: Delivery | NotificationLog, channel: str, event: str, rule: Rule | None) -> About:
    """What a sentence is about that comes from a row of the tables."""
    return About(event, channel, kind_of(channel) or "", not row.recipient_key.startswith("a:"), rule)


def choice_behind(text: str, person: Person, event_name: str, channel: str) -> Rule | None:
    """Return the preference that a text of the log describes; None if it has been changed since."""
    event = NOTIFICATION_EVENTS.named(event_name)
    category = event.category if event else ""
    opinions = (level.opinion(event_name, category, channel) for level in get_choices(person))
    return next((rule for _wanted, rule in filter(None, opinions) if log_text(rule) == text), None)


def kind_of(channel: str) -> str | None:
    """The kind of address that a channel sends to; None where the site no longer has it."""
    try:
        return get_address_kind(channel)
    except LookupError:
        return None


def change_for(reason: str, about: About) -> str:
    """A sentence; empty where nothing has to change."""
    told = CHANGES[Reason(reason)] if reason in Reason.values else ""
    return told(replace(about, reason=reason)) if callable(told) else told.format(about=about)


def _no_address(about: About) -> str:
    if not about.has_account and about.kind == "user":
        return f"Only an account can be reached by {about.channel}: the call would have to name the user."
    if not about.has_account:
        return f"The call would have to name it as well: Address({about.kind}=…)."
    return f"It would have to stand in {_field(about.kind)} or, for {about.channel} alone, in the user's settings."


def _field(kind: str) -> str:
    name = conf.current().address_fields.get(kind)
    if name is None and kind == "email":
        name = get_user_model().get_email_field_name()
    return f"the field {name} of the account" if name else f"the field that ADDRESS_FIELDS would name for {kind}"


def _preference(about: About) -> str:
    whose = about.rule.owner if about.rule else ""
    if not whose:
        return "This preference would have to be changed, or the event would have to be declared CRITICAL."
    if whose == "user":
        return "The user would have to turn it on, or the event would have to be declared CRITICAL."
    return (
        f"The {whose} would have to turn it on, or the user choose it for themselves, or the event would have to be "
        "declared CRITICAL."
    )


def _duplicate(about: About) -> str:
    event = NOTIFICATION_EVENTS.named(about.event)
    keys = ", ".join(event.dedup_keys) if event else ""
    values = f", or with other values of {keys}" if keys else ""
    return (
        f"It would have to be sent after the window of the event{values}; or nothing would have to come of the first."
    )


HOURS = {
    Reason.DIGEST: Rule(RuleKind.DIGEST, "user"),
    Reason.BATCH: Rule(RuleKind.BATCH, "event"),
    Reason.QUIET_HOURS: Rule(RuleKind.QUIET_HOURS, "user"),
    Reason.DELIVERY_WINDOW: Rule(RuleKind.DELIVERY_WINDOWS, "user"),
}
"""The rules that a delivery waits for if its rule is not known."""


def _hours(about: About) -> str:
    rules = parts_of(about.rule) or (HOURS[Reason(about.reason)],)
    first, *others = [_other_hours(rule, about) for rule in rules]
    joint = " And " if about.rule and about.rule.kind is RuleKind.TOGETHER else " Or "
    return joint.join([first, *map(_in_the_midst, others)])


def _other_hours(rule: Rule, about: About) -> str:
    # A digest keeps the hours whatever is in it.
    exempt = "" if about.reason == Reason.DIGEST else ", or the event would have to declare ignores_quiet_hours"
    if rule.kind is RuleKind.DIGEST:
        return (
            "The user would have to want no digest, the event would have to declare digest=False, or the call to be "
            "CRITICAL."
        )
    if rule.kind is RuleKind.BATCH:
        return "The event would have to declare no batch_window, or the call to be CRITICAL."
    if rule.kind is RuleKind.DELIVERY_WINDOWS:
        return f"The user would have to open another window for {about.channel}{exempt}."
    of_site = rule.owner == "site"
    whose = "QUIET_HOURS of the settings would have to be others, or the user" if of_site else "The user"
    return f"{whose} would have to choose other quiet hours{exempt}."


def _in_the_midst(sentence: str) -> str:
    return sentence if sentence[:2].isupper() else sentence[0].lower() + sentence[1:]


def _over_limit(about: About) -> str:
    limits = conf.current()
    event = NOTIFICATION_EVENTS.named(about.event)
    own = event.limit if event else None
    named = {
        "LIMITS['user']": limits.limit("user"),
        "the limit of the event": own,
        "LIMITS['user_event']": "" if own else limits.limit("user_event"),
        "LIMITS['user_channel']": limits.limit("user_channel", about.channel),
        "LIMITS['cluster']": limits.limit("cluster"),
        "LIMITS['global']": limits.limit("global"),
    }
    if event and event.bypasses_preferences:
        named = {"CRITICAL_LIMIT": limits.critical_limit}
    told = ", ".join(f"{name} {rate}" for name, rate in named.items() if rate)
    return f"There would have to be fewer of it, or one of its limits would have to be higher{told and f': {told}'}."


def _not_permitted(about: About) -> str:
    event = NOTIFICATION_EVENTS.named(about.event)
    permission = get_required_permission(event) if event else ""
    return f"The actor would have to have the permission {permission}, or another would have to be named."


CHANGES: Mapping[Reason, str | Callable[[About], str]] = {
    Reason.UNKNOWN_USER: "There would have to be an account with this key.",
    Reason.INACTIVE: "The account would have to be made active.",
    Reason.NOT_MEMBER: "The user would have to become a member of the cluster, as MEMBERS_OF defines it.",
    Reason.NO_ADDRESS: _no_address,
    Reason.INVALID_ADDRESS: "The {about.kind} address would have to be corrected.",
    Reason.ACCOUNT_ADDRESS: "The {about.kind} address in the settings would have to be corrected.",
    Reason.SUPPRESSED: "Somebody would have to delete the suppression, once the address works, or it would have to be "
    "another address.",
    Reason.PREFERENCE: _preference,
    Reason.MUTED: "The user would have to lift the mute, or the event would have to be declared CRITICAL.",
    Reason.DUPLICATE: _duplicate,
    Reason.NOT_CONFIGURED: "The channel {about.channel} would have to stand in NOTIFICATIONS['CHANNELS'], with its "
    "ENABLED not set to False.",
    Reason.NOT_PERMITTED: _not_permitted,
    Reason.SWITCHED_OFF: "NOTIFICATIONS['ENABLED'] would have to be True; then it would have to be sent by a new call.",
    Reason.QUEUE_FULL: "Workers would have to deliver what waits, or QUEUE_LIMIT or CLUSTER_QUEUE_LIMIT would have to "
    "be higher, or the event would have to be declared CRITICAL.",
    Reason.SHED: "It would have to be sent by a new call, when there is room, or be more urgent than what took its "
    "place.",
    Reason.OVER_LIMIT: _over_limit,
    **dict.fromkeys((Reason.QUIET_HOURS, Reason.DELIVERY_WINDOW, Reason.BATCH, Reason.DIGEST), _hours),
    Reason.SCHEDULED: "The call would have to name an earlier send_at, or none.",
    Reason.EXPIRED: "The call would have to name a later expires_at, or none.",
    Reason.CANCELLED: "It would have to be sent by a new call; what was cancelled is not taken up again.",
    Reason.UNKNOWN_EVENT: f"The event {{about.event}} would have to be registered again; then {AGAIN}.",
    Reason.RENDERING: f"The template, the transform or the context would have to be mended; then {AGAIN}.",
    Reason.TEMPORARY: f"The provider would have to work again. If the tries are used up, {AGAIN}.",
    Reason.UNREACHABLE: f"This site would have to reach the provider again. If the tries are used up, {AGAIN}.",
    Reason.PERMANENT: f"The address or the message would have to be one that the provider takes; then {AGAIN}.",
    Reason.CONFIGURATION: f"The provider's settings would have to be put right. If the tries are used up, {AGAIN}.",
    Reason.LOST_CONTACT: f"It may have arrived. If that is not known otherwise, {AGAIN}; it could then arrive twice.",
    Reason.WORKER_LOST: "",
    Reason.FAILED_OVER: "",
    Reason.BROKEN_OFF: "",
    Reason.ON_TRIAL: "",
    Reason.STRIKES: f"Somebody would have to find out why its workers stopped; then {AGAIN}.",
    Reason.FALLBACK: "",
    Reason.RETRIED: "",
}
