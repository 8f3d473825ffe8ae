import pytest

from notifications.live import hub


@pytest.fixture(autouse=True)
def stopped_streams():
    """Close what streams in this process have opened, because other tests copy and drop the database."""
    yield
    hub.stop()
