"""The number of deliveries that a claim takes."""

import itertools
from types import SimpleNamespace

import pytest

from notifications.delivering.claim import ClaimSize
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.heartbeat import HeartbeatThread
from notifications.events import NotificationPriority
from notifications.models import Delivery
from tests.delivering.scripted import refuse_orders

QUICK, SLOW, OVERDUE = 0.01, 0.2, 0.6


def sizes_after(*batches, start=10, maximum=100):
    """Return the sizes after batches of (how many were ready, seconds for a full batch)."""
    size = ClaimSize(start, maximum)
    sizes = []
    for ready, seconds in batches:
        size.adjust(min(ready, size.current), seconds)
        sizes.append(size.current)
    return sizes


def test_a_claim_doubles_up_to_the_maximum_while_more_is_ready():
    assert sizes_after(*[(1000, QUICK)] * 5) == [20, 40, 80, 100, 100]


def test_a_slow_batch_halves_the_next_claim_down_to_the_start():
    assert sizes_after((1000, QUICK), (1000, QUICK), (1000, SLOW), (1000, SLOW), (1000, SLOW)) == [20, 40, 20, 10, 10]


def test_a_batch_that_is_neither_quick_nor_slow_changes_nothing():
    assert sizes_after((1000, QUICK), (1000, 0.1), (1000, 0.1)) == [20, 20, 20]


def test_a_claim_that_finds_fewer_deliveries_falls_back():
    assert sizes_after((1000, QUICK), (1000, QUICK), (15, QUICK), (0, QUICK)) == [20, 40, 15, 10]


def test_a_maximum_below_the_start_keeps_the_size():
    assert sizes_after(*[(1000, QUICK)] * 2, start=50, maximum=10) == [50, 50]


def test_only_a_batch_that_is_larger_than_the_first_claim_can_be_overdue():
    size = ClaimSize(10, 100)
    assert not size.is_overdue(10, OVERDUE)
    assert not size.is_overdue(11, SLOW)
    assert size.is_overdue(11, OVERDUE)


def claims_of(dispatcher):
    """Return how many deliveries each claim takes until nothing is ready."""
    return list(itertools.takewhile(bool, (dispatcher.run_batch()[0] for _ in itertools.count())))


def claims_of_quick_batches(dispatcher):
    """The same, as if each batch were quick, regardless of the machine."""
    size = dispatcher.session.claimer.size
    size.adjust = lambda claimed, seconds: ClaimSize.adjust(size, claimed, QUICK)
    return claims_of(dispatcher)


@pytest.mark.django_db(transaction=True)
class TestTheDispatcher:
    def test_claims_more_and_more_of_a_backlog(self, scripted_channel):
        refuse_orders(80)
        with HeartbeatThread() as heartbeat:
            dispatcher = Dispatcher(batch_size=5, heartbeat=heartbeat)
            assert claims_of_quick_batches(dispatcher) == [5, 10, 20, 40, 5]

    def test_claims_the_same_number_without_a_heartbeat_which_would_renew_the_leases(self, scripted_channel):
        refuse_orders(12)
        assert claims_of(Dispatcher(batch_size=5)) == [5, 5, 2]

    def test_claims_no_more_than_the_setting_allows(self, scripted_channel, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BATCH_SIZE": 4, "MAX_BATCH_SIZE": 6}
        refuse_orders(16)
        with HeartbeatThread() as heartbeat:
            assert claims_of_quick_batches(Dispatcher(heartbeat=heartbeat)) == [4, 6, 6]

    def test_gives_back_the_rest_of_a_large_batch_that_takes_too_long(self, scripted_channel, monkeypatch):
        """Otherwise a CRITICAL delivery that is queued meanwhile would wait for all of it."""
        refuse_orders(40)
        dispatcher = Dispatcher(batch_size=10)
        dispatcher.session.claimer.size.current = 40
        clock = itertools.count(0, OVERDUE / 2)
        monkeypatch.setattr("notifications.delivering.dispatcher.time", SimpleNamespace(monotonic=lambda: next(clock)))
        claimed, tally = dispatcher.run_batch()
        assert claimed == 40
        assert 10 <= tally["sent"] < 40
        assert Delivery.objects.filter(state="ready", owner="", strikes=0).count() == 40 - tally["sent"]
        assert dispatcher.session.claimer.size.current == 20

    def test_claims_few_of_the_oldest_during_a_flood_even_after_large_claims(self, scripted_channel, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "THROTTLE_DEPTH": 3, "BATCH_SIZE": 2}
        refuse_orders(40, priority=NotificationPriority.LOW)
        dispatcher = Dispatcher()
        dispatcher.session.claimer.size.current = 40
        dispatcher.session.claimer.count = 9
        assert dispatcher.run_batch()[0] == 2, "the oldest have their turn"
        dispatcher.session.claimer.size.current = 40
        assert dispatcher.run_batch()[0] == 2, "nothing urgent is ready"
