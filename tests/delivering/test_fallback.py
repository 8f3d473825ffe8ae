"""An exhausted channel is replaced by its fallback channel."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import signals
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.fallback import FallbackTakeover
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Circuit, Cluster, Delivery, Mute, NotificationLog, Suppression
from notifications.outcomes import Verdict
from notifications.recipients import Address
from notifications.testing import temporary_events
from tests.delivering.providers.test_choice import DOWN, FakeProvider, clock, configure_providers  # noqa: F401
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

REFUSED = {"verdict": Verdict.PERMANENT, "error": "no such number"}


@pytest.fixture
def fake_provider(configure_providers, clock):  # noqa: F811
    """order_shipped uses the log channel, whose provider is a FakeProvider, and falls back to email."""
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", NotificationPriority.MEDIUM, ["log"], context={"order_number": str},
            fallback={"LOG": "email"}, retry_delays=(),
        )  # fmt: skip
        yield configure_providers()


def ship(*recipients):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, recipients or [UserFactory()], None, {"order_number": "7"})


def dispatch():
    return dict(Dispatcher().run_until_idle())


@pytest.fixture(autouse=True)
def template(settings, tmp_path):
    (tmp_path / "notifications/order_shipped").mkdir(parents=True)
    (tmp_path / "notifications/order_shipped/log.txt").write_text("on its way")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]


def test_a_dead_letter_goes_to_the_fallback_channel(fake_provider):
    fake_provider.answers = {"only": REFUSED}
    ship()
    assert dispatch() == {"dead": 1, "sent": 1}
    assert len(mail.outbox) == 1
    assert list(Delivery.objects.order_by("pk").values_list("channel", "state")) == [("log", "dead"), ("email", "sent")]


def test_a_fallback_delivery_sends_the_queued_signal(fake_provider, django_capture_on_commit_callbacks):
    received = []
    receiver = lambda *, notification_ids, **kwargs: received.append(notification_ids)  # noqa: E731
    ship()
    signals.notifications_queued.connect(receiver)
    try:
        fake_provider.answers = {"only": REFUSED}
        with django_capture_on_commit_callbacks(execute=True):
            dispatch()
    finally:
        signals.notifications_queued.disconnect(receiver)
    assert received == [(Delivery.objects.first().notification_id,)]


def test_a_fallback_channel_that_takes_attachments_gets_them(fake_provider):
    fake_provider.answers = {"only": REFUSED}
    context, files = {"order_number": "7"}, [("bill.pdf", b"%PDF")]
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [UserFactory()], None, context, attachments=files)
    dispatch()
    [message] = mail.outbox
    assert message.attachments == [("bill.pdf", b"%PDF", "application/pdf")]


def test_a_fallback_delivery_passes_the_same_gates(fake_provider):
    fake_provider.answers = {"only": REFUSED}
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False})
    ship(user)
    assert dispatch() == {"dead": 1}
    assert Delivery.objects.count() == 1
    drop = NotificationLog.objects.get(kind="drop")
    assert (drop.reason, drop.error_message) == ("preference", "email: user: channel email is off")


@pytest.mark.parametrize("own", ["ann@example,com", "ann@exmaple.com"])
def test_a_wrong_address_in_the_settings_is_replaced_by_the_account_address(own, fake_provider):
    fake_provider.answers = {"only": REFUSED}
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), addresses={"email": own})
    Suppression.objects.suppress([("email", "ann@exmaple.com")], Suppression.Cause.HARD_BOUNCE, timezone.now())
    ship(user)
    assert dispatch() == {"dead": 1, "sent": 1}
    assert mail.outbox[0].to == [user.email]
    note = NotificationLog.objects.get(kind="note")
    assert (note.reason, note.recipient, note.channel) == ("account_address", user, "email")


def test_a_bare_address_has_no_fallback_address(fake_provider):
    fake_provider.answers = {"only": REFUSED}
    ship(Address(phone="+15550100"))
    assert dispatch() == {"dead": 1}
    assert NotificationLog.objects.get(kind="drop").reason == "no_address"


def test_a_recipient_who_has_the_fallback_channel_gets_no_second_delivery(fake_provider):
    fake_provider.answers = {"only": REFUSED}
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", NotificationPriority.MEDIUM, ["log", "email"], context={"order_number": str},
            fallback={"log": "email"},
        )  # fmt: skip
        ship()
        assert dispatch() == {"dead": 1, "sent": 1}
    assert Delivery.objects.count() == 2


def test_while_all_circuits_are_open_waiting_deliveries_go_to_the_fallback(fake_provider):
    fake_provider.answers = {"only": DOWN}
    ship(*UserFactory.create_batch(12))
    dispatch()
    assert Circuit.objects.get().open_until
    assert len(mail.outbox) == 12
    states = Delivery.objects.filter(channel="log").values_list("state", "reason")
    assert sorted(states) == [("dead", "temporary")] * 5 + [("dropped", "fallback")] * 7
    assert NotificationLog.objects.filter(kind="drop", error_message="sent to email instead").count() == 7
    NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory(), None, {})
    assert dispatch() == {}  # It has no fallback and waits.
    assert Delivery.objects.filter(state="ready").count() == 1


def test_a_fallback_channel_that_is_not_enabled_is_ignored(fake_provider, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {**settings.NOTIFICATIONS["CHANNELS"], "email": {"ENABLED": False}}}
    fake_provider.answers = {"only": REFUSED}
    ship()
    assert dispatch() == {"dead": 1}


def test_recipients_without_an_address_there_wait_for_their_own_channel(fake_provider):
    fake_provider.answers = {"only": DOWN}
    ship(*UserFactory.create_batch(5), Address(phone="+15550100"), UserFactory(email=""))
    dispatch()
    assert len(mail.outbox) == 5
    assert Delivery.objects.filter(state="ready", channel="log", attempts=0).count() == 2


@pytest.mark.parametrize("kind", ["topic", "sender"])
def test_muted_deliveries_are_not_queued_on_the_fallback_channel(fake_provider, clock, kind):  # noqa: F811
    boss, muting, other = UserFactory.create_batch(3)
    NotificationManager.send(
        ShopEvents.ORDER_SHIPPED, [muting, other], None, {"order_number": "7"}, topic="parcels", actor=boss
    )
    value = {"topic": "parcels", "sender": str(boss.pk)}[kind]
    Mute.objects.create(user=muting, cluster=Cluster.objects.default(), kind=kind, value=value)
    Circuit.objects.record_failures("log", 5, "away", clock())
    dispatch()
    assert Delivery.objects.get(channel="email").recipient == other


def test_deliveries_that_cannot_be_moved_do_not_block_others(fake_provider, monkeypatch, clock):  # noqa: F811
    monkeypatch.setattr("notifications.delivering.fallback.TAKEOVER_LIMIT", 3)
    Circuit.objects.record_failures("log", 5, "away", clock())
    for _ in range(7):
        ship(UserFactory(email=""))
    ship(UserFactory())
    dispatcher = Dispatcher()
    for _ in range(4):
        dispatcher.run_until_idle()
        clock.forward(seconds=2)
    assert len(mail.outbox) == 1


def test_a_delivery_that_is_dead_on_the_fallback_channel_waits_for_its_own(fake_provider, clock):  # noqa: F811
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", NotificationPriority.MEDIUM, ["log", "email"], context={"order_number": str},
            fallback={"log": "email"},
        )  # fmt: skip
        Circuit.objects.record_failures("log", 5, "away", clock())
        ship()
        Delivery.objects.filter(channel="email").update(state="dead")
        assert dispatch() == {}
        assert Delivery.objects.get(channel="log").state == "ready"


@pytest.mark.parametrize("fallback", [{"log": "log"}, {"log": "email", "email": "log"}, {"sms": "email"}])
def test_an_invalid_fallback_raises_an_error(fallback):
    with pytest.raises(ValueError, match="fallback of event 'x'"):
        NotificationEvent("x", NotificationPriority.LOW, ["log"], fallback=fallback)


def count_reads_of_takeover(waiting):
    """Return the number of SELECT statements of a takeover of so many deliveries."""
    ship(*UserFactory.create_batch(waiting))
    now = timezone.now()
    with CaptureQueriesContext(connection) as context:
        taken = FallbackTakeover("default").take_over({"log"}, "me", now, now + timedelta(minutes=2))
    assert len(taken) == waiting
    return sum(query["sql"].startswith("SELECT") for query in context)


def test_a_takeover_of_a_hundred_reads_as_often_as_of_one(fake_provider):
    Suppression.objects.suppress([("email", "nobody@example.com")], "hard_bounce", timezone.now())
    assert count_reads_of_takeover(1) == count_reads_of_takeover(100)


def test_only_the_suppressed_address_stays(fake_provider, clock):  # noqa: F811
    users = UserFactory.create_batch(3)
    Suppression.objects.suppress([("email", users[1].email.upper())], "hard_bounce", clock())
    Circuit.objects.record_failures("log", 5, "away", clock())
    ship(*users)
    dispatch()
    assert sorted(message.to[0] for message in mail.outbox) == [users[0].email, users[2].email]
    assert Delivery.objects.get(channel="log", state="ready").recipient == users[1]
