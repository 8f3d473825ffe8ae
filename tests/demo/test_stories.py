"""The stories as a newcomer hears them: commands of the example site, with its own settings, on a fresh database."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# The coach of the same site listens to a CAN bus.
pytestmark = pytest.mark.needs("can")

ROOT = Path(__file__).resolve().parents[2]
TOLD = {
    "quality_story": (
        "test-creator got it by email: Checkout: 2 tests failed",
        "qa-manager got it by websocket: Checkout: 338 passed, 2 failed",
        "administrator got it by email: URGENT: Report store is unhealthy",
        "https://monitoring.quality.example/hooks/klaxon got it by webhook: Report store: No answer for 30 seconds",
        "quality-engineer got it by app: Share of flaky tests is 4.2, the limit is 3.0",
        "project-manager got it by app: Share of flaky tests is 4.2, the limit is 3.0",
        "https://slack.quality.example/services/team-room got it by slack: *warning*: Nightly runs are late.",
    ),
    "residency_story": (
        "Mon 05 10:30  pgy1-01 did not get it by email: event: the same as",
        "within the window of 86400 seconds",
        "within the window of 3600 seconds",
        "within the window of 14400 seconds",
        "Mon 05 11:15  pgy1-01 got it by email, 3 in one: Changes of assignments (3)",
        "Mon 05 12:30  coordinator got it by app, 2 in one: Absences (2)",
        "coordinator got 11 by app: 10 at once, the last at 14:03:00",
        "coordinator got 11 by email: 10 at once, the last at 14:06:00",
        "program-director got 101 by app: 100 at once, the last at 16:00:36",
        "program-director got 101 by email: 50 at once, the last at 17:02:24",
        "Mon 05 18:00  pgy1-02 got it by sms: You have a shift in an hour.",
        "Hours worked: 24",
    ),
}


@pytest.fixture(scope="module")
def manage(tmp_path_factory):
    """A command of the example site on a database of its own; what this machine says of settings does not count."""
    file = tmp_path_factory.mktemp("site") / "story.sqlite3"
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("NOTIFICATIONS_", "DJANGO_"))}

    def manage(*command):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**bare, "DATABASE_URL": f"sqlite:///{file}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    return manage


@pytest.mark.every_database
@pytest.mark.parametrize("story", TOLD)
def test_a_story_tells_what_the_programmes_own_tables_say(manage, story):
    told = manage(story)
    assert [sentence for sentence in TOLD[story] if sentence not in told] == []


@pytest.mark.parametrize("page", ["README.md", "docs/examples.md"])
def test_the_stories_are_told_in_the_environment_of_the_demonstration(page):
    [suffix] = re.findall(r"^DEMO = \$\(VENV\)(\S+)$", (ROOT / "Makefile").read_text(), re.M)
    activated = re.findall(r"source (\S+)/bin/activate", (ROOT / page).read_text())
    assert activated == [f".venv{suffix}"]
