import pytest

from example_project.quality import people
from tests.example_site import site_settings


@pytest.fixture
def files(settings, tmp_path):
    """The example site's stand-ins, each writing to a file of this test."""
    settings.NOTIFICATIONS, files = site_settings(tmp_path)
    return files


@pytest.fixture
def laboratory(db, files):
    return people.create_people()
