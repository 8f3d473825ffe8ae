"""Several providers for one channel: order, failover, shared circuits, probes."""

from collections import Counter
from datetime import timedelta

import pytest

from notifications.channels import BaseChannel
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, NotificationLog
from notifications.outcomes import Blame, Receipt, Verdict
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

DOWN = {"verdict": Verdict.TEMPORARY, "error": "connection refused"}


class FakeProvider(BaseChannel):
    """A provider that works unless its name is in ``answers``. Records which provider sent which delivery."""

    one_by_one = True
    answers: dict = {}
    sent: list = []

    def __init__(self, name="only"):
        self.name = name

    def prepare(self, delivery, rendered):
        return {"delivery": delivery.pk}

    def send(self, messages):
        for message in messages:
            self.sent.append((self.name, message["delivery"]))
            yield Receipt(message, **self.answers.get(self.name, {"verdict": Verdict.ACCEPTED}))


@pytest.fixture
def configure_providers(settings):
    """Configure providers of the log channel by name, each with more settings."""
    FakeProvider.answers, FakeProvider.sent = {}, []

    def configured(*names, **more):
        providers = [{"NAME": name, "OPTIONS": {"name": name}, **more.get(name, {})} for name in names]
        entry = {"BACKEND": f"{__name__}.FakeProvider", **({"PROVIDERS": providers} if names else {})}
        settings.NOTIFICATIONS = {"CHANNELS": {"log": entry}, "RETRY_JITTER": 0, "RAMP_SECONDS": 0}
        return FakeProvider

    return configured


@pytest.fixture
def clock():
    with travelling() as clock:
        yield clock


def refuse_orders(count=1):
    NotificationManager.send(ShopEvents.ORDER_REFUSED, UserFactory.create_batch(count), None, {})


def dispatch(**options):
    return dict(Dispatcher(**options).run_until_idle())


def count_by_provider(fake_provider):
    return Counter(name for name, _ in fake_provider.sent)


