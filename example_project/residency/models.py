"""Shifts, for the figures of the weekly digest."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models


class Shift(models.Model):
    """A planned or past shift of one resident."""

    program = models.ForeignKey(settings.NOTIFICATIONS_CLUSTER_MODEL, on_delete=models.CASCADE, related_name="+")
    resident = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="shifts")
    rotation_name = models.CharField(max_length=100)
    starts_at = models.DateTimeField()
    hours = models.PositiveSmallIntegerField(default=12)

    def __str__(self) -> str:
        return f"{self.rotation_name} of {self.resident}"

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(hours=self.hours)
