import json

import pytest

from notifications.spool.files import Spool


@pytest.fixture
def spool(settings, tmp_path):
    """Configure a spool and return it."""
    folder = tmp_path / "spool"
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "SPOOL_DIR": folder}
    return Spool(folder)


@pytest.fixture
def spooled(spool):
    """Return a function that returns the spooled records."""

    def spooled():
        text = spool.current.read_text() if spool.current.exists() else ""
        return [json.loads(line)["send"] for line in text.splitlines()]

    return spooled
