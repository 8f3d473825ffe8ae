"""A work order, which shows a notification that is sent in the transaction it reports."""

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from example_project.estate.notification_events import NotificationEvents
from notifications.manager import NotificationManager


class WorkOrder(models.Model):
    """A repair in one resident's unit."""

    number = models.CharField(max_length=20, unique=True)
    cluster = models.ForeignKey(settings.NOTIFICATIONS_CLUSTER_MODEL, on_delete=models.CASCADE, related_name="+")
    resident = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="work_orders")
    technician = models.CharField(max_length=100, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Work order {self.number}"

    @transaction.atomic
    def complete(self, technician: str) -> None:
        """Complete the order and notify the resident, in one transaction."""
        self.technician, self.completed_at = technician, timezone.now()
        self.save(update_fields=["technician", "completed_at"])
        NotificationManager.send(
            event_name=NotificationEvents.MAINTENANCE_COMPLETE,
            recipients=[self.resident],
            cluster=self.cluster,
            context={
                "work_order": self.number,
                "completion_date": self.completed_at,
                "technician": technician,
            },
        )
