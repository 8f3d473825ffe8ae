from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from example_project.residency import people
from example_project.residency.notification_events import ResidencyEvents
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import UserSettings
from tests.example_site import site_settings


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(people.ZONE))


@pytest.fixture
def without_escalation():
    """Nothing escalates, so that a test sees only what was sent for the first time."""
    with NOTIFICATION_EVENTS.restored():
        for member in ResidencyEvents:
            NOTIFICATION_EVENTS[member] = replace(NOTIFICATION_EVENTS[member], escalation=None)
        yield


@pytest.fixture
def program_settings(db, settings, tmp_path):
    settings.NOTIFICATIONS, _files = site_settings(tmp_path)


@pytest.fixture
def program(program_settings):
    return people.create_people()


@pytest.fixture
def resident(program):
    return people.get_user("pgy1-01")


@pytest.fixture
def coordinator(program):
    return people.get_user("coordinator")


@pytest.fixture
def only(program):
    """Let somebody have one channel only, so that a notification is one delivery."""

    def only(user, channel):
        chosen = {name: name == channel for name in ("app", "email", "sms")}
        UserSettings.objects.filter(user=user, cluster=program).update(channels=chosen)

    return only