def test_the_first_provider_gets_everything_while_it_works(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    refuse_orders(3)
    assert dispatch() == {"sent": 3}
    assert count_by_provider(fake_provider) == {"first": 3}
    assert set(Delivery.objects.values_list("provider", flat=True)) == {"first"}
    assert set(NotificationLog.objects.values_list("provider", flat=True)) == {"first"}


def test_the_next_provider_gets_a_delivery_immediately_after_a_failure(configure_providers, clock):
    fake_provider = configure_providers("first", "second", "third")
    fake_provider.answers = {"first": DOWN, "second": DOWN}
    refuse_orders()
    assert dispatch() == {"retry": 2, "sent": 1}
    assert [name for name, _ in fake_provider.sent] == ["first", "second", "third"]
    assert list(NotificationLog.objects.order_by("pk").values_list("provider", "success")) == [
        ("first", False), ("second", False), ("third", True),
    ]  # fmt: skip


def test_a_round_counts_once_in_the_schedule(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": DOWN, "second": DOWN}
    refuse_orders()
    for attempts, minutes in ((1, 1), (2, 5)):
        dispatch()
        delivery = Delivery.objects.get()
        assert (delivery.attempts, delivery.due_at) == (attempts, clock() + timedelta(minutes=minutes))
        clock.forward(minutes=minutes)
    assert [name for name, _ in fake_provider.sent] == ["first", "second"] * 2


def test_a_refused_mailbox_does_not_fail_over(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": {**DOWN, "blames": Blame.RECIPIENT}}
    refuse_orders(6)
    assert dispatch() == {"retry": 6}
    assert count_by_provider(fake_provider) == {"first": 6}
    assert not Circuit.objects.exists()


def test_an_unknown_outcome_fails_over_or_is_held_as_the_event_says(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": {"verdict": Verdict.UNKNOWN}}
    refuse_orders()
    assert dispatch() == {"retry": 1, "sent": 1}
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], on_unknown="hold"
        )
        refuse_orders()
        assert dispatch() == {"unknown": 1}


def test_five_failures_open_the_circuit_for_every_worker_and_the_others_wait(configure_providers, clock, caplog):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    refuse_orders(30)
    assert dispatch() == {"retry": 10}  # five were tried; the other five of their group were not handed over
    assert len(fake_provider.sent) == 5
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0] * 25 + [1] * 5
    assert dispatch() == {}  # another worker
    assert "The provider log is not used until" in caplog.text
    assert Circuit.objects.get().open_until == clock() + timedelta(seconds=60)


def test_once_a_circuit_is_open_no_other_group_of_the_batch_is_tried(configure_providers, clock, monkeypatch):
    fake_provider = configure_providers()
    monkeypatch.setattr(fake_provider, "group_size", 5)
    refuse_orders(50)
    fake_provider.answers = {"only": DOWN}
    Dispatcher(batch_size=50).run_batch(50)
    assert len(fake_provider.sent) == 5
    assert Counter(Delivery.objects.values_list("state", "attempts")) == {("retry", 1): 5, ("ready", 0): 45}


def test_an_open_circuit_costs_no_attempt_if_there_is_another_provider(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": DOWN}
    refuse_orders(30)
    dispatch()
    assert count_by_provider(fake_provider) == {"first": 5, "second": 30}
    assert Delivery.objects.filter(state="sent").count() == 30


def test_one_probe_at_a_time_and_longer_waits_until_it_works(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    refuse_orders(20)
    dispatch()
    for seconds in (60, 120, 240, 300, 300):
        fake_provider.sent.clear()
        clock.forward(seconds=seconds - 1)
        assert dispatch() == {}
        clock.forward(seconds=1)
        assert dispatch() == {"retry": 1}
        assert len(fake_provider.sent) == 1
    assert Delivery.objects.filter(state="dead").count() == 0
    # The failed probes cost their deliveries no attempt.
    assert max(Delivery.objects.values_list("attempts", flat=True)) == 1
    fake_provider.answers = {}
    clock.forward(seconds=300)
    dispatch()
    clock.forward(seconds=900)
    dispatch()
    assert Delivery.objects.filter(state="sent").count() == 20
    assert Circuit.objects.get().open_until is None


def test_only_one_of_two_workers_wins_the_probe(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    refuse_orders(20)
    first, second = Dispatcher(), Dispatcher()
    first.run_until_idle()
    clock.forward(seconds=60)
    second.session.providers.breaker.refresh(clock())
    assert first.session.providers.choose(Delivery.objects.filter(state="ready")[0], clock()).as_probe
    assert second.session.providers.choose(Delivery.objects.filter(state="ready")[1], clock()) is None


def test_the_first_provider_is_probed_with_one_delivery_while_the_second_delivers(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"first": DOWN}
    refuse_orders(10)
    dispatch()
    clock.forward(seconds=60)
    fake_provider.sent.clear()
    fake_provider.answers = {}
    refuse_orders(10)
    dispatch(batch_size=20)
    assert count_by_provider(fake_provider) == {"first": 1, "second": 9}
    fake_provider.sent.clear()
    refuse_orders(10)
    dispatch()
    assert count_by_provider(fake_provider) == {"first": 10}


def test_wrong_settings_open_the_circuit_and_blame_no_recipient(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": {"verdict": Verdict.CONFIGURATION, "error": "535 bad password"}}
    refuse_orders(3)
    dispatch(batch_size=1)
    assert len(fake_provider.sent) == 1
    circuit = Circuit.objects.get()
    assert (circuit.open_until, circuit.error) == (clock() + timedelta(minutes=1), "535 bad password")


def test_an_event_without_retries_is_dead_after_a_failed_probe(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    with temporary_events() as registry:
        registry[ShopEvents.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["log"], retry_delays=()
        )
        refuse_orders(7)
        assert dispatch() == {"dead": 5, "retry": 2}
        clock.forward(seconds=60)
        assert dispatch() == {"dead": 1}


def test_attempts_count_again_after_an_outage_of_days(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    refuse_orders()
    dispatch()
    Circuit.objects.update_or_create(
        key="log", defaults={"opened_at": clock() - timedelta(days=4), "open_until": clock(), "seconds": 300}
    )
    for _ in range(3):
        clock.forward(seconds=3600)
        dispatch()
    assert Delivery.objects.get().state == "dead"


def test_providers_of_equal_rank_share_by_success_and_speed(configure_providers, clock):
    fake_provider = configure_providers("left", "right", left={"RANK": 1}, right={"RANK": 1})
    refuse_orders(100)
    Dispatcher(batch_size=1).run_until_idle()
    assert 25 < count_by_provider(fake_provider)["left"] < 75
    slow, quick = [(True, 2.0)] * 200, [(True, 0.01)] * 200
    Circuit.objects.record_answers("log/left", slow)
    Circuit.objects.record_answers("log/right", quick)
    assert choices(clock)["right"] > 270
    Circuit.objects.record_answers("log/left", quick)
    Circuit.objects.record_answers("log/right", [(False, 0.01)] * 200)
    assert choices(clock)["left"] > 250
    assert choices(clock)["right"] > 0


def choices(clock):
    """Count the providers that a new worker chooses."""
    providers = Dispatcher().session.providers
    providers.unavailable_channels(clock())
    return Counter(providers.choose(Delivery(channel="log"), clock()).name for _ in range(300))


def test_single_runs_and_threads_share_the_health_of_providers(configure_providers, clock, settings):
    fake_provider = configure_providers("left", "right", left={"RANK": 1}, right={"RANK": 1})
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BREAKER_FAILURES": 1000}
    fake_provider.answers = {"left": DOWN}
    for _ in range(150):
        refuse_orders(1)
        dispatch(batch_size=1)
    assert count_by_provider(fake_provider)["left"] < 40
    assert Circuit.objects.get(key="log/left").success_rate < 0.5


def test_the_next_provider_is_used_if_one_cannot_be_created(configure_providers, clock, caplog):
    fake_provider = configure_providers("first", "second", first={"OPTIONS": {"nonsense": 1}})
    refuse_orders(3)
    assert dispatch() == {"sent": 3}
    assert count_by_provider(fake_provider) == {"second": 3}
    assert "cannot be created" in caplog.text


def test_a_probe_that_cannot_be_rendered_is_replaced_by_the_next(configure_providers, clock, monkeypatch):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    refuse_orders(7)
    dispatch()
    fake_provider.answers = {}
    clock.forward(seconds=60)
    prepare, broken = FakeProvider.prepare, [ValueError("broken")]

    def once(self, delivery, rendered):
        if broken:
            raise broken.pop()
        return prepare(self, delivery, rendered)

    monkeypatch.setattr(FakeProvider, "prepare", once)
    assert Dispatcher().run_until_idle()["sent"] == 6
    assert Circuit.objects.get().is_closed()


def test_a_worker_that_stops_before_its_probe_leaves_it_to_the_next(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": DOWN}
    refuse_orders(7)
    dispatch()
    fake_provider.answers = {}
    clock.forward(seconds=60)
    assert Dispatcher(stop=lambda: True).run_batch() == (1, {})
    assert Circuit.objects.get().probe_until is None
    assert dispatch()["sent"] == 7


def test_the_inbox_works_again_after_its_settings_are_corrected(settings, clock):
    settings.NOTIFICATIONS = {"CHANNELS": {"app": {"OPTIONS": {"nonsense": 1}}, "email": {"ENABLED": False}}}
    for _ in range(3):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), None, {"order_number": "7"})
    assert dispatch() == {}
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}, "RAMP_SECONDS": 0}
    clock.forward(minutes=5)
    assert dispatch() == {"sent": 3}
    assert Circuit.objects.get().is_closed()


def test_a_message_that_breaks_the_provider_delays_no_other(configure_providers, clock):
    configure_providers()
    refuse_orders(20)
    poison = Delivery.objects.order_by("pk")[0].pk

    def fail(self, messages):
        for message in messages:
            bad = message["delivery"] == poison
            yield Receipt(message, Verdict.CONFIGURATION if bad else Verdict.ACCEPTED, error="5.7.1 spam" * bad)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FakeProvider, "send", fail)
        dispatcher = Dispatcher()
        for _ in range(60):
            dispatcher.run_until_idle()
            clock.forward(seconds=60)
    assert Delivery.objects.filter(state="sent").count() == 19


def test_a_probe_without_an_answer_counts_as_an_attempt(configure_providers, clock):
    fake_provider = configure_providers()
    fake_provider.answers = {"only": {"verdict": Verdict.UNKNOWN}}
    refuse_orders()
    Circuit.objects.record_failures("log", 5, "away", clock())
    for _ in range(200):
        clock.forward(seconds=300)
        dispatch()
    assert len(fake_provider.sent) == 4
    assert Delivery.objects.get().state == "dead"


def test_one_open_circuit_of_two_does_not_lengthen_the_schedule(configure_providers, clock):
    fake_provider = configure_providers("first", "second")
    fake_provider.answers = {"second": {**DOWN, "blames": Blame.RECIPIENT}}
    Circuit.objects.record_failures("log/first", 5, "away", clock())
    Circuit.objects.update(open_until=clock() + timedelta(days=2))
    refuse_orders()
    for _ in range(40):
        dispatch()
        clock.forward(minutes=1)
    assert count_by_provider(fake_provider) == {"second": 4}


def test_a_hold_does_not_forget_which_providers_have_failed(configure_providers, clock):
    fake_provider = configure_providers("first", "second", second={"RATE": "1/h"})
    fake_provider.answers = {"first": DOWN}
    refuse_orders(2)
    assert dispatch() == {"retry": 2, "sent": 1, "held": 1}
    assert Delivery.objects.get(state="held").list_tried_providers() == ["first"]
    fake_provider.answers = {}
    clock.forward(hours=2)
    assert dispatch() == {"sent": 1}
    assert count_by_provider(fake_provider) == {"first": 2, "second": 2}
    assert not Delivery.objects.exclude(tried_providers="").exists()
