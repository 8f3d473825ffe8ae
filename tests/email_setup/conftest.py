import pytest

from notifications.email_setup.resolver import Resolver


@pytest.fixture(scope="session")
def served_zone():
    # Not installed in an environment without extras.
    from tests.email_setup.name_server import name_server

    with name_server() as zone:
        yield zone


@pytest.fixture
def zone(served_zone):
    served_zone.texts.clear()
    served_zone.queries.clear()
    return served_zone


@pytest.fixture
def resolver(zone):
    return Resolver(zone.address)
