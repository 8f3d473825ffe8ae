"""Heartbeats: one row for each worker process that lives."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def beat(self, owner: str, host: str, pid: int, now: datetime) -> None:
        """Say that a worker lives; its row is made with the first beat."""
        if not self.filter(pk=owner).update(beat_at=now):
            self.create(pk=owner, host=host, pid=pid, started_at=now, beat_at=now)

    def bury(self, owners: list[str]) -> None:
        """Forget workers that ended, or whose deliveries were taken back."""
        self.filter(pk__in=owners).delete()


class Heartbeat(models.Model):
    """A worker process and when it was last heard of."""

    owner = models.CharField(_("owner"), max_length=100, primary_key=True)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    started_at = models.DateTimeField(_("started at"))
    beat_at = models.DateTimeField(_("last beat at"))

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.owner
