"""A site with an event that escalates, the people of its chain, and a clock that the tests set."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Min

from notifications.core import clock
from notifications.escalation import run_due
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Delivery, EscalationRun, Notification
from tests.escalation.events import Alarms, make_event

START = datetime(2026, 11, 2, 3, tzinfo=UTC)


class Story:
    """An alarm, and what is sent because of it as time passes."""

    def __init__(self) -> None:
        self.now = START

    def send(self, **options):
        ward = User.objects.get(username="ward")
        context = {"message": "Pump 3 has stopped.", "title": "Pump"}
        self.result = NotificationManager.send(Alarms.PUMP, [ward], context=context, **options)
        return Notification.objects.get(pk=self.result.notification_id)

    def wait(self, **time):
        """Let time pass, while a worker does what is due at once."""
        end = self.now + timedelta(**time)
        while (due_at := EscalationRun.objects.aggregate(at=Min("due_at"))["at"]) is not None and due_at <= end:
            self.now = max(self.now, due_at)
            if run_due().failed:
                break
        self.now = end

    def list_pages(self):
        """The minutes after the start, recipients and channels of what was sent again."""
        rows = Delivery.objects.filter(notification__escalates__isnull=False).select_related("recipient")
        pages: dict = {}
        for row in rows.order_by("pk"):
            minutes = (row.notification.created_at - START).total_seconds() / 60
            name = row.recipient.username if row.recipient else row.address
            pages.setdefault((minutes, name), []).append(row.channel)
        return [(minutes, name, *sorted(channels)) for (minutes, name), channels in sorted(pages.items())]

    @property
    def run(self):
        return EscalationRun.objects.get()

    @property
    def kinds(self):
        return list(self.run.entries.values_list("kind", flat=True))


@pytest.fixture
def event():
    with NOTIFICATION_EVENTS.restored():
        NOTIFICATION_EVENTS[Alarms.PUMP] = make_event()
        yield


@pytest.fixture
def story(db, event):
    directors = Group.objects.create(name="Directors")
    for name in ("ward", "supervisor", "director", "deputy"):
        user = User.objects.create_user(name, f"{name}@example.com")
        if name in ("director", "deputy"):
            user.groups.add(directors)
    story = Story()
    with clock.override(lambda: story.now):
        yield story
