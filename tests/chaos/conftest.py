"""The processes of these tests need the same tables, so only the first one makes them."""

import os

import pytest


@pytest.fixture(scope="package", autouse=True)
def template(tmp_path_factory):
    """A file that all workers of pytest share; ``tests.chaos.stage`` makes it."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOS_TEMPLATE", str(shared / "chaos.sqlite3"))
        yield
