"""Refusals of one recipient or text, equal refusals of all, and a provider that cannot be reached."""

from collections import Counter
from datetime import timedelta

import pytest

from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, NotificationLog, Suppression
from notifications.outcomes import Blame, Receipt, Suppress, Verdict
from notifications.recipients import Address
from notifications.testing import temporary_events
from tests.delivering.providers.test_choice import (  # noqa: F401
    FakeProvider,
    clock,
    configure_providers,
    count_by_provider,
    dispatch,
    refuse_orders,
)
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

SPAM = {"verdict": Verdict.PERMANENT, "blames": Blame.MESSAGE, "code": "550 5.7.1"}
BARE = {**SPAM, "code": "550", "suppress": Suppress.AMONG_ACCEPTED}
NOBODY = {"verdict": Verdict.PERMANENT, "blames": Blame.RECIPIENT, "code": "550 5.1.1", "suppress": Suppress.NOW}
DISABLED = {**NOBODY, "code": "550 5.2.1", "suppress": Suppress.REPEATED}
UNREACHABLE = {"verdict": Verdict.TEMPORARY, "blames": Blame.NETWORK, "error": "connection refused"}
SILENT = {"verdict": Verdict.TEMPORARY, "blames": Blame.SILENCE, "error": "timed out"}


class InTurn(FakeProvider):
    """Gives the answers in ``turns``, and accepts messages after that."""

    address_kind = "email"
    turns: list = []

    def send(self, messages):
        for message in messages:
            self.sent.append((self.name, message["delivery"]))
            answer = self.turns.pop(0) if self.turns else {"verdict": Verdict.ACCEPTED}
            yield Receipt(message, **answer)


@pytest.fixture
def in_turn(configure_providers, settings):  # noqa: F811
    configure_providers()
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.InTurn"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    InTurn.turns = []
    return InTurn


def states():
    return Counter(Delivery.objects.values_list("state", flat=True))


def suppressed():
    return Suppression.objects.filter(is_active=True).count()


def test_a_refused_text_is_a_dead_letter_and_stops_no_other(in_turn, clock):  # noqa: F811
    in_turn.turns = [SPAM]
    refuse_orders(1)
    dispatch()
    refuse_orders(9)
    dispatch()
    assert states() == {"dead": 1, "sent": 9}
    assert not Circuit.objects.exclude(open_until=None).exists()
    assert not suppressed()
    assert Circuit.objects.get().refusal == "", "an accepted message ends the streak"


def test_equal_refusals_open_the_circuit_and_make_no_dead_letter(in_turn, clock):  # noqa: F811
    in_turn.turns = [BARE] * 30
    refuse_orders(30)
    dispatch()
    assert set(states()) == {"retry", "ready"}
    assert len(in_turn.sent) == 2
    assert not suppressed()
    assert Circuit.objects.get().open_until == clock() + timedelta(seconds=60)


def test_equal_refusals_in_two_runs_open_the_circuit(in_turn, clock):  # noqa: F811
    in_turn.turns = [SPAM] * 3
    for _ in range(3):
        refuse_orders(1)
        dispatch()
    assert states() == {"dead": 1, "retry": 1, "ready": 1}


def test_the_next_provider_delivers_if_the_first_refuses_everything(configure_providers, clock):  # noqa: F811
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": SPAM}
    refuse_orders(30)
    while dispatch():
        clock.forward(seconds=1)
    assert states() == {"sent": 30}
    assert count_by_provider(fake_provider)["first"] == 2


def test_a_text_that_one_provider_refuses_goes_to_the_next(configure_providers, clock):  # noqa: F811
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": SPAM}
    refuse_orders()
    dispatch()
    assert states() == {"sent": 1}
    assert not Circuit.objects.exclude(open_until=None).exists()


def test_a_bare_refusal_suppresses_only_between_two_accepted_messages(in_turn, clock):  # noqa: F811
    accepted = {"verdict": Verdict.ACCEPTED}
    in_turn.turns = [accepted, BARE, accepted, BARE]
    refuse_orders(4)
    dispatch()
    assert states() == {"sent": 2, "dead": 2}
    assert suppressed() == 1


def test_four_missing_mailboxes_are_suppressed_and_the_fifth_opens_the_circuit(in_turn, clock):  # noqa: F811
    in_turn.turns = [NOBODY] * 4
    refuse_orders(4)
    dispatch()
    assert (states(), suppressed()) == ({"dead": 4}, 4)
    in_turn.turns = [NOBODY] * 10
    refuse_orders(10)
    dispatch()
    assert (states()["dead"], suppressed()) == (4, 4)
    assert Circuit.objects.get().open_until


