import pytest

from example_project.quality import people

STAND_INS = "example_project.quality.channels"


@pytest.fixture
def files(settings, tmp_path):
    """The example site's stand-ins, each writing to a file of this test."""
    kinds = {"websocket": "LiveStandIn", "webhook": "HookStandIn", "slack": "HookStandIn"}
    files = {name: tmp_path / f"{name}.jsonl" for name in kinds}
    settings.NOTIFICATIONS = {
        "CHANNELS": {
            name: {"BACKEND": f"{STAND_INS}.{kind}", "OPTIONS": {"file": files[name]}} for name, kind in kinds.items()
        }
    }
    return files


@pytest.fixture
def laboratory(db, files):
    return people.settle_in()
