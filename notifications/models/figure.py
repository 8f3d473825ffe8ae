"""Figures about deliveries and about the queue, for Prometheus and for charts.

Whatever writes rows of the log inserts a :class:`FigureDelta` for each group of equal rows in the same transaction, so
figures and log always agree. A periodic task moves these rows into :class:`Figure`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum
from django.utils.translation import gettext_lazy as _

from notifications.events import NotificationPriority
from notifications.models.unconstrained import UnconstrainedForeignKey
from notifications.storage.figures import SUM_COLUMNS, TOTAL

BAND_NAMES = tuple(priority.name.lower() for priority in NotificationPriority)
"""The bands: ``"critical"``, ``"high"``, ``"medium"`` and ``"low"``."""


class FigureColumns(models.Model):
    """What the tables of figures have in common: what is counted, and the sums.

    :ivar hour: the start of the hour in UTC.
    :ivar provider: the name of the provider; empty if its channel has only one, and for drops.
    :ivar band: one of :data:`BAND_NAMES`.
    :ivar outcome: :data:`~notifications.storage.figures.SENT` or a ``Reason``.
    :ivar count: the number of rows of the log.
    :ivar call_seconds: the sum of the times that the provider took to answer.
    :ivar latency_seconds: for messages that were sent, the sum of the times between *due* and *accepted*. The columns
        of :data:`~notifications.storage.figures.WITHIN` are their cumulative histogram, whose total is ``count``.
    """

    class Kind(models.TextChoices):
        ATTEMPT = "attempt", _("attempt")
        DROP = "drop", _("drop")
        # Digests and batches that were made, and the deliveries in them. The outcome is the kind of digest.
        DIGEST = "digest", _("digest")
        MERGED = "merged", _("merged")

    hour = models.DateTimeField(_("hour"))
    cluster = UnconstrainedForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), null=True, db_index=False
    )
    channel = models.CharField(_("channel"), max_length=50)
    provider = models.CharField(_("provider"), max_length=100, blank=True)
    band = models.CharField(_("band"), max_length=10)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    outcome = models.CharField(_("outcome"), max_length=40)
    count = models.BigIntegerField(_("count"), default=0)
    call_seconds = models.FloatField(_("seconds of calls"), default=0.0)
    latency_seconds = models.FloatField(_("seconds of latency"), default=0.0)
    within_1 = models.BigIntegerField(_("within 1 second"), default=0)
    within_5 = models.BigIntegerField(_("within 5 seconds"), default=0)
    within_30 = models.BigIntegerField(_("within 30 seconds"), default=0)
    within_60 = models.BigIntegerField(_("within a minute"), default=0)
    within_300 = models.BigIntegerField(_("within 5 minutes"), default=0)
    within_3600 = models.BigIntegerField(_("within an hour"), default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.channel} {self.outcome}: {self.count}"


class FigureDelta(FigureColumns):
    """Figures of one transaction. Rows are inserted and moved, never updated, so transactions share no lock."""

    class Meta:
        verbose_name = _("new figure")
        verbose_name_plural = _("new figures")


class FigureQuerySet(models.QuerySet["Figure"]):
    def between(self, since: datetime, until: datetime) -> Self:
        """Return the hourly rows of the hours that start at or after ``since`` and before ``until``.

        What happened in the last 30 seconds may still be missing, because it has not been moved here.
        """
        return self.exclude(hour=TOTAL).filter(hour__gte=since, hour__lt=until)

    def totals(self) -> Self:
        """Return the rows that are sums since the beginning."""
        return self.filter(hour=TOTAL)

    def summed_by(self, *columns: str) -> Iterable[Mapping[str, Any]]:
        """Return the sums of ``SUM_COLUMNS`` for each combination of values of these columns, as mappings."""
        # After values(), Django groups by these columns, and sums can have the names of other columns.
        return self.order_by(*columns).values(*columns).annotate(**{name: Sum(name) for name in SUM_COLUMNS})


class Figure(FigureColumns):
    """Figures of one hour and cluster, or of all hours and clusters together: then ``hour`` is ``TOTAL``."""

    objects = FigureQuerySet.as_manager()

    class Meta:
        verbose_name = _("hourly figure")
        verbose_name_plural = _("hourly figures")
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "cluster", "channel", "provider", "band", "kind", "outcome"],
                condition=Q(cluster__isnull=False),
                name="klaxon_hour_once",
            ),
            models.UniqueConstraint(
                fields=["hour", "channel", "provider", "band", "kind", "outcome"],
                condition=Q(cluster__isnull=True),
                name="klaxon_hour_no_cluster_once",
            ),
        ]
        indexes = [models.Index(fields=["hour", "cluster"], name="klaxon_hour_cluster")]


class QueueSample(models.Model):
    """The queue in one minute. If it was measured several times, the depths are the last ones, the delays the highest.

    The counts are limited as ``storage.queue_depth`` describes. A delay is the time in seconds by which the oldest due
    delivery of a band is late; 0 if none is due.
    """

    minute = models.DateTimeField(_("minute"), unique=True)
    measured_at = models.DateTimeField(_("measured at"))
    ready_critical = models.PositiveIntegerField(_("ready, critical"), default=0)
    ready_high = models.PositiveIntegerField(_("ready, high"), default=0)
    ready_medium = models.PositiveIntegerField(_("ready, medium"), default=0)
    ready_low = models.PositiveIntegerField(_("ready, low"), default=0)
    waiting_critical = models.PositiveIntegerField(_("waiting, critical"), default=0)
    waiting_high = models.PositiveIntegerField(_("waiting, high"), default=0)
    waiting_medium = models.PositiveIntegerField(_("waiting, medium"), default=0)
    waiting_low = models.PositiveIntegerField(_("waiting, low"), default=0)
    delay_critical = models.FloatField(_("delay, critical"), default=0.0)
    delay_high = models.FloatField(_("delay, high"), default=0.0)
    delay_medium = models.FloatField(_("delay, medium"), default=0.0)
    delay_low = models.FloatField(_("delay, low"), default=0.0)
    dead = models.PositiveIntegerField(_("dead"), default=0)

    class Meta:
        verbose_name = _("sample of the queue")
        verbose_name_plural = _("samples of the queue")

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Availability(models.Model):
    """In how many minutes of an hour the oldest due delivery of a band was within the latency of the band."""

    hour = models.DateTimeField(_("hour"))
    band = models.CharField(_("band"), max_length=10)
    minutes = models.PositiveSmallIntegerField(_("minutes"), default=0)
    good_minutes = models.PositiveSmallIntegerField(_("good minutes"), default=0)

    class Meta:
        verbose_name = _("availability")
        verbose_name_plural = _("availability")
        constraints = [models.UniqueConstraint(fields=["hour", "band"], name="klaxon_availability_once")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.band}: {self.good_minutes}/{self.minutes}"
