from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from example_project.residency import people
from example_project.residency.windows import LIMITS
from notifications.models import UserSettings

CHANNELS = "tests.residency.channels"


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(people.ZONE))


@pytest.fixture
def program_settings(db, settings):
    settings.NOTIFICATIONS = {
        "CHANNELS": {
            "sms": {"BACKEND": f"{CHANNELS}.TextMessages"},
            "webhook": {"BACKEND": f"{CHANNELS}.Hooks"},
        },
        "LIMITS": LIMITS,
        "DIGEST_SECTIONS": "example_project.residency.digests.sections",
        "BASE_URL": "https://scheduler.example",
    }


@pytest.fixture
def program(program_settings):
    return people.settle_in()


@pytest.fixture
def resident(program):
    return people.named("pgy1-01")


@pytest.fixture
def coordinator(program):
    return people.named("coordinator")


@pytest.fixture
def only(program):
    """Let somebody have one channel only, so that a notification is one delivery."""

    def only(user, channel):
        chosen = {name: name == channel for name in ("app", "email", "sms")}
        UserSettings.objects.filter(user=user, cluster=program).update(channels=chosen)

    return only
