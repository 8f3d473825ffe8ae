"""The usage examples of the estate's own design document, as they are written there."""

from datetime import datetime
from enum import Enum
from types import SimpleNamespace

import pytest
from django.core import mail
from django.db import DatabaseError
from django.utils import translation

from example_project.estate.models import WorkOrder
from example_project.estate.notification_events import NotificationEvents
from example_project.estate.transforms import payment_for_email, payment_for_sms
from notifications.channels.log import LogChannel
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import (
    NOTIFICATION_EVENTS,
    NotificationChannel,
    NotificationEvent,
    NotificationPriority,
)
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, NotificationLog
from notifications.testing import temporary_events
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def cluster():
    return ClusterFactory(name="Rosewood")


@pytest.fixture
def residents(cluster):
    users = UserFactory.create_batch(2)
    cluster.members.set(users)
    for user in users:
        user.cluster = cluster
        user.email_address = user.email
    return users


def deliver():
    return dict(Dispatcher().run_until_idle())


def test_example_1_simple_notification_sending(residents):
    user1, user2 = residents
    request = SimpleNamespace(user=user1)
    result = NotificationManager.send(
        event_name=NotificationEvents.VISITOR_ARRIVAL,
        recipients=[user1, user2],
        cluster=request.user.cluster,
        context={"visitor_name": "John Doe", "unit": "A101", "arrival_time": datetime(2024, 2, 15, 14, 30)},
    )
    assert result
    assert result.not_configured == ("websocket",)
    assert deliver() == {"sent": 2}
    assert "John Doe arrived at 14:30 on February 15, 2024 for unit A101." in mail.outbox[0].body


def test_example_1_as_written_with_the_present_time(residents):
    assert NotificationManager.send(
        event_name=NotificationEvents.VISITOR_ARRIVAL,
        recipients=residents,
        cluster=residents[0].cluster,
        context={
            "visitor_name": "John Doe",
            "unit": "A101",
            "arrival_time": datetime.now(),  # noqa: DTZ005 - as the document has it
        },
    )


def test_example_2_an_emergency_bypasses_preferences(cluster, residents):
    for user in residents:
        UserSettingsFactory(user=user, cluster=cluster, channels={"EMAIL": False}, events={"EMERGENCY_ALERT": False})
    all_cluster_users = cluster.members.all()
    result = NotificationManager.send(
        event_name=NotificationEvents.EMERGENCY_ALERT,
        recipients=all_cluster_users,
        cluster=cluster,
        context={"alert_message": "Fire alarm activated", "location": "Building A", "severity": "HIGH"},
    )
    assert result
    assert deliver() == {"sent": 2}
    assert mail.outbox[0].subject == "Emergency at Building A: Fire alarm activated"


def test_example_3_adding_an_event_and_using_it_at_once(cluster, residents):
    class NotificationEvents(Enum):
        MAINTENANCE_COMPLETE = "maintenance_complete"

    resident = residents[0]
    with temporary_events():
        NOTIFICATION_EVENTS[NotificationEvents.MAINTENANCE_COMPLETE] = NotificationEvent(
            name=NotificationEvents.MAINTENANCE_COMPLETE.value,
            priority=NotificationPriority.MEDIUM,
            supported_channels=[NotificationChannel.EMAIL, NotificationChannel.APP],
        )
        assert NotificationManager.send(
            event_name=NotificationEvents.MAINTENANCE_COMPLETE,
            recipients=[resident],
            cluster=cluster,
            context={
                "work_order": "12345",
                "completion_date": datetime.now(),  # noqa: DTZ005 - as the document has it
                "technician": "John Smith",
            },
        )
        assert deliver() == {"sent": 2}
    assert InboxItem.objects.get(recipient=resident).title == "Work order 12345 is done"


def test_example_4_the_new_call_that_replaces_the_old_one(residents):
    user = residents[0]
    assert NotificationManager.send(
        event_name=NotificationEvents.VISITOR_ARRIVAL,
        recipients=[user],
        cluster=user.cluster,
        context={
            "visitor_name": "John Doe",
            "access_code": "ABC123",
            "arrival_time": datetime.now(),  # noqa: DTZ005 - as the document has it
        },
    )
    assert deliver() == {"sent": 1}
    assert "Access code: ABC123" in mail.outbox[0].body


