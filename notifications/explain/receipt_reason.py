"""Why a recipient gets an email, for its footer: the rule that lets it through, in words for the recipient.

The rule is the one that ``explain()`` and ``why()`` name for the gate ``preferences``.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from notifications.events import NotificationEvent
from notifications.mail import get_theme
from notifications.models import Cluster, Delivery
from notifications.models.cluster import DEFAULT_SLUG
from notifications.models.preferences import resolve_preference
from notifications.outcomes import Rule, RuleKind
from notifications.sending.gates import Person, get_choices

TO_ADDRESS = _("You get this because it was sent to this address.")
MANDATORY = _("You get this because notifications of this kind are always sent.")
CRITICAL = _("You get this because critical notifications are always sent.")
DIGESTS = {
    "daily": _("You get this because you have chosen a daily digest."),
    "weekly": _("You get this because you have chosen a weekly digest."),
}
MEMBER = _("You get this because you are a member of {cluster} and have not turned off “{event}”.")
ACCOUNT = _("You get this because you have an account at {site} and have not turned off “{event}”.")
OWN_CHOICES: Mapping[RuleKind, str] = {
    RuleKind.EVENT_ON: _("You get this because you have turned on “{event}”."),
    RuleKind.CATEGORY_ON: _("You get this because you have turned on the category “{category}”."),
    RuleKind.CHANNEL_ON: _("You get this because you have turned on notifications by {channel}."),
}
SHARED_CHOICES: Mapping[bool, str] = {
    True: _("You get this because “{event}” is on for your role {role}."),
    False: _("You get this because “{event}” is on for everybody in {cluster}."),
}
ROLE_PREFIX = "role "
CHANNELS = {"email": _("email")}


def get_footer_fields(delivery: Delivery, event: NotificationEvent, person: Person) -> dict[str, Any]:
    """Return the reason for the footer of an email. It uses no query.

    The reason is described when the footer is shown, because an HTML page of the host may not show it.
    """
    return {"reason": SimpleLazyObject(partial(describe_receipt, delivery, event, person))}


def describe_receipt(delivery: Delivery, event: NotificationEvent, person: Person) -> str:
    """Return why a person gets a delivery, in the active language; empty if they have turned it off."""
    if person.has_no_account:
        return gettext(TO_ADDRESS)
    if event.bypasses_preferences:
        return gettext(MANDATORY if event.mandatory else CRITICAL)
    kind = delivery.notification.digest_kind
    if kind in DIGESTS and person.settings is not None and person.settings.digest == kind:
        return gettext(DIGESTS[kind])
    is_wanted, rule = resolve_preference(get_choices(person), event.name, event.category, delivery.channel)
    return _describe_rule(rule, delivery, event) if is_wanted else ""


def _describe_rule(rule: Rule, delivery: Delivery, event: NotificationEvent) -> str:
    cluster, role = delivery.notification.cluster, rule.owner.removeprefix(ROLE_PREFIX)
    channel = gettext(CHANNELS[delivery.channel]) if delivery.channel in CHANNELS else delivery.channel
    names = {"event": event.words, "category": event.category, "channel": channel, "cluster": cluster, "role": role}
    if rule.owner == "user" and rule.kind in OWN_CHOICES:
        return gettext(OWN_CHOICES[rule.kind]).format(**names)
    if rule.kind in OWN_CHOICES:
        return gettext(SHARED_CHOICES[role != rule.owner]).format(**names)
    if not _is_whole_site(cluster):
        return gettext(MEMBER).format(**names)
    site = get_theme(cluster, event.name).name or gettext("this site")
    return gettext(ACCOUNT).format(**names, site=site)


def _is_whole_site(cluster: Any) -> bool:
    """Return whether it is the default cluster, whose name says nothing to users."""
    return isinstance(cluster, Cluster) and cluster.slug == DEFAULT_SLUG
