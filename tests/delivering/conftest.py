import shutil
import tempfile
from pathlib import Path

import pytest
from django.db import OperationalError

from notifications.delivering.outcome_writer import OutcomeWriter
from tests.delivering.scripted import ScriptedChannel


@pytest.fixture
def short_folder():
    """A folder for Unix sockets, whose paths are limited to about 100 characters. Other users may enter it."""
    folder = Path(tempfile.mkdtemp(prefix="klaxon-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def scripted_channel(settings):
    """Replace the log channel, which order_refused uses, with a ScriptedChannel."""
    settings.NOTIFICATIONS = {
        "CHANNELS": {"log": {"BACKEND": "tests.delivering.scripted.ScriptedChannel"}},
        "RETRY_DELAYS": [60, 300, 900],
        "RETRY_JITTER": 0,
    }
    ScriptedChannel.answers, ScriptedChannel.given = [], []
    return ScriptedChannel


@pytest.fixture
def state_folder(scripted_channel, settings, tmp_path):
    """The folder of the leftovers files. It does not exist yet."""
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "STATE_DIR": str(tmp_path / "state"), "STOP_SECONDS": 0.1}
    return tmp_path / "state"


@pytest.fixture
def database_away(monkeypatch):
    """A database that cannot be written to, until ``undo()`` is called."""

    def gone(*args, **options):
        raise OperationalError("away")

    with monkeypatch.context() as database:
        database.setattr(OutcomeWriter, "write", gone)
        yield database
