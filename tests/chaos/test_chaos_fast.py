"""The oracle can fail: it finds a worker that lies and one that stutters, and has nothing to say of an honest one."""

import json
import os
import subprocess
import sys


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
