from enum import Enum

import pytest

from notifications.events import NotificationEvent, NotificationPriority, register
from notifications.testing import temporary_events
from tests.factories import UserFactory

CODE = "Zebra-47110815471-Quagga"
FILES = {
    "notifications/test_result/email.subject.txt": "Your result, {{ patient }}",
    "notifications/test_result/email.txt": "The code is {{ code }}.\n\nSee https://lab.example.com/.",
    "notifications/test_result/email.html": "<p>The code is {{ code }}.</p>",
    "notifications/test_result/app.subject.txt": "Result {{ code }}",
    "notifications/test_result/app.txt": "The code is {{ code }}.",
    "notifications/test_result/log.txt": "The code is {{ code }}.",
}
CONTEXT = {"code": CODE, "patient": "Ada Zebrowska"}


class LabEvents(Enum):
    RESULT = "test_result"


def make_event(**options):
    values = {
        "name": "test_result",
        "label": "Test result",
        "priority": NotificationPriority.MEDIUM,
        "supported_channels": ["email", "app", "log"],
        "context": {"code": str, "patient": str},
        "sensitive": True,
    }
    return NotificationEvent(**{**values, **options})


def make_key():
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


@pytest.fixture
def declare():
    """Return a function that declares the sensitive event anew, with other options."""
    with temporary_events() as registry:

        def declare(**options):
            registry.pop(LabEvents.RESULT, None)
            register(LabEvents.RESULT, make_event(**options))

        declare()
        yield declare


@pytest.fixture
def templates(settings):
    """Add the templates of the event to those of the installed apps, and return them."""
    files = dict(FILES)
    loaders = [("django.template.loaders.locmem.Loader", files), "django.template.loaders.app_directories.Loader"]
    [backend] = settings.TEMPLATES
    options = {**backend["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [{"BACKEND": backend["BACKEND"], "OPTIONS": options}]
    return files


@pytest.fixture
def use_keys(settings):
    """Return a function that sets the keys of the site."""

    def use_keys(*keys, **more):
        changes = {"ENCRYPTION_KEYS": list(keys), **more}
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **changes}

    return use_keys


@pytest.fixture
def key(use_keys):
    """The key of the site."""
    key = make_key()
    use_keys(key)
    return key


@pytest.fixture
def site(declare, templates, key):
    """A site that can send the sensitive event."""


@pytest.fixture
def reader():
    return UserFactory()
