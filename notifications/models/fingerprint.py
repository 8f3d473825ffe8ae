"""Fingerprints: which notifications recipients got within the deduplication windows of events.

A row is reserved in the transaction of its ``send()``. So the result is exact for concurrent sends, and a rollback
frees the fingerprint.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.models.bucket import MAX_CLOCK_DIFFERENCE
from notifications.models.delivery import Delivery
from notifications.models.notification import Notification
from notifications.outcomes import WAITING, DeliveryState
from notifications.storage.engine import Engine, get_engine, prepare_time

TABLE = "klaxon_fingerprint"
UNSUCCESSFUL_STATES = (DeliveryState.DEAD, DeliveryState.DROPPED, DeliveryState.CANCELLED, DeliveryState.EXPIRED)


class Original(NamedTuple):
    """The first notification with a fingerprint, and its time."""

    notification_id: int
    at: datetime


def _is_cancelled_or_expired(now: datetime) -> Q:
    """Return the condition that the notification of a delivery was cancelled or has expired."""
    return Q(notification__cancelled_at__isnull=False) | Q(notification__expires_at__lte=now)


def _is_unsuccessful(now: datetime) -> Q:
    """Return the condition that a delivery was not sent and will not be, even if no worker has recorded that yet."""
    will_expire = _is_cancelled_or_expired(now) | Q(notification__expires_at__lte=models.F("due_at"))
    return Q(state__in=UNSUCCESSFUL_STATES) | Q(will_expire, state__in=WAITING)


class FingerprintQuerySet(models.QuerySet["Fingerprint"]):
    def reserve(
        self, wanted: Mapping[str, str], original: Original, until: datetime, channels: Iterable[str]
    ) -> dict[str, Original]:
        """Reserve fingerprints for ``original``; return those of duplicates, each with its own original.

        A fingerprint is free when its window has ended, or if no delivery of its original on ``channels`` was sent or
        may still be sent. Rows are locked in the order of ``wanted``, so all callers must use the same order, across
        all calls of a transaction. It takes one statement if there are no duplicates, otherwise at most four.

        :param wanted: recipient keys by fingerprint.
        """
        taken = self._take_free(wanted, original, until)
        if taken == len(wanted):
            return {}
        others = self.exclude(notification_id=original.notification_id)
        # This is a separate statement, because the previous one cannot see rows that another transaction has committed
        # while it ran.
        originals = others._find_originals(wanted, channels, original.at)
        if taken + len(originals) < len(wanted):
            others.filter(key__in=wanted.keys() - originals.keys()).update(
                notification_id=original.notification_id, first_at=original.at, until=until, folded=0
            )
        if originals:
            self.filter(key__in=originals).update(folded=models.F("folded") + 1)
        return originals

    def find_duplicates(self, keys: Iterable[str], now: datetime, channels: Iterable[str]) -> dict[str, Original]:
        """Return the fingerprints that would be duplicates now, each with its original, without reserving any.

        It takes one statement.
        """
        active = self.filter(until__gt=now, first_at__lte=now + MAX_CLOCK_DIFFERENCE)
        return active._find_originals(keys, channels, now)

    def _take_free(self, wanted: Mapping[str, str], original: Original, until: datetime) -> int:
        """Take fingerprints that are new or whose window has ended, and return their number.

        The others are locked as well.
        """
        engine = self._engine()
        source, pairs = engine.mapping_source(wanted, "wanted_key", "recipient")
        # If ``first_at`` is further ahead than clocks may differ, the clock that wrote it was set back afterwards.
        sql = f"""
            INSERT INTO {TABLE} (key, recipient_key, notification_id, first_at, until, folded)
            SELECT wanted_key, recipient, %s, %s, %s, 0 FROM {source} WHERE 1 = 1
            ON CONFLICT (key) DO UPDATE SET
                notification_id = excluded.notification_id, first_at = excluded.first_at, until = excluded.until,
                folded = 0
            WHERE {TABLE}.until <= %s OR {TABLE}.first_at > %s"""  # noqa: S608 - constant SQL
        times = (original.at, until, original.at + MAX_CLOCK_DIFFERENCE)
        now, ends_at, later = (prepare_time(engine.connection, time) for time in times)
        with engine.connection.cursor() as cursor:
            cursor.execute(sql, [original.notification_id, now, ends_at, *pairs, now, later])
            return cursor.rowcount

    def _find_originals(self, keys: Iterable[str], channels: Iterable[str], now: datetime) -> dict[str, Original]:
        """Return the fingerprints whose original was sent on one of ``channels``, or may still be sent."""
        # The channels are part of the condition, so that the unique index of the outbox finds a recipient's deliveries.
        deliveries = Delivery._base_manager.filter(
            notification_id=models.OuterRef("notification_id"),
            channel__in=list(channels),
            recipient_key=models.OuterRef("recipient_key"),
        ).exclude(_is_unsuccessful(now))
        # A digest or batch has one recipient; if it is dead, its fallback may have been sent. It is looked up in a
        # subquery: with statistics of an empty table, PostgreSQL would join every delivery with every other one.
        merged_into = Delivery._base_manager.filter(pk=models.OuterRef(models.OuterRef("merged_into_id")))
        digests = Delivery._base_manager.filter(
            notification_id=models.Subquery(merged_into.values("notification_id")[:1])
        )
        digests = digests.exclude(_is_unsuccessful(now))
        # Cancelled and expired items are removed from a digest or batch that waits.
        remains = ~_is_cancelled_or_expired(now) & Q(models.Exists(digests))
        has_left_outbox = Q(models.Exists(digests.exclude(state__in=WAITING)))
        successful = deliveries.filter(Q(merged_into=None) | remains | has_left_outbox)
        rows = self.filter(models.Exists(successful), key__in=keys)
        return {key: Original(pk, at) for key, pk, at in rows.values_list("key", "notification_id", "first_at")}

    def delete_ended(self, now: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` fingerprints whose window ended an hour ago; return their number.

        The hour ensures that a caller whose clock is behind by :data:`MAX_CLOCK_DIFFERENCE` gets the same result.
        """
        engine = self._engine()
        sql = f"""
            WITH deletable AS (SELECT id FROM {TABLE} WHERE until <= %s ORDER BY until LIMIT %s {engine.skip_locked})
            DELETE FROM {TABLE} WHERE id IN (SELECT id FROM deletable) RETURNING id"""  # noqa: S608
        with engine.connection.cursor() as cursor:
            cursor.execute(sql, [prepare_time(engine.connection, now - MAX_CLOCK_DIFFERENCE), limit])
            return len(cursor.fetchall())

    def _engine(self) -> Engine:
        self._for_write = True
        return get_engine(self.db)


class Fingerprint(models.Model):
    """An event, a recipient and the values of the deduplication key. Deleting the row frees the fingerprint."""

    key = models.CharField(_("key"), max_length=64)
    recipient_key = models.CharField(_("recipient key"), max_length=80)
    # There is no constraint and no index: deleting a notification does not read this table, and a fingerprint whose
    # notification is missing is free.
    notification = models.ForeignKey(
        Notification,
        verbose_name=_("first notification"),
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    first_at = models.DateTimeField(_("first at"))
    until = models.DateTimeField(_("until"))
    folded = models.PositiveIntegerField(_("duplicates"), default=0)

    objects = FingerprintQuerySet.as_manager()

    class Meta:
        verbose_name = _("fingerprint")
        verbose_name_plural = _("fingerprints")
        constraints = [models.UniqueConstraint(fields=["key"], name="klaxon_fingerprint_once")]
        indexes = [models.Index(fields=["until"], name="klaxon_fingerprint_until")]

    def __str__(self) -> str:
        return f"{self.recipient_key} until {self.until:%Y-%m-%d %H:%M}"
