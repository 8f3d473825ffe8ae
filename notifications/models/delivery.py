"""Deliveries: the outbox. One row for each recipient, channel and address of a notification.

Every change of state is one method of :class:`DeliveryQuerySet` and one conditional UPDATE, except ``cancel_merged()``,
which runs several statements, and ``storage.waiting.shed()``. ``docs/architecture.md`` describes the states and
transitions. The ``fence`` that a worker gets with a claim proves that the claim is valid.
"""

import json
import os
import socket
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Self
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.db.models import Q
from django.db.models.base import ModelState
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import hash_address
from notifications.models.notification import Notification, load_notifications
from notifications.outcomes import WAITING, DeliveryState, Reason
from notifications.storage import digest_items, outbox
from notifications.storage.digest_items import DigestRemoval
from notifications.storage.engine import read_time
from notifications.storage.outbox import LostClaim, StateChange

# ``outbox.WAITS_FOR_DIGEST_SQL`` for statements with joins and for the ORM.
WAITS_FOR_DIGEST_JOIN_SQL = "klaxon_delivery.state = 'held' AND klaxon_delivery.reason IN ('batch', 'digest')"
WAITS_FOR_DIGEST = Q(state="held", reason__in=("batch", "digest"))
DIGEST_NOTIFICATION = "merged_into__notification"
FAILURE_REASONS = (Reason.CONFIGURATION, Reason.TEMPORARY, Reason.LOST_CONTACT)


