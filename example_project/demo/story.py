"""What happens on the estate: host code as anyone would write it."""

from datetime import date
from decimal import Decimal

from django.contrib.auth.models import User
from django.utils import timezone

from example_project.estate.models import WorkOrder
from example_project.estate.notification_events import NotificationEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster
from notifications.outcomes import SendResult
from notifications.recipients import Members


def fire(estate: Cluster) -> SendResult:
    """CRITICAL: reaches even those who opted out of everything."""
    return NotificationManager.send(
        event_name=NotificationEvents.EMERGENCY_ALERT,
        recipients=Members(estate),
        cluster=estate,
        context={"alert_message": "Fire alarm activated", "location": "Building A", "severity": "HIGH"},
    )


def bill(estate: Cluster) -> SendResult:
    """MEDIUM: an opt-out from email holds."""
    return NotificationManager.send(
        event_name=NotificationEvents.PAYMENT_DUE,
        recipients=User.objects.filter(username__in=["resident", "without-email"]),
        cluster=estate,
        context={"amount": Decimal("150.00"), "due_date": date(2026, 12, 15), "bill_number": "BILL-001"},
    )


def visitor(estate: Cluster) -> SendResult:
    """The neighbour is no member of the estate and gets nothing of it."""
    return NotificationManager.send(
        event_name=NotificationEvents.VISITOR_ARRIVAL,
        recipients=User.objects.filter(username__in=["resident", "neighbour"]),
        cluster=estate,
        context={"visitor_name": "The plumber", "unit": "A101", "arrival_time": timezone.now()},
    )


def repair(estate: Cluster) -> None:
    """Sent inside the transaction that completes the work order."""
    for number, name in (("WO-17", "resident"), ("WO-18", "without-email")):
        order = WorkOrder.objects.create(number=number, cluster=estate, resident=User.objects.get(username=name))
        order.complete(technician="The plumber")
