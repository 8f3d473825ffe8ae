import pytest

from notifications.live import hub
from tests.live.site import Sites, wait_until_idle


@pytest.fixture(autouse=True)
def stopped_streams():
    """Close what streams in this process have opened, because other tests copy and drop the database."""
    yield
    hub.stop()


@pytest.fixture(scope="package")
def sites(django_db_setup):
    sites = Sites()
    yield sites
    sites.kill()


@pytest.fixture
def site(sites, transactional_db):
    """The host under ASGI, in a process that the tests of this folder share."""
    site = sites.run()
    yield site
    site.close_responses()
    wait_until_idle()
