"""Suppressions: addresses that nothing is sent to any more, because a provider said that they are bad."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import connections, models, transaction
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import hash_address, mask_address
from notifications.storage.in_array import in_array

Pair = tuple[str, str]


def fingerprint(address: str) -> str:
    """What stands for an address here, whatever its case: the table cannot be read back into addresses."""
    return hash_address(plainest(address))


def plainest(address: str) -> str:
    """The spelling that all of an address have in common."""
    return address.strip().lower()


# So many are read at once, where as many are asked for.
FEW = 500


REFUSALS_ALLOWED = 3
REFUSALS_COUNT_FOR = timedelta(days=90)


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def suppress(self, pairs: Iterable[Pair], reason: str, now: datetime) -> None:
        """Suppress addresses, given with their kind; those that are suppressed already stay as they are."""
        rows = [_row(kind, address, reason, now) for kind, address in pairs]
        if not rows:
            return
        self.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]
        mine = self.filter(address_hash__in={row.address_hash for row in rows}, is_active=False)
        mine.filter(kind__in={row.kind for row in rows}).update(is_active=True, reason=reason, created_at=now)

    def count_refusal(self, kind: str, address: str, now: datetime) -> None:
        """Count a refusal that condemns an address only when it is repeated: the third within 90 days suppresses it."""
        row = _row(kind, address, Suppression.Why.REPEATED, now)
        row.refusals, row.is_active = 0, False
        with transaction.atomic(using=self.db):
            self.bulk_create([row], ignore_conflicts=True)  # type: ignore[list-item]
            mine = self.filter(kind=kind, address_hash=row.address_hash, is_active=False)
            mine.filter(created_at__lt=now - REFUSALS_COUNT_FOR).update(refusals=0)
            mine.update(refusals=models.F("refusals") + 1, created_at=now)
            mine.filter(refusals__gte=REFUSALS_ALLOWED).update(is_active=True)

    def find_suppressed(self, pairs: Iterable[Pair]) -> frozenset[Pair]:
        """Of addresses with their kind, those that are suppressed, as kind and fingerprint. One statement, or none."""
        return self.known({fingerprint(address) for _kind, address in pairs})

    def known(self, hashes: Collection[str]) -> frozenset[Pair]:
        """The same, given fingerprints."""
        if not hashes:
            return frozenset()
        # By hand: each chunk of a send asks, and Django takes longer to compose it than the database to answer.
        condition, values = in_array(hashes, Suppression._meta.get_field("address_hash"), self.db)
        sql = f"SELECT kind, address_hash FROM klaxon_suppression WHERE is_active AND address_hash {condition}"  # noqa: S608
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [values])
            return frozenset(cursor.fetchall())

    def all_if_few(self) -> frozenset[Pair] | None:
        """All there are; None if that would be many."""
        rows = frozenset(self.filter(is_active=True).values_list("kind", "address_hash")[: FEW + 1])
        return rows if len(rows) <= FEW else None


class Suppressed:
    """Those that are suppressed, for the chunks of one send: where there are few, all are read with the first."""

    def __init__(self) -> None:
        self._all: frozenset[Pair] | None = None
        self._may_be_few = True

    def find(self, hashes: Collection[str]) -> frozenset[Pair]:
        """Given fingerprints; there may be others among the answer."""
        if self._may_be_few and self._all is None and len(hashes) >= FEW:
            self._all = Suppression.objects.all_if_few()
            self._may_be_few = self._all is not None
        return Suppression.objects.known(hashes) if self._all is None else self._all


class Suppression(models.Model):
    """One bad address. Deleting the row lifts the suppression.

    A row that is not active counts refusals: nothing is suppressed yet.
    """

    class Why(models.TextChoices):
        """What a provider said of the mailbox.

        A user whose own address is suppressed gets mail at that of their account. So a reason that says what the
        person wants, such as a complaint, does not belong here unless it keeps mail from that address as well.
        """

        HARD_BOUNCE = "hard_bounce", _("the mailbox does not exist")
        REPEATED = "repeated", _("the mailbox refused three times")

    kind = models.CharField(_("kind"), max_length=50)
    hash_address = models.CharField(_("address hash"), max_length=32)
    address = models.CharField(_("masked address"), max_length=255)
    reason = models.CharField(_("reason"), max_length=40, choices=Why.choices)
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
        kind=kind, address_hash=fingerprint(address), address=mask_address(address), reason=reason, created_at=now
    )
