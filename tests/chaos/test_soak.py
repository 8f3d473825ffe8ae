"""The soak: a minute of it must pass, and a worker that hoards must not."""

import json
import os
import subprocess
import sys

import pytest

from tests.chaos.vitals import Vitals

MINUTE = [60.0 * number for number in range(30)]


def vitals(kilobytes, handles):
    return Vitals(1, times=MINUTE, kilobytes=kilobytes, handles=handles)


def test_what_a_process_takes_while_it_warms_up_does_not_count():
    warming_up = [1000.0 * min(number, 9) for number in range(30)]
    assert vitals(warming_up, warming_up).memory_slope == pytest.approx(0)


def test_a_steady_growth_is_told_in_kilobytes_a_minute():
    leaking = [50_000 + 120.0 * number for number in range(30)]
    assert vitals(leaking, [10.0] * 30).memory_slope == pytest.approx(120)


def test_open_files_that_come_and_go_are_no_growth():
    assert vitals(MINUTE, [10.0 + number % 3 for number in range(30)]).more_handles == pytest.approx(0, abs=1)
    assert vitals(MINUTE, [10.0 + number for number in range(30)]).more_handles == pytest.approx(19)


def test_this_process_has_vitals():
    own = Vitals(os.getpid())
    own.sample()
    assert own.kilobytes[0] > 10_000
    assert own.handles[0] >= 3


def soaked(*options: str) -> dict:
    command = [sys.executable, "-m", "tests.chaos.soak", "--on", "sqlite", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAXON_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_minute_of_it_loses_nothing_and_leaves_nothing_behind():
    figures = soaked("--minutes", "1")
    assert (figures["lost"], set(figures["zero"].values())) == (0, {0})
    assert figures["duplicates"] <= figures["bound"]
    assert int(figures["told"]["deliveries"]) > 800
    assert int(figures["told"]["troubles"]) >= 5


@pytest.mark.slow
def test_a_worker_that_hoards_is_found_out():
    figures = soaked("--minutes", "0.5", "--lie", "messy")
    assert (figures["zero"]["memory grows"], figures["zero"]["open files grow"]) == (1, 1)
