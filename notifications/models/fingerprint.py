"""Fingerprints: what was sent to whom, while a repeat of it would be folded into the first.

A row is reserved in the transaction of its ``send()``: it is exact however many send at once, and a rollback frees it.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.models.bucket import CLOCKS_DIFFER
from notifications.models.delivery import Delivery
from notifications.models.notification import Notification
from notifications.outcomes import WAITING, DeliveryState
from notifications.storage.in_array import postgres_array

TABLE = "klaxon_fingerprint"
CAME_TO_NOTHING = (DeliveryState.DEAD, DeliveryState.DROPPED, DeliveryState.CANCELLED, DeliveryState.EXPIRED)


class Original(NamedTuple):
    """What came first, and when: a repeat is folded into it."""

    notification_id: int
    at: datetime


def _is_called_off(now: datetime) -> Q:
    """Of deliveries, that they were cancelled or have expired: what waits does not go out then."""
    return Q(notification__cancelled_at__isnull=False) | Q(notification__expires_at__lte=now)


def _is_lost(now: datetime) -> Q:
    """Of deliveries, that nothing came of them, or that nothing will, though no worker has said so yet."""
    will_not = _is_called_off(now) | Q(notification__expires_at__lte=models.F("due_at"))
    return Q(state__in=CAME_TO_NOTHING) | Q(will_not, state__in=WAITING)


class FingerprintQuerySet(models.QuerySet["Fingerprint"]):
    def reserve(
        self, wanted: Mapping[str, str], mine: Original, until: datetime, channels: Iterable[str]
    ) -> dict[str, Original]:
        """Reserve fingerprints, given with their recipient keys; returns those that are repeats, with the first.

        A fingerprint is free when its window is over, or when nothing comes of the first on any of ``channels``. All
        take their locks in the order of ``wanted``, so it must be the same order for everybody, across all calls of a
        transaction. One statement where nothing is a repeat, at most four otherwise.
        """
        taken = self._take(wanted, mine, until)
        if taken == len(wanted):
            return {}
        others = self.exclude(notification_id=mine.notification_id)
        # A statement of its own: what another transaction has just committed, the statement above does not see yet.
        firsts = others._still_reaching(wanted, channels, mine.at)
        if taken + len(firsts) < len(wanted):
            others.filter(key__in=wanted.keys() - firsts.keys()).update(
                notification_id=mine.notification_id, first_at=mine.at, until=until, folded=0
            )
        if firsts:
            self.filter(key__in=firsts).update(folded=models.F("folded") + 1)
        return firsts

    def repeats(self, keys: Iterable[str], now: datetime, channels: Iterable[str]) -> dict[str, Original]:
        """Of fingerprints those that would be repeats now, with the first. One statement; reserves nothing."""
        holding = self.filter(until__gt=now, first_at__lte=now + CLOCKS_DIFFER)
        return holding._still_reaching(keys, channels, now)

    def _take(self, wanted: Mapping[str, str], mine: Original, until: datetime) -> int:
        """Take those that are new, or whose window is over, and say how many. The others are locked all the same."""
        connection = self._connection()
        adapt = connection.ops.adapt_datetimefield_value
        pairs: list[Any]
        # Both keep the order of what they are given.
        if connection.vendor == "postgresql":
            given = "unnest(%s::text[], %s::text[]) AS wanted(its_key, who)"
            pairs = [postgres_array([*wanted]), postgres_array([*wanted.values()])]
        else:
            given, pairs = "(SELECT key AS its_key, value AS who FROM json_each(%s)) AS wanted", [json.dumps(wanted)]
        # A first that lies further ahead than clocks differ was written by a clock that has been set back since.
        sql = f"""
            INSERT INTO {TABLE} (key, recipient_key, notification_id, first_at, until, folded)
            SELECT its_key, who, %s, %s, %s, 0 FROM {given} WHERE 1 = 1
            ON CONFLICT (key) DO UPDATE SET
                notification_id = excluded.notification_id, first_at = excluded.first_at, until = excluded.until,
                folded = 0
            WHERE {TABLE}.until <= %s OR {TABLE}.first_at > %s"""  # noqa: S608 - only our own words are formatted in
        now, later = adapt(mine.at), adapt(mine.at + CLOCKS_DIFFER)
        with connection.cursor() as cursor:
            cursor.execute(sql, [mine.notification_id, now, adapt(until), *pairs, now, later])
            return cursor.rowcount

    def _still_reaching(self, keys: Iterable[str], channels: Iterable[str], now: datetime) -> dict[str, Original]:
        """Those whose first was sent to its recipient, or may still be, on one of ``channels``."""
        # With its channels named, the unique index of the outbox finds the deliveries of one recipient.
        mine = Delivery._base_manager.filter(
            notification_id=models.OuterRef("notification_id"),
            channel__in=list(channels),
            recipient_key=models.OuterRef("recipient_key"),
        ).exclude(_is_lost(now))
        # A digest or batch is to one recipient; where it died, its fallback may have it. It is looked up in a subquery:
        # where PostgreSQL takes the table for empty, it would join every delivery with every other one.
        merged_into = Delivery._base_manager.filter(pk=models.OuterRef(models.OuterRef("merged_into_id")))
        whole = Delivery._base_manager.filter(
            notification_id=models.Subquery(merged_into.values("notification_id")[:1])
        )
        whole = whole.exclude(_is_lost(now))
        # What was called off leaves a digest or batch that has still to go out.
        stays = ~_is_called_off(now) & Q(models.Exists(whole))
        went = Q(models.Exists(whole.exclude(state__in=WAITING)))
        reaching = mine.filter(Q(merged_into=None) | stays | went)
        rows = self.filter(models.Exists(reaching), key__in=keys)
        return {key: Original(pk, at) for key, pk, at in rows.values_list("key", "notification_id", "first_at")}

    def forget_past(self, now: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` fingerprints whose window is over; returns how many.

        Only those that have been over for an hour: whoever comes with a time as old as that finds nothing changed.
        """
        connection = self._connection()
        skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
        sql = f"""
            WITH gone AS (SELECT id FROM {TABLE} WHERE until <= %s ORDER BY until LIMIT %s {skip})
            DELETE FROM {TABLE} WHERE id IN (SELECT id FROM gone) RETURNING id"""  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(sql, [connection.ops.adapt_datetimefield_value(now - CLOCKS_DIFFER), limit])
            return len(cursor.fetchall())

    def _connection(self) -> Any:
        self._for_write = True
        return connections[self.db]


class Fingerprint(models.Model):
    """The same event to the same recipient with the same values. Deleting the row frees it."""

    key = models.CharField(_("key"), max_length=64)
    recipient_key = models.CharField(_("recipient key"), max_length=80)
    # No constraint and no index: whoever deletes a notification need not look here, and what is left is free.
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
    folded = models.PositiveIntegerField(_("repeats folded"), default=0)

    objects = FingerprintQuerySet.as_manager()

    class Meta:
        verbose_name = _("fingerprint")
        verbose_name_plural = _("fingerprints")
        constraints = [models.UniqueConstraint(fields=["key"], name="klaxon_fingerprint_once")]
        indexes = [models.Index(fields=["until"], name="klaxon_fingerprint_until")]

    def __str__(self) -> str:
        return f"{self.recipient_key} until {self.until:%Y-%m-%d %H:%M}"
