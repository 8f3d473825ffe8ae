"""The variables of templates, from the context to the mail."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

import pytest

from notifications.delivering.rendering import get_locale
from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority
from notifications.formats import clock_time, money
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, UserSettings
from notifications.outcomes import DeliveryState
from notifications.recipients import Address
from notifications.testing import capture_notifications, temporary_events
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory

pytestmark = pytest.mark.django_db

MAIL = "notifications/door_opened/email"
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class Door(Enum):
    OPENED = "door_opened"


@pytest.fixture
def arrive(templates, mailoutbox):
    """Send, deliver, and return the text of the mail, or None if there is no mail."""

    def arrive(
        template,
        context=None,
        recipient=None,
        priority=NotificationPriority.MEDIUM,
        cluster=None,
        channel="email",
        **event,
    ):
        templates({f"{MAIL}.subject.txt": "Door", f"{MAIL}.txt": template})
        with temporary_events() as events, capture_notifications() as captured:
            events[Door.OPENED] = NotificationEvent("door_opened", priority, ["email"], **event)
            NotificationManager.send(Door.OPENED, recipient or UserFactory(), cluster, context)
            captured.deliver()
        return mailoutbox[-1].body.partition("\n-- \n")[0].strip() if mailoutbox else None

    return arrive


def test_templates_can_use_context_recipient_cluster_and_base_url(arrive, settings):
    settings.NOTIFICATIONS = {"BASE_URL": "https://shop.example.com/"}
    user = UserFactory(username="ann")
    template = "{{ number }} {{ recipient.get_username }} {{ cluster }} {{ base_url }}/x"
    text = arrive(template, {"number": 7}, user, cluster=ClusterFactory(name="Home", members=[user]))
    assert text == "7 ann Home https://shop.example.com/x"


def test_a_bare_address_has_no_user(arrive):
    assert arrive("Hello {{ recipient|default:'you' }}", {}, Address(email="x@example.com")) == "Hello you"


def test_values_keep_their_types_in_the_template(arrive):
    text = arrive("{{ at|date:'j F Y' }} {{ total|add:1 }} {{ list.0.when|date:'Y' }}", {
        "at": NOON, "total": Decimal("2"), "list": [{"when": NOON.date()}],
    })  # fmt: skip
    assert text == "29 March 2026 3 2026"


def test_language_and_time_zone_are_those_of_the_recipient(arrive):
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), language="DE-AT", time_zone="Asia/Kathmandu")
    assert arrive("{{ at|date:'j. F Y H:i' }}", {"at": NOON}, user) == "29. März 2026 17:45"


def test_a_language_may_be_written_as_a_locale():
    assert get_locale(UserSettings(language="de_AT"))[0] == "de-at"


def test_language_and_time_zone_default_to_those_of_the_site(arrive, settings):
    settings.LANGUAGE_CODE, settings.TIME_ZONE = "fr", "Europe/Berlin"
    assert arrive("{{ at|date:'j F Y H:i' }}", {"at": NOON}) == "29 mars 2026 14:00"


@pytest.mark.parametrize("priority", [NotificationPriority.CRITICAL, NotificationPriority.LOW])
@pytest.mark.parametrize(
    "wrong",
    [
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "Europe"},
        {"time_zone": "../UTC"},
        {"language": "klingon!"},
        {"language": "xx"},
    ],
)
def test_an_invalid_language_or_time_zone_stops_no_mail(arrive, priority, wrong):
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), **wrong)
    assert arrive("{{ at|date:'H:i' }}", {"at": NOON}, user, priority) == "12:00"


class TestTransforms:
    def transforms(self, function):
        return {NotificationChannel.EMAIL: function}

    def test_a_transform_adds_variables_and_keeps_the_originals(self, arrive):
        def for_email(context):
            return {**context, "total": money(context["total"], "USD"), "clock": clock_time(context["at"])}

        text = arrive(
            "{{ total }} {{ clock }} {{ original.total }} {{ original.at|date:'H:i' }}",
            {"total": Decimal("150"), "at": NOON},
            transforms=self.transforms(for_email),
        )
        assert text == "$150.00 12:00 150 12:00"

    def test_a_transform_runs_in_the_recipients_language_and_time_zone(self, arrive):
        user = UserFactory()
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), language="de", time_zone="Asia/Kathmandu")

        def for_email(context):
            return {"total": money(context["total"], "EUR"), "clock": clock_time(context["at"])}

        context = {"total": Decimal("1234.5"), "at": NOON}
        text = arrive("{{ total }} {{ clock }}", context, user, transforms=self.transforms(for_email))
        assert text == "1.234,50\xa0€ 17:45"

    def test_changes_in_place_do_not_change_the_originals(self, arrive):
        def for_email(context):
            context["order"]["total"] = "changed"
            return context

        text = arrive(
            "{{ order.total }} {{ original.order.total }}",
            {"order": {"total": 5}},
            transforms=self.transforms(for_email),
        )
        assert text == "changed 5"

    def test_a_transform_of_another_channel_is_not_called(self, arrive):
        assert arrive("{{ x }}", {"x": 1}, transforms={"sms": lambda context: {"x": 2}}) == "1"

    @pytest.mark.parametrize("broken", [lambda context: context["missing"], lambda context: None, lambda context: 5])
    def test_a_critical_event_is_sent_without_a_failed_transform(self, arrive, caplog, broken):
        text = arrive("{{ x }}", {"x": 1}, priority=NotificationPriority.CRITICAL, transforms=self.transforms(broken))
        assert text == "1"
        assert "failed, so it is not used" in caplog.text

    def test_a_failed_transform_of_another_event_is_an_error(self, arrive, caplog):
        def broken(context):
            return context["missing"]

        assert arrive("{{ x }}", {"x": 1}, transforms=self.transforms(broken)) is None
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.reason) == (DeliveryState.DEAD, "rendering")


def test_a_critical_event_is_sent_despite_a_missing_value(arrive):
    text = arrive("Fire at {{ place }}, floor {{ floor }}.", {"floor": 2}, priority=NotificationPriority.CRITICAL)
    assert text == "Fire at , floor 2."
