import threading
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from notifications.can.pending_changes import PendingChanges
from notifications.can.tally import Tally


@dataclass(frozen=True)
class OneChange:
    key: str
    severity: int
    number: int = 0


def take_all(pending):
    return [pending.take(0) for _ in range(len(pending))]


def fill(pending, changes):
    for change in changes:
        pending.add(change)


def test_the_most_severe_is_first_and_equals_keep_their_order():
    changes = [OneChange("a", 0), OneChange("b", 1), OneChange("c", 2), OneChange("d", 1)]
    pending = PendingChanges(Tally())
    fill(pending, changes)
    assert [one.key for one in take_all(pending)] == ["c", "b", "d", "a"]


def test_a_severe_change_takes_those_of_its_key_along():
    pending = PendingChanges(Tally())
    fill(pending, [OneChange("a", 1), OneChange("b", 0, 1), OneChange("b", 2, 2), OneChange("b", 0, 3)])
    assert [(one.key, one.number) for one in take_all(pending)] == [("b", 1), ("b", 2), ("a", 0), ("b", 3)]


def test_a_full_queue_drops_the_latest_of_the_least_severe():
    pending = PendingChanges(Tally(), limit=3)
    fill(pending, [OneChange("a", 0, 1), OneChange("a", 0, 2), OneChange("b", 1), OneChange("c", 2)])
    assert pending.tally.overflowed == 1
    assert [(one.key, one.number) for one in take_all(pending)] == [("c", 0), ("b", 0), ("a", 1)]
    fill(pending, [OneChange("a", 2, number) for number in range(3)] + [OneChange("b", 0)])
    assert pending.tally.overflowed == 2
    assert {one.key for one in take_all(pending)} == {"a"}


@given(st.lists(st.builds(OneChange, st.sampled_from("abc"), st.integers(0, 2), st.integers()), max_size=60))
def test_nothing_is_lost_uncounted_and_each_key_keeps_its_order(changes):
    pending = PendingChanges(Tally(), limit=10)
    fill(pending, changes)
    taken = take_all(pending)
    assert len(taken) + pending.tally.overflowed == len(changes)
    assert len(taken) == min(len(changes), 10)
    for key in "abc":
        before = iter([one for one in changes if one.key == key])
        assert all(any(one is other for other in before) for one in taken if one.key == key)
    assert pending.take(0) is None
    assert not pending._queues
    assert not pending._severities


def test_it_waits_for_a_change_and_ends_when_it_is_closed():
    pending = PendingChanges(Tally())
    timer = threading.Timer(0.05, pending.add, (OneChange("a", 0),))
    timer.start()
    assert pending.take(10).key == "a"
    timer.join()
    assert not pending.is_finished
    timer = threading.Timer(0.05, pending.close)
    timer.start()
    assert pending.take(10) is None
    timer.join()
    assert pending.is_finished
