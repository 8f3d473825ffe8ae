"""Suppressions: addresses that nothing is sent to any more, because a provider said that they are bad."""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from notifications.addresses import address_hash, masked
from notifications.models.among import among

Pair = tuple[str, str]


def fingerprint(address: str) -> str:
    """What stands for an address here, whatever its case: the table cannot be read back into addresses."""
    return address_hash(plainest(address))


def plainest(address: str) -> str:
    """The spelling that all of an address have in common."""
    return address.strip().lower()


# So many are read at once, where as many are asked for.
FEW = 500


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def suppress(self, pairs: Iterable[Pair], reason: str, now: datetime) -> None:
        """Suppress addresses, given with their kind; those that are suppressed already stay as they are."""
        rows = [
            Suppression(
                kind=kind, address_hash=fingerprint(address), address=masked(address), reason=reason, created_at=now
            )
            for kind, address in pairs
        ]
        self.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]

    def among(self, pairs: Iterable[Pair]) -> frozenset[Pair]:
        """Of addresses with their kind, those that are suppressed, as kind and fingerprint. One statement, or none."""
        return self.known({fingerprint(address) for _kind, address in pairs})

    def known(self, hashes: Collection[str]) -> frozenset[Pair]:
        """The same, given fingerprints."""
        if not hashes:
            return frozenset()
        # By hand: each chunk of a send asks, and Django takes longer to compose it than the database to answer.
        condition, values = among(hashes, Suppression._meta.get_field("address_hash"), self.db)
        sql = f"SELECT kind, address_hash FROM klaxon_suppression WHERE address_hash {condition}"  # noqa: S608
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [values])
            return frozenset(cursor.fetchall())

    def all_if_few(self) -> frozenset[Pair] | None:
        """All there are; None if that would be many."""
        rows = frozenset(self.values_list("kind", "address_hash")[: FEW + 1])
        return rows if len(rows) <= FEW else None


class Suppressed:
    """Those that are suppressed, for the chunks of one send: where there are few, all are read with the first."""

    def __init__(self) -> None:
        self._all: frozenset[Pair] | None = None
        self._may_be_few = True

    def among(self, hashes: Collection[str]) -> frozenset[Pair]:
        """Given fingerprints; there may be others among the answer."""
        if self._may_be_few and self._all is None and len(hashes) >= FEW:
            self._all = Suppression.objects.all_if_few()
            self._may_be_few = self._all is not None
        return Suppression.objects.known(hashes) if self._all is None else self._all


class Suppression(models.Model):
    """One bad address. Deleting the row lifts the suppression."""

    class Why(models.TextChoices):
        HARD_BOUNCE = "hard_bounce", _("the mailbox does not exist")

    kind = models.CharField(_("kind"), max_length=50)
    address_hash = models.CharField(_("address hash"), max_length=32)
    address = models.CharField(_("masked address"), max_length=255)
    reason = models.CharField(_("reason"), max_length=40, choices=Why.choices)
    created_at = models.DateTimeField(_("created at"))

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        constraints = [models.UniqueConstraint(fields=["address_hash", "kind"], name="klaxon_suppression_once")]

    def __str__(self) -> str:
        return self.address
