"""The warped clock runs as fast as it is told to, in every process, and never shows what is yet to come."""

import os
import time
from datetime import UTC, datetime

import pytest

from notifications.core import clock
from tests.chaos.warp import Warp, warped


def test_it_runs_faster_and_slower_and_remembers_when():
    warp = Warp(3600)
    time.sleep(0.05)
    warp.turn(1)
    turned = warp.turns[1]
    assert 180 <= turned.seconds < 3600
    assert warp.at(warp.began) == 0
    assert warp.at(warp.began + 0.01) == pytest.approx(36, abs=0.1)
    assert warp.at(turned.moment + 10) == pytest.approx(turned.seconds + 10)


def test_the_engine_reads_it():
    with warped(86_400) as warp:
        warp.sleep_until(7200)
        assert (clock.now() - datetime.now(UTC)).total_seconds() > 7000


def test_a_child_is_told_when_it_turns():
    warp = Warp(1)
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(told, b".")
        deadline = time.monotonic() + 10
        while warp.seconds < 86_400 and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(int(warp.seconds < 86_400))
    os.read(ready, 1)
    warp.turn(864_000)
    assert os.waitpid(pid, 0)[1] == 0
