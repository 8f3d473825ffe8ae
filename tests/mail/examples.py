"""Emails of every event of the example apps, a batch and digests, as a mail server gets them from a worker."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy

from django.test import override_settings

from notifications.delivering.workers.worker import Worker
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, BuiltInEvents
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery
from notifications.staff_templates.samples import make_sample
from notifications.testing import travelling
from tests.channels.servers import post_office
from tests.factories import UserFactory, UserSettingsFactory

# A Friday, 11:00 in Berlin.
START = datetime(2026, 11, 20, 10, tzinfo=UTC)
SMTP = "django.core.mail.backends.smtp.EmailBackend"
LONG_TEXT = "The lift of house 3 is repaired on Monday. Please use the stairs until noon, or call the office. " * 4
VALUES = {
    "currency": "EUR",
    "severity": "HIGH",
    "title": "The lift of house 3 is repaired on Monday",
    "text": LONG_TEXT,
    "message": LONG_TEXT,
    "alert_message": "Smoke in the cellar of house 3. Leave the house.",
    "visitor_name": "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",
    "lamps": ["red"],
    "url": "https://rosewood.example.com/notifications/links/settings_view/1/4a1Zk0p7Qw3c5v8y2b6n9m0x1s4d7f3g6h9j2k5l8q0/",
}
THEME = {"name": "Rosewood Estate", "postal_address": "1 Mill Lane\nExampleton"}
DIGEST_EVENTS = {"announcement_posted": 1, "maintenance_complete": 3, "comment_reply": 2, "tdy_reminder": 1}
URGENT_EVENTS = {"emergency_alert": 1, "visitor_arrival": 1}


@dataclass(frozen=True)
class ExampleMail:
    """An email as it arrives."""

    name: str
    content: bytes

    @property
    def message(self):
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def html(self):
        return self.message.get_body(("html",)).get_content()

    @property
    def text(self):
        return self.message.get_body(("plain",)).get_content()


def list_events():
    """Return the events of the example apps and of Klaxon that are sent by email, by name."""
    digests = set(DIGESTS.values())
    return {
        event.name: (member, event)
        for member, event in NOTIFICATION_EVENTS.items()
        if "email" in event.channels
        and member not in digests
        and (isinstance(member, BuiltInEvents) or type(member).__module__.startswith("example_project."))
    }


def collect_mails():
    """Send everything to users of a cluster, and return the mails."""
    with post_office() as office:
        options = {"backend": SMTP, "backend_options": {"host": "127.0.0.1", "port": office.port}}
        site = {
            "CHANNELS": {"email": {"OPTIONS": options}},
            "BASE_URL": "https://rosewood.example.com",
            "THEME": THEME,
            "LIMITS": {},
            "ENCRYPTION_KEYS": ["a2V5IG9mIHRoZSBkb2N1bWVudGF0aW9uIG9ubHkhISE="],
        }
        with override_settings(NOTIFICATIONS=site, DEFAULT_FROM_EMAIL="Rosewood Estate <office@rosewood.example.com>"):
            _send_all()
        assert not Delivery.objects.filter(channel="email", state="dead").exists()
        return _name_mails(office.contents)


def _send_all():
    events = list_events()
    cluster = Cluster.objects.create(name="Rosewood Estate", slug="rosewood", open_to_all=True)
    with travelling(START) as clock:
        for name in events:
            _send(name, UserFactory(), cluster)
        batched = UserFactory()
        for person in ("PGY1-01", "PGY1-02"):
            _send("absence_reported", batched, cluster, person_name=person)
        for kind in DIGESTS:
            reader = UserFactory(username=f"{kind}-reader")
            UserSettingsFactory(
                user=reader, cluster=cluster, digest=kind, digest_hour=8, digest_day=5, time_zone="Europe/Berlin"
            )
            for name, count in {**DIGEST_EVENTS, **URGENT_EVENTS}.items():
                for _ in range(count):
                    _send(name, reader, cluster)
        for _ in range(24):
            Worker(workers=1).drain()
            clock.forward(hours=1)


def _send(name, user, cluster, **values):
    member, event = list_events()[name]
    context = {key: VALUES.get(key, make_sample(kind, key)) for key, kind in (event.context or {}).items()}
    NotificationManager.send(member, [user], cluster, {**context, **values}, channels=["email"])


def _name_mails(contents):
    """Return the mails with the name of their event, and a number if it has several."""
    seen, mails = Counter(), []
    for content in contents:
        name = message_from_bytes(content, policy=policy.default)["List-Id"].strip("<>").partition(".")[0]
        seen[name] += 1
        mails.append(ExampleMail(f"{name}-{seen[name]}" if seen[name] > 1 else name, content))
    return mails
