"""A fresh database of one's own, for runs that stand apart from the tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgres_server import Server


@contextmanager
def ground(database: str, settings: str) -> Iterator[Path]:
    """A folder and a database for these settings, named in the environment; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="klaxon-"))
    # PostgreSQL, if started by root, runs as somebody else, and its folder stands in this one.
    folder.chmod(0o755)
    state = {"KLAXON_STATE_DIR": str(folder / "state")}
    os.environ |= {"DJANGO_SETTINGS_MODULE": settings, "KLAXON_TEST_DB": database, **state}
    try:
        with postgres(folder / "pg") if database == "postgres" else sqlite(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sqlite(folder: Path) -> Iterator[None]:
    os.environ["KLAXON_DATABASE_NAME"] = str(folder / "own.sqlite3")
    yield


@contextmanager
def postgres(folder: Path) -> Iterator[None]:
    """A server that its run may restart as roughly as it likes."""
    server = Server(folder)
    os.environ.pop("KLAXON_DATABASE_NAME", None)
    os.environ["KLAXON_POSTGRES"] = server.uri
    try:
        yield
    finally:
        server.stop()
