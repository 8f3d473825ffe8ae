"""The database of a live bridge is stopped and started. Each fault in the meantime is sent later, once."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.postgres_server import Server

AWAY_SECONDS = float(os.environ.get("KLAXON_CAN_AWAY", "1.5"))
"""For how long the server is stopped, twice."""


@pytest.fixture
def server():
    # Run by root, it runs as another user, who may not look into pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="klaxon-outage-"))
    folder.chmod(0o755)
    server = Server(folder / "server")
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.mark.needs("can")
@pytest.mark.slow
@pytest.mark.skipif("os.environ.get('KLAXON_TEST_DB') != 'postgres'", reason="once is enough")
def test_a_bridge_whose_postgresql_is_stopped_sends_everything_afterwards_exactly_once(server):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "KLAXON_POSTGRES": server.uri}
    environment.pop("KLAXON_DATABASE_NAME", None)
    command = [sys.executable, "-W", "ignore", "-m", "tests.can.outage_story"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=environment, text=True, **pipes) as story:
        try:
            assert story.stdout.readline() == "The vehicle sends frames.\n"
            for _ in range(2):
                time.sleep(1.2)
                server.stop()
                time.sleep(AWAY_SECONDS)
                server.restart()  # starts it as it was first started
            out, complaints = story.communicate("Go on.\n", timeout=180)
            assert story.returncode == 0, complaints[-2000:]
            result = json.loads(out)
        finally:
            story.kill()
    assert "failed" not in result["bridge"]
    assert f"{result['faults']} notifications queued" in result["bridge"]
    assert result["notifications"] == result["inbox"] == result["faults"] > 8
    assert result["most copies"] == 1
    # Once a minute is enough.
    assert 1 <= complaints.count("The database cannot be used (") <= 2 + 2 * AWAY_SECONDS / 60
