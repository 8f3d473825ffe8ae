"""Suppressions: addresses that Klaxon does not send to, because a provider has said that they are bad."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import connections, models, transaction
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import hash_address, mask_address
from notifications.storage.engine import in_array

Pair = tuple[str, str]


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


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def suppress(self, pairs: Iterable[Pair], reason: str, now: datetime) -> None:
        """Suppress addresses, given with their kind; those that are already suppressed stay unchanged."""
        rows = [_row(kind, address, reason, now) for kind, address in pairs]
        if not rows:
            return
        self.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]
        inactive = self.filter(address_hash__in={row.address_hash for row in rows}, is_active=False)
        inactive.filter(kind__in={row.kind for row in rows}).update(is_active=True, reason=reason, created_at=now)

    def count_refusal(self, kind: str, address: str, now: datetime) -> None:
        """Count a refusal that does not suppress the address at once; the third within 90 days suppresses it."""
        row = _row(kind, address, Suppression.Cause.REPEATED, now)
        row.refusals, row.is_active = 0, False
        with transaction.atomic(using=self.db):
            self.bulk_create([row], ignore_conflicts=True)  # type: ignore[list-item]
            counted = self.filter(kind=kind, address_hash=row.address_hash, is_active=False)
            counted.filter(created_at__lt=now - REFUSAL_LIFETIME).update(refusals=0)
            counted.update(refusals=models.F("refusals") + 1, created_at=now)
            counted.filter(refusals__gte=REFUSALS_UNTIL_SUPPRESSED).update(is_active=True)

    def find_suppressed(self, pairs: Iterable[Pair]) -> frozenset[Pair]:
        """Return the suppressed ones of these addresses, given with their kind, as pairs of kind and hash.

        It takes one statement, or none if there are no addresses.
        """
        hashes = set()
        for _kind, address in pairs:
            hashes.add(hash_normalized(address))
        return self.find_suppressed_hashes(hashes)

    def find_suppressed_hashes(self, hashes: Collection[str]) -> frozenset[Pair]:
        """Return the same for hashes of addresses."""
        if not hashes:
            return frozenset()
        # Written by hand, because each chunk of a send runs it and Django would take longer to compose it than the
        # database to answer.
        condition, values = in_array(hashes, Suppression._meta.get_field("address_hash"), self.db)
        sql = f"SELECT kind, address_hash FROM klaxon_suppression WHERE is_active AND address_hash {condition}"  # noqa: S608
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [values])
            return frozenset(cursor.fetchall())

    def load_all_if_few(self) -> frozenset[Pair] | None:
        """Return all suppressions, or None if there are more than :data:`MAX_PRELOADED`."""
        rows = frozenset(self.filter(is_active=True).values_list("kind", "address_hash")[: MAX_PRELOADED + 1])
        return rows if len(rows) <= MAX_PRELOADED else None


class SuppressionLookup:
    """Looks up suppressions for the chunks of one send.

    If there are few, it reads all of them with the first large chunk.
    """

    def __init__(self) -> None:
        self._all: frozenset[Pair] | None = None
        self._may_be_few = True

    def find(self, hashes: Collection[str]) -> frozenset[Pair]:
        """Return at least those of these hashes that are suppressed, and perhaps others."""
        if self._may_be_few and self._all is None and len(hashes) >= MAX_PRELOADED:
            self._all = Suppression.objects.load_all_if_few()
            self._may_be_few = self._all is not None
        return Suppression.objects.find_suppressed_hashes(hashes) if self._all is None else self._all


class Suppression(models.Model):
    """One bad address. Deleting the row ends the suppression.

    A row that is not active counts refusals; its address is not suppressed yet.
    """

    class Cause(models.TextChoices):
        """What a provider said about the mailbox.

        Users whose own address is suppressed get mail at the address of their account. So a reason that expresses what
        the person wants, such as a complaint, must not be added here unless it suppresses that address as well.
        """

        HARD_BOUNCE = "hard_bounce", _("the mailbox does not exist")
        REPEATED = "repeated", _("the mailbox refused three times")

    kind = models.CharField(_("kind"), max_length=50)
    address_hash = models.CharField(_("address hash"), max_length=32)
    address = models.CharField(_("masked address"), max_length=255)
    reason = models.CharField(_("reason"), max_length=40, choices=Cause.choices)
    created_at = models.DateTimeField(_("created at"))
    refusals = models.PositiveSmallIntegerField(_("refusals"), default=1)
    is_active = models.BooleanField(_("suppressed"), default=True)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        constraints = [models.UniqueConstraint(fields=["address_hash", "kind"], name="klaxon_suppression_once")]

    def __str__(self) -> str:
        return self.address


def _row(kind: str, address: str, reason: str, now: datetime) -> Suppression:
    return Suppression(
        kind=kind,
        address_hash=hash_normalized(address),
        address=mask_address(address),
        reason=reason,
        created_at=now,
    )
