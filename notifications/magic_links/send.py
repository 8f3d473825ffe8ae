"""Make links and send them. A link leaves the process only in the email and, encrypted, in the context of its event."""

import hashlib
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.urls import NoReverseMatch, reverse

from notifications import conf
from notifications.core import clock
from notifications.core.encryption import check_encryption
from notifications.events import BuiltInEvents, NotificationChannel
from notifications.exceptions import InvalidOption, InvalidRecipient, MagicLinksUnavailable
from notifications.mail import get_theme
from notifications.manager import NotificationManager
from notifications.models import MagicLink, cluster_or_default
from notifications.outcomes import SendResult
from notifications.sending.request import validate_cluster

TOKEN_BYTES = 32
LINK_PAGE = "notifications:magic-link"
"""The name of the URL that a link leads to."""


def send_magic_link(user: Any, purpose: MagicLink.Purpose | str, cluster: Any = None) -> SendResult:
    """Send an email with a link that shows a page to a user once, within ``MAGIC_LINK_SECONDS``.

    It is queued in the caller's transaction, like every notification.

    :param purpose: what the link shows: ``"notification_status"`` or ``"settings_view"``.
    :param cluster: the cluster that the page is about; by default, the default cluster.
    :return: what ``send()`` returns, such as a drop with the reason ``not_member``.
    :raises MagicLinksUnavailable: if the site has not switched magic links on, or links could not work.
    :raises EncryptionUnavailable, MissingExtra: if the link cannot be encrypted, because ``ENCRYPTION_KEYS`` is empty
        or the extra is missing.
    :raises InvalidOption, InvalidRecipient, InvalidCluster: if there is no such purpose, user or cluster.
    """
    check_available()
    wanted = _find_purpose(purpose)
    if not isinstance(user, get_user_model()) or user.pk is None:
        raise InvalidRecipient(f"A link needs a saved {get_user_model().__name__}, not {user!r:.80}.")
    cluster = validate_cluster(cluster)
    using = router.db_for_write(MagicLink)
    now = clock.now(using)
    expires_at = now + timedelta(seconds=conf.current().magic_link_seconds)
    with transaction.atomic(using=using):
        cluster = cluster_or_default(cluster)
        link = make_link(wanted, cluster)
        MagicLink.objects.using(using).create(
            user=user,
            cluster=cluster,
            purpose=wanted,
            link_hash=hash_link(link),
            created_at=now,
            expires_at=expires_at,
        )
        # A slash at the end: some mail programs end a link before the last character of some tokens, such as "-".
        url = get_theme(cluster, BuiltInEvents.MAGIC_LINK.value).base_url + reverse(LINK_PAGE, args=[f"{link}/"])
        return NotificationManager.send(
            BuiltInEvents.MAGIC_LINK, user, cluster, context={"url": url}, expires_at=expires_at
        )


def _find_purpose(purpose: Any) -> MagicLink.Purpose:
    try:
        return MagicLink.Purpose(purpose)
    except ValueError:
        known = ", ".join(repr(one.value) for one in MagicLink.Purpose)
        raise InvalidOption(f"purpose must be one of {known}, not {purpose!r:.80}.") from None


def make_link(purpose: MagicLink.Purpose, cluster: Any) -> str:
    """Return the part of a new link that identifies it: its purpose, the key of its cluster and a random token."""
    return f"{purpose.value}/{cluster.pk}/{secrets.token_urlsafe(TOKEN_BYTES)}"


def hash_link(link: str) -> str:
    """Return the hash that is stored of a link. A slow hash would add nothing: nobody can guess 32 random bytes."""
    return hashlib.sha256(link.encode(errors="replace")).hexdigest()


def check_available() -> None:
    """Check that the site can send links that work.

    :raises MagicLinksUnavailable: if they are switched off, or a setting is missing.
    :raises EncryptionUnavailable, MissingExtra: if the link cannot be encrypted.
    """
    if not conf.current().magic_links:
        raise MagicLinksUnavailable("Magic links are switched off. Set NOTIFICATIONS['MAGIC_LINKS'] to True.")
    check_encryption()
    for fault, hint in find_link_faults():
        raise MagicLinksUnavailable(f"Magic links cannot work: {fault}. {hint}")


def find_link_faults() -> Iterator[tuple[str, str]]:
    """Yield why links cannot be sent or opened, each with what to do."""
    configured = conf.current()
    if NotificationChannel.EMAIL.value not in configured.enabled_channels:
        yield "the channel 'email' is not enabled", "Remove ENABLED from NOTIFICATIONS['CHANNELS']['email']."
    if not (configured.base_url or configured.theme.get("base_url") or configured.theme_of):
        yield "NOTIFICATIONS['BASE_URL'] is empty", "Set it to the address of your site, such as https://example.com."
    try:
        reverse(LINK_PAGE, args=["link"])
    except NoReverseMatch:
        hint = 'Add path("notifications/", include("notifications.urls")) to the urlpatterns of ROOT_URLCONF.'
        yield "the site does not include notifications.urls", hint