def make_owner_name() -> str:
    """Return a new name for the worker that ``Delivery.owner`` records: its host, its process id and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"[-100:]


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def release_due(self, now: datetime, limit: int = 1000) -> int:
        """Make due rows that are held or wait for a retry ready, at most ``limit``, the longest due first.

        Rows that wait for a digest or batch are not released. Returns the number of rows.
        """
        return outbox.release_due(self._write_db, now, limit)

    def release_overdue(self, now: datetime, limit: int = 1000) -> int:
        """Make rows ready that no digest or batch has taken within an hour of their time; return their number."""
        return outbox.release_overdue(self._write_db, now, limit)

    def has_more_ready_than(self, depth: int) -> bool:
        """Return whether more than ``depth`` rows are ready; False if ``depth`` is 0, without a statement.

        It reads the index of ready rows, as claiming does, and no further than ``depth``.
        """
        ready = self.using(self._write_db).filter(state=DeliveryState.READY).order_by("-score", "id")
        return bool(depth and ready.values_list("pk")[depth : depth + 1])

    def claim(
        self,
        owner: str,
        lease: datetime,
        limit: int,
        notification_ids: Sequence[int] = (),
        oldest_first: bool = False,
        excluded_channels: Collection[str] = (),
        min_score: int = 0,
    ) -> list["Delivery"]:
        """Claim up to ``limit`` ready rows for ``owner`` until ``lease``, highest score first.

        Two claims never return the same row.

        :param notification_ids: the notifications whose deliveries to claim; by default those of all notifications.
        :param oldest_first: whether to claim the oldest rows instead of those with the highest score.
        :param excluded_channels: the channels to leave out.
        :param min_score: the lowest score to claim.
        """
        sql, params = outbox.claim_statement(
            self._write_db, owner, lease, limit, notification_ids, oldest_first, excluded_channels, min_score
        )
        with connections[self._write_db].cursor() as cursor:
            cursor.execute(sql, params)
            claimed = Delivery.from_claim(cursor.fetchall(), self._write_db)
        claimed.sort(key=attrgetter("id"))
        claimed.sort(key=attrgetter("score"), reverse=True)
        return claimed

    def claim_probe(
        self, owner: str, lease: datetime, channel: str, notification_ids: Sequence[int] = ()
    ) -> list["Delivery"]:
        """Claim the delivery of a channel that probes a provider after failures; return an empty list if none is ready.

        If possible, it is a new delivery that no provider has failed with: a delivery that was refused may be refused
        again each time, and must not keep the circuit open for all others.
        """
        sql, params = outbox.claim_probe_statement(self._write_db, owner, lease, channel, notification_ids)
        with connections[self._write_db].cursor() as cursor:
            cursor.execute(sql, params)
            return Delivery.from_claim(cursor.fetchall(), self._write_db)

    def with_notifications(self, rows: Iterable["Delivery"]) -> list["Delivery"]:
        """Return the claimed rows whose notification still exists, with the notification and its cluster.

        It takes one query.
        """
        rows = list(rows)
        found = load_notifications(set(map(attrgetter("notification_id"), rows)), self._write_db)
        remaining = []
        for row in rows:
            # A missing notification has just been deleted with its cluster and deliveries.
            if row.notification_id in found:
                row._state.fields_cache["notification"] = found[row.notification_id]
                remaining.append(row)
        return remaining

    def mark_sending(self, deliveries: Iterable["Delivery"], lease: datetime) -> set[int]:
        """Count an attempt and change claimed rows to *sending*; return the ids of those whose fence still matched."""
        return outbox.mark_sending(self._write_db, list(map(attrgetter("id", "fence"), deliveries)), lease)

    def begin_trial(self, delivery: "Delivery") -> bool:
        """Count a strike in advance for a claimed row that is tried alone; :meth:`settle` removes it.

        Returns whether the fence still matched.
        """
        claimed = self.filter(pk=delivery.pk, fence=delivery.fence, state=DeliveryState.CLAIMED)
        return bool(claimed.update(strikes=models.F("strikes") + 1, reason=Reason.ON_TRIAL))

    def settle(self, changes: Sequence[StateChange], now: datetime) -> set[int]:
        """Write changes of state; return the ids of the rows whose fence and state still matched.

        :raises ValueError: if ``core.transitions`` does not allow a change.
        """
        return outbox.settle(self._write_db, changes, now)

    def renew_leases(self, owner: str, ids: Collection[int], lease: datetime) -> int:
        """Extend the leases of rows that ``owner`` has claimed and does not send yet; return the number of rows."""
        return outbox.renew_leases(self._write_db, owner, ids, lease)

    def wait_until_writable(self) -> None:
        """Wait until this table can be written, as any writer would. Nothing is changed."""
        self.filter(pk=-1).update(owner=models.F("owner"))

    def find_suspects(self, owners: Sequence[str], now: datetime) -> list[tuple[int, int, str]]:
        """Return id, fence and owner of rows whose lease has expired, or that one of ``owners`` has claimed."""
        return outbox.find_suspects(self._write_db, owners, now)

    def take_back(self, lost: Sequence[LostClaim], now: datetime) -> list["Delivery"]:
        """Take rows back from lost workers: *claimed* becomes *ready*, *sending* becomes *unknown*.

        A row with the third strike becomes *dead*. A strike counts only if the row was on trial when its worker died.
        Returns the updated rows: those whose fence still matched.
        """
        if not lost:
            return []
        sql, params = outbox.take_back_statement(self._write_db, lost, now)
        return list(self.model._base_manager.db_manager(self._write_db).raw(sql, params))

    def recipients_due_for_digest(self, now: datetime) -> Any:
        """Return the keys of recipients for whom a digest or batch is due, the longest due first."""
        due = self.extra(where=[outbox.WAITS_FOR_DIGEST_SQL]).filter(due_at__lte=now)  # noqa: S610 - constant SQL
        first = due.order_by().values("recipient_key").annotate(since=models.Min("due_at"))
        return first.order_by("since").values_list("recipient_key", flat=True)

    def lock_digest_items(self, recipient_keys: Sequence[str]) -> list["Delivery"]:
        """Lock the rows of these recipients that wait for a digest or batch until the transaction ends.

        Returns the locked rows, oldest first.
        """
        ids = digest_items.lock_digest_items(self._write_db, recipient_keys)
        waiting = self.extra(where=[WAITS_FOR_DIGEST_JOIN_SQL]).filter(recipient_key__in=recipient_keys)  # noqa: S610 - constant SQL
        rows = waiting.select_related("notification__cluster").order_by("pk").defer("notification__context")
        return [row for row in rows.iterator(chunk_size=1000) if row.pk in ids]

    def merge(self, pairs: Sequence[tuple[int, int]], now: datetime) -> set[int]:
        """Merge held rows into digests or batches, given as pairs of ids; return the ids of the merged rows."""
        return digest_items.merge(self._write_db, pairs, now)

    def remove_from_digests(self, removals: Sequence[DigestRemoval], now: datetime) -> set[int]:
        """Remove merged rows from claimed digests and batches; return the ids of those that were removed."""
        return digest_items.remove_from_digests(self._write_db, removals, now)

    def load_digest_items(self, digests: Iterable["Delivery"]) -> list["Delivery"]:
        """Return the rows that were merged into these digests and batches, without the contexts.

        This includes items of a digest that has moved to a fallback channel.
        """
        items = self.filter(merged_into__notification__in=[row.notification_id for row in digests])
        rows = items.select_related("notification__cluster", "merged_into").order_by("pk")
        return list(rows.defer("notification__context"))

    def items_of_digest(self, notification: Notification) -> "DeliveryQuerySet":
        """Return the rows that were merged into a digest or batch: the most urgent first, then the oldest."""
        rows = self.filter(merged_into__notification=notification).select_related("notification")
        return rows.order_by("notification__priority", "notification__created_at", "pk")

    def cancel(self, now: datetime) -> int:
        """Cancel the rows that no worker has claimed yet; return their number."""
        return self.filter(state__in=WAITING).update(
            state=DeliveryState.CANCELLED, reason=Reason.CANCELLED, settled_at=now, due_at=None
        )

    def withdraw(self, now: datetime) -> int:
        """Cancel the rows that are claimed and not being sent; return their number. Their workers lose the claims."""
        return self.filter(state=DeliveryState.CLAIMED).update(
            state=DeliveryState.CANCELLED,
            reason=Reason.CANCELLED,
            settled_at=now,
            due_at=None,
            owner="",
            lease=None,
            fence=models.F("fence") + 1,
        )

    def cancel_merged(self, now: datetime) -> int:
        """Cancel the rows in digests and batches that no worker has claimed yet; return the number of rows.

        Digests and batches without any other content are cancelled as well. Call it in a transaction.
        """
        everything = self.model._base_manager.using(self._write_db)
        merged = self.filter(state=DeliveryState.MERGED, merged_into__isnull=False)
        notification_ids = set(merged.values_list(DIGEST_NOTIFICATION, flat=True))
        if not notification_ids:
            return 0
        # Digests are locked: a worker that claimed one now would send it with the rows that are cancelled here.
        waiting = everything.filter(notification__in=notification_ids, state__in=WAITING)
        digests = dict(waiting.order_by("pk").select_for_update().values_list("pk", "notification"))
        items = list(merged.filter(merged_into__notification__in=digests.values()).values_list("pk", flat=True))
        count = everything.filter(pk__in=items, state=DeliveryState.MERGED).update(
            state=DeliveryState.CANCELLED, reason=Reason.CANCELLED, settled_at=now, merged_into=None
        )
        remaining = everything.filter(merged_into__notification__in=digests.values())
        with_content = set(remaining.values_list(DIGEST_NOTIFICATION, flat=True))
        notifications = Notification.objects.using(self._write_db).filter(pk__in=digests.values())
        with_content.update(notifications.filter(context__has_key="sections").values_list("pk", flat=True))
        empty = [pk for pk, notification_id in digests.items() if notification_id not in with_content]
        Delivery.objects.using(self._write_db).filter(pk__in=empty).cancel(now)
        return count

    def dead_letters(self, since: datetime | None = None, until: datetime | None = None) -> "DeliveryQuerySet":
        """Return dead rows that died at or after ``since`` and before ``until``, the longest dead first."""
        dead = self.filter(state=DeliveryState.DEAD).order_by("settled_at", "pk")
        if since is not None:
            dead = dead.filter(settled_at__gte=since)
        return dead if until is None else dead.filter(settled_at__lt=until)

    def reopen(self, now: datetime) -> int:
        """Start a new epoch of dead and unknown rows, without attempts or strikes; return the number of rows.

        The fence is kept.
        """
        return self.filter(state__in=(DeliveryState.DEAD, DeliveryState.UNKNOWN)).update(
            state=DeliveryState.READY,
            reason=Reason.RETRIED,
            epoch=models.F("epoch") + 1,
            attempts=0,
            strikes=0,
            due_at=now,
            settled_at=None,
            tried_providers="",
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
    # The names of the providers that have failed in this round, as a JSON list; see list_tried_providers().
    tried_providers = models.TextField(_("tried providers"), blank=True)
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
        # The indexes are partial, so that millions of finished rows do not slow the worker down. outbox.py repeats
        # their conditions word for word: SQLite uses a partial index only if the query contains its condition as
        # literals.
        indexes = [
            models.Index(fields=["-score", "id"], condition=Q(state="ready"), name="klaxon_delivery_ready"),
            models.Index(fields=["id"], condition=Q(state="ready"), name="klaxon_delivery_oldest"),
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=("held", "retry")) & ~Q(reason__in=("batch", "digest")),
                name="klaxon_delivery_due",
            ),
            models.Index(fields=["due_at"], condition=WAITS_FOR_DIGEST, name="klaxon_delivery_digest_due"),
            models.Index(fields=["recipient_key"], condition=WAITS_FOR_DIGEST, name="klaxon_delivery_digest_key"),
            models.Index(fields=["lease"], condition=Q(state__in=("claimed", "sending")), name="klaxon_delivery_lease"),
            models.Index(fields=["settled_at"], condition=Q(state="dead"), name="klaxon_delivery_dead"),
            # The admin lists them; they are as rare as lost workers.
            models.Index(fields=["id"], condition=Q(state="unknown"), name="klaxon_delivery_unknown"),
            models.Index(fields=["merged_into"], condition=Q(merged_into__isnull=False), name="klaxon_delivery_merged"),
            # Webhooks and returned mails name a delivery by this id.
            models.Index(
                fields=["provider_message_id"],
                condition=Q(provider_message_id__gt=""),
                name="klaxon_delivery_provider_id",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} #{self.pk}"

    @classmethod
    def from_claim(cls, claimed: Iterable[Sequence[Any]], using: str) -> list[Self]:
        """Return rows with the values of a claim; the other columns are deferred.

        It does not call the model's ``__init__()``, which would take longer than the claim itself.
        """
        # The primary key of the host's users may have a type that SQLite does not have.
        to_python = get_user_model()._meta.pk.to_python
        rows = []
        for values in claimed:
            row = cls.__new__(cls)
            row._state = ModelState()
            row._state.db, row._state.adding = using, False
            row.__dict__.update(zip(outbox.CLAIMED_COLUMNS, values, strict=True))
            row.recipient_id = to_python(row.recipient_id)
            row.due_at = read_time(row.due_at)
            rows.append(row)
        return rows

    @classmethod
    def build(cls, notification: Notification, channel: str, recipient_key: str, address: str, **fields: Any) -> Self:
        """Return an unsaved row for one recipient at one address."""
        return cls(
            notification=notification,
            channel=channel,
            recipient_key=recipient_key,
            address=address,
            address_hash=hash_address(address),
            **fields,
        )

    @property
    def needs_trial(self) -> bool:
        """Whether a worker was lost while it processed the delivery, so that the delivery must be tried alone."""
        return self.strikes > 0 or self.reason == Reason.WORKER_LOST

    @property
    def has_failed_before(self) -> bool:
        """Whether a provider has failed with the delivery before, as in ``outbox.HAS_FAILED_BEFORE``."""
        return self.attempts > 0 or bool(self.tried_providers) or self.reason in FAILURE_REASONS

    @property
    def since(self) -> datetime:
        """The time at which it was first due, for its latency.

        That is the end of its hold; without one, the time for which its notification was sent. The end of a hold is
        stored until the delivery waits for a retry. So the wait of a retry counts, and so does the hold before it.
        """
        is_retry = self.attempts > 1 or self.tried_providers
        if self.due_at is None or (is_retry and self.epoch == 0):
            return self.notification.wanted_at
        return self.due_at

    def list_tried_providers(self) -> list[str]:
        """Return the names of the providers that have failed with the delivery in this round, the first one first."""
        names: list[str] = json.loads(self.tried_providers) if self.tried_providers else []
        return names

    @property
    def log_ids(self) -> dict[str, Any]:
        """What a line of the log says about it, as ``extra``. It makes no query."""
        ids = {"delivery_id": self.pk, "notification_id": self.notification_id, "channel": self.channel}
        notification = self._state.fields_cache.get("notification")
        return ids if notification is None else {**notification.log_ids, **ids}

    @property
    def idempotency_key(self) -> str:
        """The key for providers with idempotency: the same for all attempts of an epoch."""
        return f"{self.pk}-{self.epoch}"
