"""Why a recipient gets an email, for its footer: the rule that lets it through, in words for the recipient.

The rule is the one that ``explain()`` and ``why()`` name for the gate ``preferences``.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from notifications.core.languages import find_own_language
from notifications.events import NotificationEvent
from notifications.mail import get_theme
from notifications.mail.footer import LazyText
from notifications.models import Cluster, Delivery
from notifications.models.cluster import DEFAULT_SLUG
from notifications.models.preferences import resolve_preference
from notifications.outcomes import RuleKind
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
MEMBER_ONLY = _("You get this because you are a member of {cluster}.")
ACCOUNT_ONLY = _("You get this because you have an account at {site}.")
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
    return {"reason": LazyText(partial(describe_receipt, delivery, event, person))}


def describe_receipt(delivery: Delivery, event: NotificationEvent, person: Person, language: str) -> str:
    """Return why a person gets a delivery, for a reader of a language that must be active."""
    own = find_own_language(language)
    if own == language:
        return _describe_receipt(delivery, event, person, language)
    with translation.override(own):
        return _describe_receipt(delivery, event, person, own)


def _describe_receipt(delivery: Delivery, event: NotificationEvent, person: Person, language: str) -> str:
    if person.has_no_account:
        return gettext(TO_ADDRESS)
    if event.bypasses_preferences:
        return gettext(MANDATORY if event.mandatory else CRITICAL)
    notification = delivery.notification
    kind = notification.digest_kind
    if kind in DIGESTS and person.settings is not None and person.settings.digest == kind:
        return gettext(DIGESTS[kind])
    is_wanted, rule = resolve_preference(get_choices(person), event.name, event.category, delivery.channel)
    cluster = notification.cluster
    # The name of the default cluster says nothing to users.
    site = (get_theme(cluster, event.name).name or gettext("this site")) if _is_whole_site(cluster) else ""
    if not is_wanted:
        return gettext(ACCOUNT_ONLY if site else MEMBER_ONLY).format(site=site, cluster=cluster)
    names = event.words, event.category, str(cluster), site
    return _describe_rule(rule.kind, rule.owner, delivery.channel, names, language)


# All recipients of a notification have the same few reasons.
@lru_cache(maxsize=1000)
def _describe_rule(
    kind: RuleKind, owner: str, channel: str, names_for_users: tuple[str, str, str, str], language: str
) -> str:
    """Return the words for a rule.

    :param names_for_users: the names of the event, its category, the cluster, and the site if the cluster is the whole
        site.
    :param language: the active language, for the cache.
    """
    role = owner.removeprefix(ROLE_PREFIX)
    names = dict(zip(("event", "category", "cluster", "site"), names_for_users, strict=True)) | {"role": role}
    names["channel"] = gettext(CHANNELS[channel]) if channel in CHANNELS else channel
    if owner == "user" and kind in OWN_CHOICES:
        return gettext(OWN_CHOICES[kind]).format(**names)
    if kind in OWN_CHOICES:
        return gettext(SHARED_CHOICES[role != owner]).format(**names)
    return gettext(ACCOUNT if names["site"] else MEMBER).format(**names)


def _is_whole_site(cluster: Any) -> bool:
    """Return whether it is the default cluster, whose name says nothing to users."""
    return isinstance(cluster, Cluster) and cluster.slug == DEFAULT_SLUG
