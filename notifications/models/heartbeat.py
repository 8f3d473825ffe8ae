"""Heartbeats: one row for each live worker process."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def beat(self, owner: str, host: str, pid: int, now: datetime) -> None:
        """Record that a worker is alive. The first heartbeat creates its row."""
        if not self.filter(pk=owner).update(beat_at=now):
            self.create(pk=owner, host=host, pid=pid, started_at=now, beat_at=now)

    def remove(self, owners: list[str]) -> None:
        """Delete the rows of workers that have stopped, or whose deliveries were rescued."""
        self.filter(pk__in=owners).delete()


class Heartbeat(models.Model):
    """A worker process with the time of its last heartbeat."""

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