def test_a_disabled_mailbox_is_suppressed_by_its_third_refusal(in_turn, clock):  # noqa: F811
    for number in range(3):
        assert suppressed() == 0, number
        in_turn.turns = [DISABLED]
        NotificationManager.send(ShopEvents.ORDER_REFUSED, Address(email="a@example.com"), None, {})
        dispatch()
        clock.forward(days=1)
    assert suppressed() == 1
    NotificationManager.send(ShopEvents.ORDER_REFUSED, Address(email="a@example.com"), None, {})
    dispatch()
    assert len(in_turn.sent) == 3


def test_old_refusals_do_not_count(in_turn, clock):  # noqa: F811
    for _ in range(4):
        in_turn.turns = [DISABLED]
        NotificationManager.send(ShopEvents.ORDER_REFUSED, Address(email="a@example.com"), None, {})
        dispatch()
        clock.forward(days=91)
    assert suppressed() == 0


@pytest.mark.parametrize("delays", [(), (60, 300, 900)])
def test_a_day_without_network_costs_no_attempt(configure_providers, clock, delays):  # noqa: F811
    fake_provider = configure_providers()
    fake_provider.answers = {"only": UNREACHABLE}
    event = NotificationEvent("order_refused", NotificationPriority.HIGH, ["log"], retry_delays=delays)
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_REFUSED] = event
        refuse_orders(1)
        for _ in range(24 * 60):
            dispatch()
            clock.forward(minutes=1)
        assert Delivery.objects.get().attempts == 0
        assert Circuit.objects.get().seconds == 300
        assert 200 < len(fake_provider.sent) < 400
        fake_provider.answers = {}
        clock.forward(minutes=5)
        dispatch()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("sent", 1)
    assert NotificationLog.objects.filter(reason="unreachable").count() == len(fake_provider.sent) - 1


def test_an_outage_of_more_than_outage_seconds_costs_attempts(configure_providers, clock, settings):  # noqa: F811
    configure_providers().answers = {"only": UNREACHABLE}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "OUTAGE_SECONDS": 3600}
    refuse_orders(1)
    for _ in range(60 * 3):
        dispatch()
        clock.forward(minutes=1)
    assert (Delivery.objects.get().state, Delivery.objects.get().reason) == ("dead", "unreachable")


def test_a_message_can_expire_during_an_outage(configure_providers, clock):  # noqa: F811
    fake_provider = configure_providers()
    fake_provider.answers = {"only": UNREACHABLE}
    user = UserFactory()
    NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {}, expires_at=clock() + timedelta(minutes=10))
    dispatch()
    clock.forward(minutes=11)
    fake_provider.answers = {}
    dispatch()
    assert Delivery.objects.get().state == "expired"


@pytest.mark.parametrize("answer", [UNREACHABLE, SILENT], ids=["unreachable", "silent"])
def test_one_failure_to_reach_a_provider_moves_all_messages_to_the_next(configure_providers, clock, answer):  # noqa: F811
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": answer}
    refuse_orders(30)
    while dispatch():
        clock.forward(seconds=1)
    assert states() == {"sent": 30}
    assert count_by_provider(fake_provider)["first"] == 1, "no other delivery was tried there"


class Picky(FakeProvider):
    """Refuses addresses that start with "bad" permanently, and accepts all others."""

    address_kind = "email"
    refusal: dict = {}

    def prepare(self, delivery, rendered):
        return {"delivery": delivery.pk, "to": delivery.address}

    def send(self, messages):
        for message in messages:
            self.sent.append((self.name, message["delivery"]))
            bad = message["to"].startswith("bad")
            yield Receipt(message, **(self.refusal if bad else {"verdict": Verdict.ACCEPTED}))


@pytest.mark.parametrize("providers", [("only",), ("first", "second")], ids=["alone", "with a reserve"])
@pytest.mark.parametrize("refusal", [SPAM, NOBODY], ids=["text", "mailbox"])
@pytest.mark.parametrize("bad", [2, 3, 7, 30])
def test_permanently_refused_messages_keep_no_circuit_open(
    configure_providers,  # noqa: F811
    clock,  # noqa: F811
    settings,
    bad,
    refusal,
    providers,  # noqa: F811
):
    configure_providers(*(providers if len(providers) > 1 else ()))
    settings.NOTIFICATIONS["CHANNELS"]["log"]["BACKEND"] = f"{__name__}.Picky"
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS}
    Picky.refusal = refusal
    for number in range(bad):
        send_to(f"bad{number}@example.com")
    waits = []
    for _ in range(12):
        send_to("good@example.com")
        good, since = Delivery.objects.order_by("-pk")[0], clock()
        while Delivery.objects.get(pk=good.pk).state != "sent" and clock() - since < timedelta(hours=1):
            dispatch()
            clock.forward(seconds=30)
        waits.append(clock() - since)
        clock.forward(minutes=5)
    assert max(waits) <= timedelta(minutes=10), waits
    assert Delivery.objects.filter(address__startswith="good", state="sent").count() == 12


def send_to(address):
    NotificationManager.send(ShopEvents.ORDER_REFUSED, Address(email=address), None, {})
