"""Deliveries: the outbox. One row for each recipient, channel and address of a notification.

Every change of state is one method here and one conditional UPDATE. The states and their transitions are described in
``docs/architecture.md``; a worker proves that a row is still its own by the ``fence`` that it got when claiming.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.db.models import Q
from django.db.models.base import ModelState
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import hash_address
from notifications.models.notification import Notification
from notifications.outcomes import WAITING, DeliveryState, Reason
from notifications.storage import outbox
from notifications.storage.outbox import DigestRemoval, Lost, StateChange

WAITS_IN_JOIN = "klaxon_delivery.state = 'held' AND klaxon_delivery.reason IN ('batch', 'digest')"
INTO = "merged_into__notification"
WAITS_FOR_OTHERS = Q(state="held", reason__in=("batch", "digest"))


REFUSED = (Reason.CONFIGURATION, Reason.TEMPORARY, Reason.LOST_CONTACT, Reason.FAILED_OVER)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def release_due(self, now: datetime, limit: int = 1000) -> int:
        """Make held rows and retries whose time has come ready; at most ``limit``, the longest due first.

        Not what waits for a digest or batch.
        """
        return outbox.release_due(self._write_db, now, limit)

    def release_forgotten(self, now: datetime, limit: int = 1000) -> int:
        """Make ready what no digest or batch has come for within an hour of its time."""
        return outbox.release_forgotten(self._write_db, now, limit)

    def claim(
        self,
        owner: str,
        now: datetime,
        lease: datetime,
        limit: int,
        notification_ids: Sequence[int] = (),
        oldest_first: bool = False,
        without: Collection[str] = (),
        at_least: int = 0,
    ) -> list["Delivery"]:
        """Take up to ``limit`` ready rows for ``owner``, highest score first, until ``lease``.

        No two claims ever return the same row. With ``notification_ids`` only deliveries of those are taken;
        ``without`` names channels to leave alone; ``at_least`` is the lowest score to take.
        """
        sql, params = outbox.claim_statement(
            self._write_db, owner, lease, limit, notification_ids, oldest_first, without, at_least
        )
        with connections[self._write_db].cursor() as cursor:
            cursor.execute(sql, params)
            rows = [Delivery.claimed(values, self._write_db) for values in cursor.fetchall()]
        return sorted(rows, key=lambda row: (-row.score, row.pk))

    def claim_probe(
        self, owner: str, lease: datetime, channel: str, notification_ids: Sequence[int] = ()
    ) -> list["Delivery"]:
        """Take the delivery of a channel that is to try out a provider which has failed; none if nothing is ready.

        It is a new one that no provider has failed with, if there is any: what was refused may be refused for ever,
        and must not keep the circuit open for all others.
        """
        sql, params = outbox.claim_probe_statement(self._write_db, owner, lease, channel, notification_ids)
        with connections[self._write_db].cursor() as cursor:
            cursor.execute(sql, params)
            return [Delivery.claimed(values, self._write_db) for values in cursor.fetchall()]

    def with_notifications(self, rows: Iterable["Delivery"]) -> list["Delivery"]:
        """Of claimed rows, those whose notification is still there, with it and its cluster; in one query."""
        rows = list(rows)
        found = Notification.objects.using(self._write_db).select_related("cluster")
        known = found.in_bulk({row.notification_id for row in rows})
        # One that is missing was deleted with its cluster a moment ago, and its deliveries with it.
        there = [row for row in rows if row.notification_id in known]
        for row in there:
            row.notification = known[row.notification_id]
        return there

    def mark_sending(self, deliveries: Iterable["Delivery"], lease: datetime) -> set[int]:
        """Count an attempt and mark the claimed rows as sending; returns the ids of those that were still ours."""
        return outbox.mark_sending(self._write_db, [(row.pk, row.fence) for row in deliveries], lease)

    def begin_trial(self, delivery: "Delivery") -> bool:
        """Count a strike in advance for a claimed row that is tried alone; :meth:`settle` takes it back.

        Returns whether the row was still ours.
        """
        mine = self.filter(pk=delivery.pk, fence=delivery.fence, state=DeliveryState.CLAIMED)
        return bool(mine.update(strikes=models.F("strikes") + 1, reason=Reason.ON_TRIAL))

    def settle(self, settlements: Sequence[StateChange], now: datetime) -> set[int]:
        """Write outcomes of rows that we own; returns the ids of those that were still ours."""
        return outbox.settle(self._write_db, settlements, now)

    def renew(self, owner: str, ids: Collection[int], lease: datetime) -> int:
        """Prolong the leases of those that ``owner`` has claimed and not begun to send."""
        return outbox.renew(self._write_db, owner, ids, lease)

    def wait_to_write(self) -> None:
        """Return once this table can be written: changes nothing, but waits as long as any writer would have to."""
        self.filter(pk=-1).update(owner=models.F("owner"))

    def suspects(self, owners: Sequence[str], now: datetime) -> list[tuple[int, int, str]]:
        """Id, fence and owner of rows whose lease ran out, or that are held by one of ``owners``."""
        return outbox.suspects(self._write_db, owners, now)

    def take_back(self, lost: Sequence[Lost], now: datetime) -> list["Delivery"]:
        """Take rows from workers that do not answer: *claimed* becomes ready, *sending* unknown, third strike dead.

        A strike counts only for a row that was on trial, alone, when its worker died. Returns, as they are now, the
        rows that were still held under the given fence.
        """
        if not lost:
            return []
        sql, params = outbox.take_back_statement(self._write_db, lost, now)
        return list(self.model._base_manager.db_manager(self._write_db).raw(sql, params))

    def digests_due(self, now: datetime) -> Any:
        """The keys of recipients for whom a digest or batch is to be made now, the longest due first."""
        due = self.extra(where=[outbox.WAITS_FOR_OTHERS]).filter(due_at__lte=now)  # noqa: S610 - our own words
        first = due.order_by().values("recipient_key").annotate(since=models.Min("due_at"))
        return first.order_by("since").values_list("recipient_key", flat=True)

    def waiting_for_others(self, recipient_keys: Sequence[str]) -> list["Delivery"]:
        """What these recipients have waiting for a digest or batch, locked until the transaction ends, oldest first."""
        ids = outbox.take_waiting(self._write_db, recipient_keys)
        mine = self.extra(where=[WAITS_IN_JOIN]).filter(recipient_key__in=recipient_keys)  # noqa: S610 - our own words
        rows = mine.select_related("notification__cluster").order_by("pk").defer("notification__context")
        return [row for row in rows.iterator(chunk_size=1000) if row.pk in ids]

    def merge(self, pairs: Sequence[tuple[int, int]], now: datetime) -> set[int]:
        """Merge held rows into others, given as pairs of primary keys; returns those that were still held."""
        return outbox.merge(self._write_db, pairs, now)

    def leave(self, leaving: Sequence[DigestRemoval], now: datetime) -> set[int]:
        """Let merged rows leave digests and batches that we have claimed; returns the ids of those that left."""
        return outbox.leave(self._write_db, leaving, now)

    def items_of(self, wholes: Iterable["Delivery"]) -> list["Delivery"]:
        """What was merged into these digests and batches, without the contexts; on whatever channel these go now."""
        of_these = self.filter(merged_into__notification__in=[row.notification_id for row in wholes])
        rows = of_these.select_related("notification__cluster", "merged_into").order_by("pk")
        return list(rows.defer("notification__context"))

    def gathered_in(self, notification: Notification) -> "DeliveryQuerySet":
        """What was merged into a digest or batch: the most urgent first, then the oldest."""
        rows = self.filter(merged_into__notification=notification).select_related("notification__cluster")
        return rows.order_by("notification__priority", "notification__created_at", "pk")

    def cancel(self, now: datetime) -> int:
        """Cancel those that no worker has taken yet."""
        return self.filter(state__in=WAITING).update(
            state=DeliveryState.CANCELLED, reason=Reason.CANCELLED, settled_at=now, due_at=None
        )

    def cancel_merged(self, now: datetime) -> int:
        """Cancel those in digests and batches that no worker has taken yet, and these too if nothing else is in them.

        To be called in a transaction.
        """
        everything = self.model._base_manager.using(self._write_db)
        merged = self.filter(state=DeliveryState.MERGED, merged_into__isnull=False)
        into = set(merged.values_list(INTO, flat=True))
        if not into:
            return 0
        # Locked: a worker that takes one now would send it with what is cancelled here.
        waiting = everything.filter(notification__in=into, state__in=WAITING).order_by("pk").select_for_update()
        wholes = dict(waiting.values_list("pk", "notification"))
        mine = list(merged.filter(merged_into__notification__in=wholes.values()).values_list("pk", flat=True))
        count = everything.filter(pk__in=mine, state=DeliveryState.MERGED).update(
            state=DeliveryState.CANCELLED, reason=Reason.CANCELLED, settled_at=now, merged_into=None
        )
        full = set(everything.filter(merged_into__notification__in=wholes.values()).values_list(INTO, flat=True))
        left = Notification.objects.using(self._write_db).filter(pk__in=wholes.values(), context__has_key="sections")
        full.update(left.values_list("pk", flat=True))
        empty = [pk for pk, notification_id in wholes.items() if notification_id not in full]
        Delivery.objects.using(self._write_db).filter(pk__in=empty).cancel(now)
        return count

    def dead_letters(self, since: datetime | None = None, until: datetime | None = None) -> "DeliveryQuerySet":
        """What died between two times, the longest dead first."""
        dead = self.filter(state=DeliveryState.DEAD).order_by("settled_at", "pk")
        if since is not None:
            dead = dead.filter(settled_at__gte=since)
        return dead if until is None else dead.filter(settled_at__lt=until)

    def reopen(self) -> int:
        """Give dead and unknown rows a fresh life: a new epoch without attempts or strikes. The fence is kept."""
        return self.filter(state__in=(DeliveryState.DEAD, DeliveryState.UNKNOWN)).update(
            state=DeliveryState.READY,
            reason=Reason.RETRIED,
            epoch=models.F("epoch") + 1,
            attempts=0,
            strikes=0,
            due_at=None,
            settled_at=None,
        )

    @property
    def _write_db(self) -> str:
        chosen: str | None = getattr(self, "_db", None)
        return chosen or router.db_for_write(self.model)


class Delivery(models.Model):
    """One recipient on one channel at one address."""

    notification = models.ForeignKey(
        Notification,
        verbose_name=_("notification"),
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,
    )
    channel = models.CharField(_("channel"), max_length=50)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("recipient"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    recipient_key = models.CharField(_("recipient key"), max_length=80)
    address = models.TextField(_("address"), blank=True)
    address_hash = models.CharField(_("address hash"), max_length=32)
    state = models.CharField(_("state"), max_length=10, choices=DeliveryState.choices, default=DeliveryState.READY)
    reason = models.CharField(_("reason"), max_length=40, choices=Reason.choices, blank=True)
    due_at = models.DateTimeField(_("due at"), null=True, blank=True)
    score = models.PositiveSmallIntegerField(_("score"), default=50)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    strikes = models.PositiveSmallIntegerField(_("strikes"), default=0)
    owner = models.CharField(_("owner"), max_length=100, blank=True)
    lease = models.DateTimeField(_("lease"), null=True, blank=True)
    fence = models.PositiveIntegerField(_("fence"), default=0)
    epoch = models.PositiveIntegerField(_("epoch"), default=0)
    provider = models.CharField(_("provider"), max_length=100, blank=True)
    provider_message_id = models.CharField(_("provider message id"), max_length=255, blank=True)
    merged_into = models.ForeignKey(
        "self",
        verbose_name=_("merged into"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="merged",
        db_index=False,
    )
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        permissions = [
            ("retry_delivery", _("Can send a dead delivery again")),
            ("cancel_delivery", _("Can cancel a waiting delivery")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["notification", "channel", "recipient_key", "address_hash"], name="klaxon_delivery_once"
            ),
        ]
        # Partial, so that the millions of finished rows cost the worker nothing. Their conditions stand word for
        # word in outbox.py: SQLite uses a partial index only where the query repeats them as literals.
        indexes = [
            models.Index(fields=["-score", "id"], condition=Q(state="ready"), name="klaxon_delivery_ready"),
            models.Index(fields=["id"], condition=Q(state="ready"), name="klaxon_delivery_oldest"),
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=("held", "retry")) & ~Q(reason__in=("batch", "digest")),
                name="klaxon_delivery_due",
            ),
            models.Index(fields=["due_at"], condition=WAITS_FOR_OTHERS, name="klaxon_delivery_gathers"),
            models.Index(fields=["recipient_key"], condition=WAITS_FOR_OTHERS, name="klaxon_delivery_gathered"),
            models.Index(fields=["lease"], condition=Q(state__in=("claimed", "sending")), name="klaxon_delivery_lease"),
            models.Index(fields=["settled_at"], condition=Q(state="dead"), name="klaxon_delivery_dead"),
            models.Index(fields=["merged_into"], condition=Q(merged_into__isnull=False), name="klaxon_delivery_merged"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} #{self.pk}"

    @classmethod
    def claimed(cls, values: Sequence[Any], using: str) -> Self:
        """A row as the claim returns it, with the columns that delivering needs; any other is read when asked for.

        Without the model's own ``__init__``, which would take longer than the claim itself.
        """
        row = cls.__new__(cls)
        row._state = ModelState()
        row._state.db, row._state.adding = using, False
        row.__dict__.update(zip(outbox.CLAIMED, values, strict=True))
        # Keys of a host's users may be of a kind that SQLite does not have.
        row.recipient_id = get_user_model()._meta.pk.to_python(row.recipient_id)
        return row

    @classmethod
    def to(cls, notification: Notification, channel: str, recipient_key: str, address: str, **facts: Any) -> Self:
        """A row, not yet written, to one recipient at one address."""
        return cls(
            notification=notification,
            channel=channel,
            recipient_key=recipient_key,
            address=address,
            address_hash=hash_address(address),
            **facts,
        )

    @property
    def is_suspect(self) -> bool:
        """Whether a worker that held it was lost, so that it must be tried alone."""
        return self.strikes > 0 or self.reason == Reason.WORKER_LOST

    @property
    def was_refused(self) -> bool:
        """Whether a provider has failed with it before. (As ``outbox.WAS_REFUSED``.)"""
        return self.attempts > 0 or self.reason in REFUSED

    @property
    def idempotency_key(self) -> str:
        """What a provider that knows idempotency gets: the same for every try of one epoch."""
        return f"{self.pk}-{self.epoch}"
