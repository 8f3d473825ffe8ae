"""Rotas: who is on call when. :mod:`notifications.escalation.rota` calculates it from these tables."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.core import clock
from notifications.core.hours import get_zone
from notifications.models.cluster import cluster_or_default
from notifications.models.default_cluster import ClusterScoped


def validate_zone(value: str) -> None:
    """Refuse what is not the name of a time zone of IANA."""
    if value not in available_timezones():
        raise ValidationError(_("This is not the name of a time zone, such as Europe/Berlin."), "unknown_zone")


def validate_days(value: Any) -> None:
    """Refuse what is not a list of days of the week."""
    is_list = isinstance(value, list) and all(type(day) is int and 0 <= day <= 6 for day in value)
    if not is_list or len(set(value)) != len(value):
        raise ValidationError(_("Write a list of days, such as [0, 1, 2, 3, 4]; 0 is Monday."), "invalid_days")


class RotaQuerySet(models.QuerySet["Rota"]):
    def with_plan(self) -> "RotaQuerySet":
        """Load everything that decides who is on call."""
        return self.prefetch_related("layers__members", "overrides", "cluster")

    def find(self, cluster: Any, key: str) -> "Rota | None":
        """Return the rota with this key in a cluster; None if there is none."""
        return self.with_plan().filter(cluster=cluster_or_default(cluster), key=key).first()


class Rota(ClusterScoped):
    """A rota: its layers decide who is on call, the first one that has somebody first."""

    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    key = models.SlugField(_("key"), help_text=_("Escalations name the rota by it: rota:key."))
    name = models.CharField(_("name"), max_length=100)
    time_zone = models.CharField(
        _("time zone"), max_length=50, validators=[validate_zone], help_text=_("Such as Europe/Berlin.")
    )

    objects = RotaQuerySet.as_manager()

    class Meta:
        verbose_name = _("rota")
        verbose_name_plural = _("rotas")
        constraints = [models.UniqueConstraint(fields=["cluster", "key"], name="klaxon_rota_key")]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone; that of the site if there is no such zone any more, which the checks report."""
        return get_zone(self.time_zone)

    @property
    def has_unknown_zone(self) -> bool:
        return self.zone.key != self.time_zone


class RotaLayer(models.Model):
    """Members who take turns in a rota."""

    rota = models.ForeignKey(Rota, verbose_name=_("rota"), on_delete=models.CASCADE, related_name="layers")
    order = models.PositiveSmallIntegerField(
        _("order"), default=0, help_text=_("The layer with the lowest number has priority.")
    )
    starts_on = models.DateField(_("starts on"), help_text=_("The day on which the turn of the first member begins."))
    hand_over = models.TimeField(_("hand-over"), help_text=_("The time of day at which a turn begins."))
    turn_days = models.PositiveSmallIntegerField(
        _("days of a turn"), default=7, validators=[MinValueValidator(1), MaxValueValidator(366)]
    )
    hours_from = models.TimeField(_("from"), null=True, blank=True, help_text=_("Leave both empty for all hours."))
    hours_until = models.TimeField(_("until"), null=True, blank=True)
    days = models.JSONField(
        _("days"),
        default=list,
        blank=True,
        validators=[validate_days],
        help_text=_("The days on which these hours begin; 0 is Monday. Leave empty for all days."),
    )

    class Meta:
        verbose_name = _("layer")
        verbose_name_plural = _("layers")
        ordering = ["order", "pk"]
        constraints = [models.CheckConstraint(condition=models.Q(turn_days__gte=1), name="klaxon_turn_days")]

    def __str__(self) -> str:
        return f"{self.rota}, {self.order}"

    def clean(self) -> None:
        if (self.hours_from is None) != (self.hours_until is None):
            raise ValidationError({"hours_until": _("Enter both times or none.")})


class RotaMember(models.Model):
    """A member of a layer. The order of the turns is that of ``order``."""

    layer = models.ForeignKey(RotaLayer, verbose_name=_("layer"), on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    order = models.PositiveSmallIntegerField(_("order"), default=0)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["order", "pk"]

    def __str__(self) -> str:
        return str(self.user)


class Period(models.Model):
    """A time of one user, from ``starts_at`` until just before ``ends_at``."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    starts_at = models.DateTimeField(_("starts at"))
    ends_at = models.DateTimeField(_("ends at"))
    note = models.CharField(_("note"), max_length=200, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.user}: {self.starts_at:%Y-%m-%d %H:%M}"

    def clean(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at - self.starts_at <= timedelta():
            raise ValidationError({"ends_at": _("The end must be after the start.")})


class RotaOverride(Period):
    """A time in which a user is on call in place of everybody else. Of several, the one that was made last applies."""

    rota = models.ForeignKey(Rota, verbose_name=_("rota"), on_delete=models.CASCADE, related_name="overrides")
    created_at = models.DateTimeField(_("created at"), default=clock.now, editable=False)

    class Meta:
        verbose_name = _("override")
        verbose_name_plural = _("overrides")
        # The clock of a process may be set back.
        ordering = ["pk"]


class TimeOff(Period):
    """A time in which a user takes no turns in any rota."""

    class Meta:
        verbose_name = _("time off")
        verbose_name_plural = _("time off")
        indexes = [models.Index(fields=["user", "ends_at"], name="klaxon_time_off")]
