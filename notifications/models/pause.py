"""Pauses: channels that are stopped at runtime. Queued deliveries wait; none is lost, and no attempt is counted."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

EVERYTHING = "*"


class PauseQuerySet(models.QuerySet["Pause"]):
    def channel_names(self) -> frozenset[str]:
        """Return the paused channels; ``"*"`` means all channels."""
        return frozenset(self.values_list("channel", flat=True))

    def pause(self, channel: str, note: str, now: datetime) -> bool:
        """Pause a channel; return False if it is already paused."""
        return self.get_or_create(channel=channel, defaults={"note": note, "since": now})[1]

    def resume(self, channel: str) -> bool:
        """Resume a channel; return False if it is not paused."""
        return bool(self.filter(channel=channel).delete()[0])


class Pause(models.Model):
    """A paused channel. Deleting the row resumes it."""

    channel = models.CharField(
        _("channel"), max_length=50, primary_key=True, help_text=_("The name of a channel, or * for all channels.")
    )
    note = models.CharField(_("note"), max_length=200, blank=True)
    since = models.DateTimeField(_("since"))

    objects = PauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")

    def __str__(self) -> str:
        return self.channel
