"""A node that babbles, and random frames that look like faults. ``KLAXON_CAN_FRAMES`` is the number of those."""

import os
import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.can import flood
from notifications.can.bridge import Bridge
from notifications.can.changes import Change
from notifications.can.fault_tracker import FaultTracker
from notifications.can.flood import FloodChange
from notifications.can.frame import Frame, SilenceTick
from notifications.can.tally import Tally
from tests.can.candump import START, frame

FRAMES = int(os.environ.get("KLAXON_CAN_FRAMES", "20000"))
RATE = 4000
DM_RV, DM1 = 0x19FECA00, 0x18FECA00


def fault(number: int, after: float, source: int = 0x10, lamps: int = 0x15) -> Frame:
    """One of 524,288 faults of a device that is the source itself."""
    data = bytes([lamps, source, 1 + number // 2048 % 255, number // 524288, 0, 1, 0xFF, 0xFF])
    spn = bytes([number >> 3 & 0xFF, (number & 7) << 5 | number >> 11 & 0x1F])
    return Frame(START + after, "can0", DM_RV | source, data[:3] + spn + data[5:])


def process(items: Iterable[Frame | SilenceTick], tally: Tally | None = None) -> list[Change]:
    return list(Bridge(FaultTracker(tally or Tally())).process(items))


def after(change: Change) -> float:
    return change.at.timestamp() - START


def ticks(begin: float, end: float) -> Iterator[SilenceTick]:
    return (SilenceTick(START + begin + second) for second in range(int(end - begin) + 1))


def kinds(changes: Iterable[Change]) -> Counter[str]:
    return Counter(change.kind for change in changes)


def most_in_a_minute(changes: Iterable[Change]) -> int:
    times, most = deque(), 0
    for change in changes:
        if change.kind == "raised":
            times.append(after(change))
            while times[0] <= times[-1] - 60:
                times.popleft()
            most = max(most, len(times))
    return most


def test_a_babbling_node_announces_twenty_faults_and_one_summary():
    babble = (fault(number, number / 2000) for number in range(10_000))
    changes = process([*babble, *ticks(5, 120)])
    assert kinds(changes) == {"raised": 20, "cleared": 20, "flooded": 1}
    [summary] = [change for change in changes if isinstance(change, FloodChange)]
    assert (summary.count, summary.sources, summary.source_count) == (9_980, ((0x10, 9_980),), 1)
    assert (summary.standing, summary.is_over, summary.severity) == (0, True, 1)
    assert 64 < after(summary) < 67
    assert str(summary) == (
        "2023-11-14 22:14:25 UTC can0: flood since 2023-11-14 22:13:20: 9980 faults were not announced, 0 of them "
        "stand, reported by 0x10 (9980). The flood is over."
    )
    assert summary.as_dict()["sources"] == [[0x10, 9_980]]
    assert summary.correlation_id == "flood:can0:1700000000"


def test_the_first_fault_of_another_device_is_announced_at_once_during_a_flood():
    noise = [fault(number, number / 2000, source) for number in range(2000) for source in (1, 2, 3, 4)]
    real = frame("454501032001FFFF", 0.5)
    changes = process(sorted([*noise, real], key=lambda one: one.timestamp))
    [raised] = [change for change in changes if change.kind == "raised" and change.source_address == 0x44]
    assert after(raised) == 0.5


def random_frames(count: int, dice: random.Random) -> Iterator[Frame]:
    """Diagnostic messages from all addresses, and every second a real fault of one of them."""
    for number in range(count):
        timestamp = START + number / RATE
        dgn = dice.choice((DM_RV, DM1, dice.getrandbits(29) & 0x1FFFFF00))
        yield Frame(timestamp, "can0", dgn | dice.getrandbits(8), dice.randbytes(8))
        if number % RATE == RATE // 2:
            yield frame("454501032001FFFF", timestamp - START)


def test_random_frames_do_not_delay_a_real_fault_and_are_summarised_once():
    tally = Tally()
    bridge = Bridge(tracker := FaultTracker(tally))
    most = 0

    def watched() -> Iterator[Frame | SilenceTick]:
        nonlocal most
        for number, item in enumerate(random_frames(FRAMES, random.Random(FRAMES))):
            yield item
            if number % 1000 == 0:
                most = max(most, len(tracker) + len(tracker._guard.suspects) + len(tracker._deadlines))
        yield from ticks(FRAMES / RATE, FRAMES / RATE + 100)

    changes = list(bridge.process(watched()))
    real = [change for change in changes if change.kind == "raised" and change.spn == 9 and change.instance == 3]
    assert [change.source_address for change in real] == [0x44]
    assert after(real[0]) <= 0.5 + 1.0
    assert most < flood.MAX_SUSPECTS + 2000
    # 60 in each minute, and the first ones of 256 sources in ten minutes.
    minutes = FRAMES / RATE // 60 + 1
    assert kinds(changes)["raised"] <= 60 * minutes + 256 * (minutes // 10 + 1) + 1
    summaries = [change for change in changes if isinstance(change, FloodChange)]
    assert sum(one.is_over for one in summaries) == 1
    assert len(summaries) <= 1 + FRAMES / RATE // 300
    assert tally.suppressed > FRAMES / 10


def test_faults_that_stand_after_a_flood_are_announced_within_the_limit():
    reports = [fault(number, second + number / 100) for second in range(0, 200, 5) for number in range(50)]
    changes = process(reports)
    assert kinds(changes)["raised"] == 50
    assert most_in_a_minute(changes) == 20
    assert [after(change) < 1 for change in changes[:20]] == [True] * 20
    assert after(changes[49]) < 130


def test_the_most_severe_of_the_held_faults_are_announced_first():
    lamps = {number: 0x45 if number >= 40 else 0x15 for number in range(50)}
    reports = [fault(number, second, lamps=lamps[number]) for second in range(0, 70, 5) for number in range(50)]
    raised = [change for change in process(reports) if change.kind == "raised"]
    assert [change.severity for change in raised[20:40]] == [2] * 10 + [1] * 10


def test_the_summary_counts_faults_that_stand():
    reports = [fault(number, second) for second in range(0, 400, 5) for number in range(200)]
    summaries = [change for change in process(reports) if isinstance(change, FloodChange)]
    assert [(one.count, one.standing, one.is_over) for one in summaries][0] == (160, 160, True)
    assert len(summaries) == 1


def test_a_long_flood_is_summarised_every_five_minutes():
    babble = [fault(number, number / 5) for number in range(4_500)]
    summaries = [change for change in process([*babble, *ticks(900, 1000)]) if isinstance(change, FloodChange)]
    assert [one.is_over for one in summaries] == [False, False, True]
    assert len({one.correlation_id for one in summaries}) == 1
    assert str(replace(summaries[-1], count=0)).endswith(": all faults were announced. The flood is over.")
    assert sum(one.count for one in summaries) + 15 * 20 >= 4_500 > sum(one.count for one in summaries)


def test_thirty_faults_of_a_healthy_device_are_all_announced_without_a_summary():
    reports = [fault(number, second) for second in range(100) for number in range(30)]
    changes = process(reports)
    assert kinds(changes) == {"raised": 30}


def test_a_fault_that_is_held_and_ends_is_never_announced():
    once = [fault(number, second) for second in (0, 1) for number in range(25)]
    nothing = Frame(START + 2, "can0", DM_RV | 0x10, bytes.fromhex("0510FFFFFFFFFFFF"))
    changes = process([*once, nothing, *ticks(2, 100)])
    assert kinds(changes) == {"raised": 20, "cleared": 20, "flooded": 1}


def test_the_limits_begin_anew_if_the_clock_is_set_back():
    changes = process([*(fault(number, 0) for number in range(30)), *(fault(number, -500) for number in range(40, 70))])
    assert kinds(changes)["raised"] == 40


STEPS = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 3), st.integers(0, 60), st.booleans()), max_size=300)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_no_reports_exceed_the_limits_or_are_cleared_without_being_raised(steps):
    time, items, tally = 0.0, [], Tally()
    for pause, source, number, is_end in steps:
        time += pause / 20
        end = Frame(START + time, "can0", DM_RV | source, bytes([5, source]) + b"\xff" * 6)
        items.append(end if is_end and number < 3 else fault(number, time, source))
    changes = process([*items, *ticks(time, time + 200)], tally)
    for source in range(4):
        own = [change for change in changes if getattr(change, "source_address", None) == source]
        assert most_in_a_minute(own) <= flood.MAX_PER_SOURCE
        open_ids: set[str] = set()
        for change in own:
            if change.kind == "raised":
                assert change.correlation_id not in open_ids
                open_ids.add(change.correlation_id)
            elif change.kind == "cleared":
                open_ids.remove(change.correlation_id)
        assert not open_ids
    assert tally.raised == tally.cleared == kinds(changes)["raised"]
