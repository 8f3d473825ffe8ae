"""The database of a live bridge is stopped and started. Each fault in the meantime is sent later, once."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.postgres_server import Server

SECONDS = 7.0


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
def test_a_bridge_whose_postgresql_is_stopped_spools_and_the_replay_delivers_all_exactly_once(tmp_path, server):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "KLAXON_POSTGRES": server.uri}
    environment.pop("KLAXON_DATABASE_NAME", None)
    command = [sys.executable, "-W", "ignore", "-m", "tests.can.outage_story", str(tmp_path / "spool"), str(SECONDS)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=environment, text=True, **pipes) as story:
        try:
            assert story.stdout.readline() == "The vehicle sends frames.\n"
            for pause in (1.5, 1.0):
                time.sleep(pause)
                server.stop()
                time.sleep(pause)
                server.restart()  # starts it as it was first started
            out, complaints = story.communicate("Go on.\n", timeout=60)
            assert story.returncode == 0, complaints[-2000:]
            result = json.loads(out)
        finally:
            story.kill()
    figures = re.search(r"(\d+) notifications queued, (\d+) spooled", result["bridge"])
    queued, spooled = map(int, figures.groups())
    assert "failed" not in result["bridge"]
    assert queued > 0, "before and after"
    assert spooled > 0, "while it was away"
    assert queued + spooled == result["faults"]
    assert result["notifications"] == result["inbox"] == result["faults"]
    assert result["most copies"] == 1
    # Contact may be lost at the very commit: what is spooled then may be there already.
    assert sum(map(int, re.findall(r"\d+", result["replay"]))) == spooled, result["replay"]
    assert "rejected" not in result["replay"]
