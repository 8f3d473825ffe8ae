"""Calls of ``send()`` as the code of a site makes them."""

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


def send_alert(estate: Cluster) -> SendResult:
    """Send a CRITICAL event, which reaches even users who opted out of everything."""
    return NotificationManager.send(
        event_name=NotificationEvents.EMERGENCY_ALERT,
        recipients=Members(estate),
        cluster=estate,
        context={"alert_message": "Fire alarm activated", "location": "Building A", "severity": "HIGH"},
    )


def send_bill(estate: Cluster) -> SendResult:
    """Send a MEDIUM event, to which an opt-out from email applies."""
    return NotificationManager.send(
        event_name=NotificationEvents.PAYMENT_DUE,
        recipients=User.objects.filter(username__in=["resident", "without-email"]),
        cluster=estate,
        context={"amount": Decimal("150.00"), "due_date": date(2026, 12, 15), "bill_number": "BILL-001"},
    )


def announce_visitor(estate: Cluster) -> SendResult:
    """Send to a member and to a neighbour, who is not a member of the estate and gets nothing."""
    return NotificationManager.send(
        event_name=NotificationEvents.VISITOR_ARRIVAL,
        recipients=User.objects.filter(username__in=["resident", "neighbour"]),
        cluster=estate,
        context={"visitor_name": "The plumber", "unit": "A101", "arrival_time": timezone.now()},
    )


def complete_work_orders(estate: Cluster) -> None:
    """Complete two work orders, each in a transaction that also sends."""
    for number, name in (("WO-17", "resident"), ("WO-18", "without-email")):
        order = WorkOrder.objects.create(number=number, cluster=estate, resident=User.objects.get(username=name))
        order.complete(technician="The plumber")
