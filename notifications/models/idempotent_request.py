"""Requests of the HTTP API with an ``Idempotency-Key``, and their answers.

A request writes its row before it starts. Its changes and its answer are then committed in one transaction. So after a
crash either both are there, or neither is and the request can be repeated.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

# How long a request may run before another one with its key may take over, because it was interrupted.
LEASE = timedelta(seconds=60)


class Standing(Enum):
    """What a request finds under its key."""

    NEW = "new"
    RUNNING = "running"
    OTHER_CONTENT = "other_content"
    ANSWERED = "answered"


@dataclass(frozen=True)
class Started:
    """The result of :meth:`IdempotentRequestQuerySet.start`.

    :param owner: the name under which this request has reserved the key, if the standing is NEW.
    :param row: the row under the key.
    """

    standing: Standing
    owner: str
    row: "IdempotentRequest"


class IdempotentRequestQuerySet(models.QuerySet["IdempotentRequest"]):
    def start(self, digest: str, fingerprint: str, now: datetime, lifetime: timedelta) -> Started:
        """Reserve a key for a request, or find what became of the request that has it.

        Call it outside of a transaction, because other requests must see the row.

        :param digest: a hash of the caller and the key.
        :param fingerprint: a hash of the content of the request.
        """
        owner = uuid4().hex
        mine = {
            "owner": owner,
            "fingerprint": fingerprint,
            "status": None,
            "body": "",
            "lease_until": now + LEASE,
            "expires_at": now + lifetime,
        }
        self.bulk_create([IdempotentRequest(digest=digest, **mine)], ignore_conflicts=True)  # type: ignore[list-item]
        # If the row has just been deleted, the client may repeat the request, as for any other that runs.
        row = self.filter(digest=digest).first() or IdempotentRequest(digest=digest, fingerprint=fingerprint)
        if row.owner == owner:
            return Started(Standing.NEW, owner, row)
        if row.can_be_taken_over(now):
            same = {"pk": row.pk, "owner": row.owner, "status": row.status, "expires_at": row.expires_at}
            is_mine = bool(self.filter(**same).update(**mine))
            return Started(Standing.NEW if is_mine else Standing.RUNNING, owner, row)
        if row.fingerprint != fingerprint:
            return Started(Standing.OTHER_CONTENT, owner, row)
        return Started(Standing.RUNNING if row.status is None else Standing.ANSWERED, owner, row)

    def finish(self, digest: str, owner: str, status: int, body: str) -> bool:
        """Store the answer, in the transaction of the request; return False if another request has taken over."""
        return bool(self.filter(digest=digest, owner=owner, status=None).update(status=status, body=body))

    def abandon(self, digest: str, owner: str) -> None:
        """Release the key of a request that has failed and changed nothing."""
        self.filter(digest=digest, owner=owner, status=None).delete()

    def delete_expired(self, now: datetime, limit: int = 1000) -> int:
        """Delete at most ``limit`` rows whose time has passed; return their number."""
        ids = list(self.filter(expires_at__lte=now).order_by("expires_at").values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=ids, expires_at__lte=now).delete()[0] if ids else 0


class IdempotentRequest(models.Model):
    """A request with an idempotency key; without a status, it is running."""

    digest = models.CharField(_("hash of the caller and the key"), max_length=64, unique=True)
    fingerprint = models.CharField(_("hash of the content"), max_length=64)
    owner = models.CharField(_("owner"), max_length=32)
    lease_until = models.DateTimeField(_("lease"))
    expires_at = models.DateTimeField(_("expires at"), db_index=True)
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    body = models.TextField(_("answer"), blank=True)

    objects = IdempotentRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("idempotent request")
        verbose_name_plural = _("idempotent requests")

    def __str__(self) -> str:
        return self.digest[:12]

    def can_be_taken_over(self, now: datetime) -> bool:
        """Return whether the row is older than it may be, or its request was interrupted."""
        if self.pk is None:
            return False
        return self.expires_at <= now or (self.status is None and self.lease_until <= now)
