"""The texts of rules. Answers carry rules as data; the log and explanations show them as text."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from notifications.outcomes import Rule, RuleKind

RULE_TEXTS: Mapping[RuleKind, str] = {
    RuleKind.TEXT: "{text}",
    RuleKind.NOT_MEMBER: _("MEMBERS_OF does not name this user"),
    RuleKind.NO_ADDRESS: _("no {kind} address"),
    RuleKind.SUPPRESSED: _("this {kind} address is suppressed"),
    RuleKind.DEFAULT_ON: _("{owner}: on"),
    RuleKind.CHANNEL_ON: _("{owner}: channel {channel} is on"),
    RuleKind.CHANNEL_OFF: _("{owner}: channel {channel} is off"),
    RuleKind.EVENT_ON: _("{owner}: event {name} by {channel} is on"),
    RuleKind.EVENT_OFF: _("{owner}: event {name} by {channel} is off"),
    RuleKind.CATEGORY_ON: _("{owner}: category {name} by {channel} is on"),
    RuleKind.CATEGORY_OFF: _("{owner}: category {name} by {channel} is off"),
    RuleKind.MUTED: _("{owner}: muted {kind} {value} for ever"),
    RuleKind.MUTED_UNTIL: _("{owner}: muted {kind} {value} until {until:%Y-%m-%d %H:%M %Z}"),
    RuleKind.DUPLICATE: _(
        "{owner}: the same as notification {notification_id} of {at:%Y-%m-%d %H:%M:%S} UTC, within the window of "
        "{seconds:g} seconds"
    ),
    RuleKind.COVERED: _("the recipient gets it on the channel {channel}"),
    RuleKind.PREFERRED: _("{owner}: the channel {channel} comes first"),
    RuleKind.PASSED_OVER: _("{owner}: the channel {channel} cannot reach the recipient now"),
    RuleKind.READ: _("the recipient has read it on the channel {channel}"),
    RuleKind.ACKNOWLEDGED: _("the recipient has acknowledged it"),
    RuleKind.QUIET_HOURS: _("quiet hours of this {owner}: {hours} {zone}"),
    RuleKind.DELIVERY_WINDOWS: _("delivery windows of this {owner} for {channel}: {hours} {zone}"),
    RuleKind.DIGEST: _("{interval} digest of this {owner}: {time} {zone}"),
    RuleKind.BATCH: _("{owner}: batch window of {seconds:g} seconds"),
    RuleKind.SEND_AT: _("send_at is in the future"),
    RuleKind.EXPIRES_AT: _("it expires at {time}, before it can be sent"),
    RuleKind.CANCELLED: _("it was cancelled at {time}"),
    RuleKind.LIMIT: _("limit: {limit} {rate}"),
    RuleKind.EMPTY_DIGEST: _("no item is left"),
    RuleKind.NOT_CONFIGURED: _("the channel {channel} is not configured"),
    RuleKind.SWITCHED_OFF: _("NOTIFICATIONS['ENABLED'] is False"),
    RuleKind.QUEUE_FULL: _("as many deliveries are waiting as QUEUE_LIMIT or CLUSTER_QUEUE_LIMIT allows"),
    RuleKind.KEY_USED: _(
        "the idempotency key was used before, for notification {notification_id}; nothing is queued again"
    ),
    RuleKind.KEY_CONFLICT: _(
        "the idempotency key was used before, for notification {notification_id} with another content; send() would "
        "raise IdempotencyConflict"
    ),
}
WORDS = frozenset(
    {
        *(_("user"), _("cluster"), _("site"), _("event"), _("call"), _("actor"), _("system")),
        *(_("email"), _("phone"), _("push"), _("topic"), _("sender"), _("daily"), _("weekly")),
    }
)
"""Words that a rule contains as its owner or in its details. Names and other values are not among them."""
WORD_DETAILS = ("kind", "interval")
ROLE, ROLE_TEXT = "role ", _("role {name}")
JOINTS: Mapping[RuleKind, str] = {
    RuleKind.EACH_OF: _(", and "),
    RuleKind.TOGETHER: _(", and at the same time "),
}


def describe_rule(rule: Rule | None) -> str:
    """Return a rule as text in the active language; empty without a rule."""
    return _text_of(rule, gettext) if rule else ""


def log_text(rule: Rule | None) -> str:
    """Return a rule as the log keeps it, in English; empty without a rule."""
    return _text_of(rule, str) if rule else ""


def join_rules(kind: RuleKind, rules: tuple[Rule, ...]) -> Rule:
    """Return one rule for several.

    :param kind: ``EACH_OF`` or ``TOGETHER``.
    """
    return rules[0] if len(rules) == 1 else Rule(kind, detail={"rules": rules})


def parts_of(rule: Rule | None) -> tuple[Rule, ...]:
    """Return the rules that a rule consists of: itself, unless it joins several."""
    if rule is None:
        return ()
    parts: tuple[Rule, ...] = rule.detail["rules"] if rule.kind in JOINTS else (rule,)
    return parts


def _text_of(rule: Rule, translate: Callable[[str], str]) -> str:
    if rule.kind in JOINTS:
        return translate(JOINTS[rule.kind]).join(_text_of(part, translate) for part in parts_of(rule))
    words = {name: _word_of(rule.detail[name], translate) for name in WORD_DETAILS if name in rule.detail}
    owner = _word_of(rule.owner, translate)
    return translate(RULE_TEXTS[rule.kind]).format(owner=owner, until=rule.until, **{**rule.detail, **words})


def _word_of(word: Any, translate: Callable[[str], str]) -> Any:
    if isinstance(word, str) and word.startswith(ROLE):
        return translate(ROLE_TEXT).format(name=word.removeprefix(ROLE))
    return translate(word) if word in WORDS else word
