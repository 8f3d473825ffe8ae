"""Keys of the HTTP API: what another program sends instead of a session.

A key consists of ``klx``, a prefix that finds its row, and 32 random bytes. Only its SHA-256 hash is stored. A password
needs a slow hash because people choose it; nobody can try 2**256 keys.
"""

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from notifications.conf.problem import suggest

TOKEN = re.compile(r"klx_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
# A key that is used often is not written with each request.
USE_RECORDED_EVERY = timedelta(minutes=1)


class APIScope(models.TextChoices):
    """What a key may be used for. Its user needs the permission of the operation as well."""

    INBOX_READ = "inbox:read", _("read the inbox of its user")
    INBOX_WRITE = "inbox:write", _("change the inbox of its user")
    PREFERENCES_READ = "preferences:read", _("read the preferences and topics of its user")
    PREFERENCES_WRITE = "preferences:write", _("change the preferences and topics of its user")
    # Whoever chooses the address gets the messages, and with them links that need no log-in.
    ADDRESSES = "addresses:write", _("change the addresses of its user")
    SEND = "notifications:send", _("send notifications")
    STATUS = "notifications:read", _("read the status of notifications")
    RESEND = "notifications:resend", _("send dead notifications again")
    TEMPLATES_READ = "templates:read", _("read staff templates")
    TEMPLATES_WRITE = "templates:write", _("save and publish staff templates")
    SUPPRESSIONS_READ = "suppressions:read", _("read suppressions")
    SUPPRESSIONS_WRITE = "suppressions:write", _("add and lift suppressions")
    WEBHOOKS_READ = "webhooks:read", _("read webhook endpoints and their attempts")
    WEBHOOKS_WRITE = "webhooks:write", _("manage webhook endpoints")
    ESCALATIONS_READ = "escalations:read", _("read escalations and rotas")
    ESCALATIONS_WRITE = "escalations:write", _("acknowledge, pass on and end escalations")
    ANALYTICS = "analytics:read", _("read figures")
    OPERATIONS = "operations:read", _("read the state of the queue and the workers")


def hash_token(token: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def validate_scopes(scopes: Any) -> None:
    """Check that a value is a list of scopes.

    :raises ValidationError: if it is not, or is empty.
    """
    if not isinstance(scopes, list) or not scopes:
        raise ValidationError(_("A key needs a list of at least one scope."))
    for scope in scopes:
        if scope not in APIScope.values:
            hint = suggest(scope, APIScope.values, "scopes")
            raise ValidationError(_("%(scope)s is not a scope. %(hint)s"), params={"scope": scope, "hint": hint})


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def issue(
        self,
        user: Any,
        name: str,
        scopes: Iterable[str],
        now: datetime,
        clusters: Collection[Any] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple["APIKey", str]:
        """Save a new key. Return its row and the key itself, which cannot be recovered later.

        :param clusters: the clusters that it is limited to; None for all that its user can reach.
        :param expires_at: when it becomes invalid; None for never.
        :raises ValidationError: if a value is not valid.
        """
        row = APIKey(user=user, name=name, scopes=list(scopes), all_clusters=clusters is None, expires_at=expires_at)
        return row, self.save_new(row, clusters, now)

    @sensitive_variables("token")
    def save_new(self, row: "APIKey", clusters: Collection[Any] | None, now: datetime) -> str:
        """Save a row that was filled in, and return its key."""
        row.prefix, row.created_at = secrets.token_hex(6), now
        token = f"klx_{row.prefix}_{secrets.token_urlsafe(32)}"
        row.token_hash = hash_token(token)
        row.full_clean(exclude=["user"])
        with transaction.atomic(using=self.db):
            row.save(using=self.db)
            if clusters:
                row.clusters.set(clusters)
        return token

    @sensitive_variables("token", "found")
    def find(self, token: str, now: datetime) -> "APIKey | None":
        """Return the key with its user, or None if it is unknown, revoked or expired, or its user is inactive.

        It takes one query, so a revocation is effective at once in every process.
        """
        found = TOKEN.fullmatch(token)
        row = self.select_related("user").filter(prefix=found[1]).first() if found else None
        # Compared in any case, so that the time does not say whether the prefix exists.
        is_same = constant_time_compare(row.token_hash if row else "0" * 64, hash_token(token))
        if row is None or not is_same or not row.is_valid(now) or not row.user.is_active:
            return None
        return row

    def record_use(self, row: "APIKey", now: datetime) -> None:
        """Record that a key was used; at most once a minute."""
        if row.last_used_at is None or now - row.last_used_at >= USE_RECORDED_EVERY:
            self.filter(pk=row.pk).update(last_used_at=now)

    def revoke(self, now: datetime) -> int:
        """Revoke keys and return the number of those that were not revoked before."""
        return self.filter(revoked_at=None).update(revoked_at=now)


class APIKey(models.Model):
    """A key of a user, limited to some scopes and clusters."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    name = models.CharField(_("name"), max_length=100, help_text=_("The program that uses the key."))
    prefix = models.CharField(_("prefix"), max_length=12, unique=True, editable=False)
    token_hash = models.CharField(_("hash of the key"), max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), validators=[validate_scopes])
    all_clusters = models.BooleanField(
        _("all clusters"), default=False, help_text=_("The key reaches all clusters that its user can reach.")
    )
    clusters: Any = models.ManyToManyField(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("clusters"),
        blank=True,
        related_name="+",
        help_text=_("The clusters that the key is limited to. Without any, it reaches none."),
    )
    created_at = models.DateTimeField(_("created at"), editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} (klx_{self.prefix})"

    def is_valid(self, now: datetime) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def list_cluster_keys(self) -> frozenset[Any] | None:
        """Return the primary keys of the clusters that the key is limited to, or None for all. Takes one query."""
        if self.all_clusters:
            return None
        return frozenset(self.clusters.order_by().values_list("pk", flat=True))