BASE_CONTEXT = {"amount": 150.00, "due_date": datetime(2024, 2, 15), "bill_number": "BILL-001"}


def test_example_5_the_email_spells_out():
    assert payment_for_email(BASE_CONTEXT) == {
        "amount": 150.00,
        "due_date": datetime(2024, 2, 15),
        "bill_number": "BILL-001",
        "formatted_amount": "$150.00",
        "formatted_due_date": "February 15, 2024",
    }


def test_example_5_the_text_message_abbreviates():
    assert payment_for_sms(BASE_CONTEXT) == {"amount": "$150", "due": "Feb 15", "bill": "BILL-001"}


def test_example_5_in_another_language_and_currency():
    with translation.override("de"):
        told = payment_for_email({**BASE_CONTEXT, "currency": "EUR"})
    assert (told["formatted_amount"], told["formatted_due_date"]) == ("150,00\xa0€", "15. Februar 2024")


def test_example_5_as_an_email(cluster, residents):
    NotificationManager.send(NotificationEvents.PAYMENT_DUE, residents[0], cluster, BASE_CONTEXT)
    deliver()
    assert mail.outbox[0].subject == "Bill BILL-001: $150.00 due on February 15, 2024"


class TextMessages(LogChannel):
    """A stand-in for a paid provider: what it would send stands in the log."""


def test_example_5_as_a_text_message(cluster, residents, settings, caplog):
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"BACKEND": f"{__name__}.TextMessages"}}}
    event = NOTIFICATION_EVENTS[NotificationEvents.PAYMENT_DUE]
    with temporary_events() as events, caplog.at_level("INFO"):
        events[NotificationEvents.PAYMENT_DUE] = NotificationEvent(
            event.name, event.priority, [NotificationChannel.SMS], event.context, transforms=event.transforms
        )
        NotificationManager.send(NotificationEvents.PAYMENT_DUE, residents[0], cluster, BASE_CONTEXT)
        assert deliver() == {"sent": 1}
    assert "Bill BILL-001: $150 due Feb 15." in caplog.text


def test_the_eight_events_have_the_priorities_and_channels_of_the_document():
    table = {
        event.name: (event.priority.name, event.channels)
        for member, event in NOTIFICATION_EVENTS.items()
        if isinstance(member, NotificationEvents) and member is not NotificationEvents.MAINTENANCE_COMPLETE
    }
    assert table == {
        "emergency_alert": ("CRITICAL", ("email", "sms", "websocket")),
        "security_breach": ("CRITICAL", ("email", "sms")),
        "visitor_arrival": ("HIGH", ("email", "websocket")),
        "maintenance_urgent": ("HIGH", ("email",)),
        "payment_due": ("MEDIUM", ("email",)),
        "announcement_posted": ("MEDIUM", ("email",)),
        "comment_reply": ("LOW", ("email",)),
        "newsletter": ("LOW", ("email",)),
    }


def test_a_rolled_back_work_order_tells_nobody(cluster, residents):
    order = WorkOrder.objects.create(number="WO-1", cluster=cluster, resident=residents[0])
    order.complete("the plumber")
    assert Delivery.objects.count() == 2
    WorkOrder.objects.all().delete()
    with pytest.raises(DatabaseError, match="did not affect any rows"):
        order.complete("the plumber")
    assert Delivery.objects.count() == 2


def test_preferences_hold_for_everything_but_emergencies(cluster, residents):
    UserSettingsFactory(user=residents[0], cluster=cluster, channels={"email": False})
    result = NotificationManager.send(
        NotificationEvents.ANNOUNCEMENT_POSTED, residents, cluster, {"title": "Market", "text": "On Sunday."}
    )
    assert (result.queued, dict(result.reasons), bool(result)) == (1, {"preference": 1}, True)
    assert NotificationLog.objects.get().reason == "preference"
