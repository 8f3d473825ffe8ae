"""The figures of events, campaigns and variants: how many deliveries were sent, opened and so on, for each day."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections, models
from django.utils.translation import gettext_lazy as _


class FigureKey(NamedTuple):
    """What is counted. Each delivery is counted once for each metric."""

    day: date
    cluster_id: Any
    event: str
    campaign: str
    variant: str
    metric: str


class TrackingFigureQuerySet(models.QuerySet["TrackingFigure"]):
    def add(self, counts: Mapping[FigureKey, int]) -> None:
        """Add to counts, in one statement. The order of the rows is fixed, so two transactions cannot deadlock."""
        if not counts:
            return
        connection = connections[self.db]
        to_column = TrackingFigure._meta.get_field("cluster").get_db_prep_value
        to_day = TrackingFigure._meta.get_field("day").get_db_prep_value
        params: list[Any] = []
        for key, count in sorted(counts.items(), key=lambda item: tuple(map(str, item[0]))):
            params += [to_day(key.day, connection), to_column(key.cluster_id, connection), *key[2:], count]
        rows = ", ".join(["(%s, %s, %s, %s, %s, %s, %s)"] * len(counts))
        # The ORM cannot add to a value on a conflict.
        sql = f"""
            INSERT INTO klaxon_trackingfigure (day, cluster_id, event, campaign, variant, metric, count)
            VALUES {rows}
            ON CONFLICT (day, cluster_id, event, campaign, variant, metric)
            DO UPDATE SET count = klaxon_trackingfigure.count + excluded.count"""  # noqa: S608 - only placeholders
        with connection.cursor() as cursor:
            cursor.execute(sql, params)


class TrackingFigure(models.Model):
    """The number of deliveries of one event, campaign and variant in a cluster that did something on one day."""

    class Metric(models.TextChoices):
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        DELIVERED = "delivered", _("delivered")
        BOUNCED = "bounced", _("bounced")
        COMPLAINED = "complained", _("reported as spam")
        UNSUBSCRIBED = "unsubscribed", _("unsubscribed")
        OPENED = "opened", _("opened")
        CLICKED = "clicked", _("clicked")
        MACHINE_OPENED = "machine_opened", _("opened by a machine")
        MACHINE_CLICKED = "machine_clicked", _("clicked by a machine")

    day = models.DateField(_("day"))
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    event = models.CharField(_("event"), max_length=100)
    campaign = models.CharField(_("campaign"), max_length=200, blank=True)
    variant = models.CharField(_("variant"), max_length=50, blank=True)
    metric = models.CharField(_("metric"), max_length=20, choices=Metric.choices)
    count = models.BigIntegerField(_("count"), default=0)

    objects = TrackingFigureQuerySet.as_manager()

    class Meta:
        verbose_name = _("figure")
        verbose_name_plural = _("figures")
        constraints = [
            models.UniqueConstraint(
                fields=["day", "cluster", "event", "campaign", "variant", "metric"], name="klaxon_figure_once"
            ),
        ]
        indexes = [
            models.Index(fields=["event", "day"], name="klaxon_figure_event"),
            models.Index(fields=["campaign", "day"], name="klaxon_figure_campaign"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.event} {self.metric}: {self.count}"
