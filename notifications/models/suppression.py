"""Suppressions: addresses that Klaxon does not send to, because a provider has said that they are bad."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections, models, transaction
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import hash_address, mask_address
from notifications.storage.engine import in_array

Pair = tuple[str, str]
"""A kind of address and an address."""
SuppressedAddress = tuple[str, str, Any]
"""The kind and hash of a suppressed address, and the key of the cluster in which it is suppressed; None for all."""


# If there are at most this number of suppressions, a large send reads all of them at once.
MAX_PRELOADED = 500
REFUSALS_UNTIL_SUPPRESSED = 3
REFUSAL_LIFETIME = timedelta(days=90)


def hash_normalized(address: str) -> str:
    """Return the hash that the table stores of an address in any case; the address cannot be recovered from it."""
    return hash_address(normalize_address(address))


def normalize_address(address: str) -> str:
    """Return the spelling that all variants of an address share."""
    return address.strip().lower()


def is_suppressed(suppressed: frozenset[SuppressedAddress], kind: str, address: str, cluster_id: Any) -> bool:
    """Return whether an address is among the suppressed ones, in all clusters or in this one."""
    return bool(suppressed) and is_hash_suppressed(suppressed, kind, hash_normalized(address), cluster_id)


def is_hash_suppressed(suppressed: frozenset[SuppressedAddress], kind: str, address_hash: str, cluster_id: Any) -> bool:
    """Do the same for a hash from :func:`hash_normalized`."""
    return (kind, address_hash, None) in suppressed or (kind, address_hash, cluster_id) in suppressed


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def suppress(
        self, pairs: Iterable[Pair], reason: str, now: datetime, cluster_id: Any = None, detail: str = ""
    ) -> None:
        """Suppress addresses, given with their kind; those that are already suppressed stay unchanged.

        :param cluster_id: the cluster in which they are suppressed; by default, all clusters.
        :param detail: what the provider said, without addresses.
        """
        # In a fixed order, so that two transactions cannot deadlock.
        rows = [_row(kind, address, reason, now, cluster_id, detail) for kind, address in sorted(pairs)]
        if not rows:
            return
        self.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]
        inactive = self.filter(address_hash__in={row.address_hash for row in rows}, is_active=False)
        inactive.filter(kind__in={row.kind for row in rows}, cluster=cluster_id).update(
            is_active=True, reason=reason, created_at=now, detail=rows[0].detail
        )

    def count_refusal(self, kind: str, address: str, now: datetime, detail: str = "") -> None:
        """Count a refusal that does not suppress the address at once; the third suppresses it.

        If 90 days pass without one, the count starts again.
        """
        row = _row(kind, address, Suppression.Cause.REPEATED, now, None, detail)
        row.refusals, row.is_active = 0, False
        with transaction.atomic(using=self.db):
            self.bulk_create([row], ignore_conflicts=True)  # type: ignore[list-item]
            counted = self.filter(kind=kind, address_hash=row.address_hash, is_active=False, cluster=None)
            counted.filter(created_at__lt=now - REFUSAL_LIFETIME).update(refusals=0)
            counted.update(refusals=models.F("refusals") + 1, created_at=now, reason=row.reason, detail=row.detail)
            counted.filter(refusals__gte=REFUSALS_UNTIL_SUPPRESSED).update(is_active=True)

    def withdraw(self, kind: str, address: str, reason: str, created_at: datetime) -> bool:
        """End the suppression in all clusters that was made at a time for a reason; return whether there was one.

        Use it if a later report shows that it was too wide.
        """
        made = self.filter(kind=kind, address_hash=hash_normalized(address), cluster=None, is_active=True)
        return bool(made.filter(reason=reason, created_at=created_at).update(is_active=False, refusals=0))

    def was_lifted(self, kind: str, address: str, since: datetime) -> bool:
        """Return whether the suppression of an address in all clusters was lifted since a time."""
        return self.filter(
            kind=kind, address_hash=hash_normalized(address), cluster=None, lifted_at__gte=since
        ).exists()

    def lift(self, by: Any, note: str, now: datetime) -> int:
        """End suppressions, and forget the refusals that were counted; return the number of rows.

        :param by: the user who lifts them, or None.
        :param note: why.
        :raises ValueError: if the note is empty.
        """
        if not note.strip():
            raise ValueError("Lifting a suppression needs a reason, such as 'the mailbox exists again'.")
        return self.filter(models.Q(is_active=True) | models.Q(refusals__gt=0)).update(
            is_active=False, refusals=0, lifted_at=now, lifted_by=by, lift_note=note.strip()[:500]
        )

    def find_suppressed(self, pairs: Iterable[Pair]) -> frozenset[SuppressedAddress]:
        """Return the suppressed ones of these addresses, given with their kind.

        It takes one statement, or none if there are no addresses. Use :func:`is_suppressed` to read the result.
        """
        hashes = set()
        for _kind, address in pairs:
            hashes.add(hash_normalized(address))
        return self.find_suppressed_hashes(hashes)

    def find_suppressed_hashes(self, hashes: Collection[str]) -> frozenset[SuppressedAddress]:
        """Return the same for hashes of addresses."""
        if not hashes:
            return frozenset()
        # Written by hand, because each chunk of a send runs it and Django would take longer to compose it than the
        # database to answer.
        condition, values = in_array(hashes, Suppression._meta.get_field("address_hash"), self.db)
        columns = "kind, address_hash, cluster_id"
        sql = f"SELECT {columns} FROM klaxon_suppression WHERE is_active AND address_hash {condition}"  # noqa: S608
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [values])
            rows = cursor.fetchall()
        # The key of the host's clusters may have a type that SQLite does not have.
        to_python = Suppression._meta.get_field("cluster").target_field.to_python
        return frozenset((kind, hashed, to_python(cluster_id)) for kind, hashed, cluster_id in rows)

    def load_all_if_few(self) -> frozenset[SuppressedAddress] | None:
        """Return all suppressions, or None if there are more than :data:`MAX_PRELOADED`."""
        columns = "kind", "address_hash", "cluster_id"
        rows = frozenset(self.filter(is_active=True).values_list(*columns)[: MAX_PRELOADED + 1])
        return rows if len(rows) <= MAX_PRELOADED else None


class SuppressionLookup:
    """Looks up suppressions for the chunks of one send.

    If there are few, it reads all of them with the first large chunk.
    """

    def __init__(self) -> None:
        self._all: frozenset[SuppressedAddress] | None = None
        self._may_be_few = True

    def find(self, hashes: Collection[str]) -> frozenset[SuppressedAddress]:
        """Return at least those of these hashes that are suppressed, and perhaps others."""
        if self._may_be_few and self._all is None and len(hashes) >= MAX_PRELOADED:
            self._all = Suppression.objects.load_all_if_few()
            self._may_be_few = self._all is not None
        return Suppression.objects.find_suppressed_hashes(hashes) if self._all is None else self._all


class Suppression(models.Model):
    """One address that nothing is sent to, in all clusters or in one.

    A row that is not active counts refusals, or was lifted; its address is not suppressed.
    """

    class Cause(models.TextChoices):
        """Why an address is suppressed.

        Users whose own address is suppressed get mail at the address of their account. So a cause that expresses what
        the person wants, such as a complaint, must suppress that address as well. STOPPED is about the number that has
        sent STOP, and about no other.
        """

        HARD_BOUNCE = "hard_bounce", _("the mailbox does not exist")
        REPEATED = "repeated", _("the mailbox refused three times")
        COMPLAINT = "complaint", _("the recipient reported a mail as spam")
        BLOCKED = "blocked", _("the provider or the mailbox blocks mail to it")
        STOPPED = "stopped", _("the recipient answered STOP")
        MANUAL = "manual", _("a person has added it")

    kind = models.CharField(_("kind"), max_length=50)
    address_hash = models.CharField(_("address hash"), max_length=32)
    address = models.CharField(_("masked address"), max_length=255)
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("The cluster in which the address is suppressed; empty for all clusters."),
    )
    reason = models.CharField(_("reason"), max_length=40, choices=Cause.choices)
    detail = models.CharField(_("what the provider said"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created at"))
    refusals = models.PositiveSmallIntegerField(_("refusals"), default=1)
    is_active = models.BooleanField(_("suppressed"), default=True)
    lifted_at = models.DateTimeField(_("last lifted at"), null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("last lifted by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    lift_note = models.CharField(_("why it was lifted"), max_length=500, blank=True)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        permissions = [("lift_suppression", _("Can lift a suppression"))]
        constraints = [
            models.UniqueConstraint(
                fields=["address_hash", "kind"],
                condition=models.Q(cluster__isnull=True),
                name="klaxon_suppression_once",
            ),
            models.UniqueConstraint(
                fields=["address_hash", "kind", "cluster"],
                condition=models.Q(cluster__isnull=False),
                name="klaxon_suppression_cluster_once",
            ),
        ]
        # The constraints are partial, and a lookup is for all clusters.
        indexes = [models.Index(fields=["address_hash"], name="klaxon_suppression_hash")]

    def __str__(self) -> str:
        return self.address


def _row(kind: str, address: str, reason: str, now: datetime, cluster_id: Any, detail: str) -> Suppression:
    return Suppression(
        kind=kind,
        address_hash=hash_normalized(address),
        address=mask_address(address),
        cluster_id=cluster_id,
        reason=reason,
        detail=detail[:500],
        created_at=now,
    )
