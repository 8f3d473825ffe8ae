"""A real PgBouncer in front of the tests' PostgreSQL."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

PORT = 6432
"""Of a Unix socket in a folder of its own, so no two tests can want the same one."""

CONFIGURATION = """\
[databases]
* = host={postgres} user={user}

[pgbouncer]
unix_socket_dir = {folder}
listen_addr =
listen_port = {port}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = 1
logfile = {folder}/log
pidfile = {folder}/pid
ignore_startup_parameters = extra_float_digits
"""


def program() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pgbouncer(folder: Path, mode: str = "transaction", size: int = 10) -> Iterator[dict[str, Any]]:
    """Run PgBouncer; yields what an entry of DATABASES needs to go through it.

    In transaction mode each transaction gets another server connection than the one before: what must not rely on
    having the same would only fail now and then otherwise.

    It refuses to run as root, so it runs as the user whom PostgreSQL runs as and who may reach its socket.
    """
    postgres = connection.settings_dict["HOST"]
    owner = os.stat(postgres)
    folder.mkdir()
    settings = folder / "pgbouncer.ini"
    words = {"postgres": postgres, "user": connection.settings_dict["USER"], "folder": folder, "port": PORT}
    settings.write_text(CONFIGURATION.format(**words, mode=mode, size=size))
    someone_else: dict[str, Any] = {}
    if os.getuid() == 0:
        someone_else = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        os.chown(folder, owner.st_uid, owner.st_gid)
    executable = program()
    assert executable, "PgBouncer is needed: apt-get install pgbouncer"
    process = subprocess.Popen([executable, "-q", str(settings)], stderr=subprocess.PIPE, **someone_else)
    try:
        _wait_for_socket(folder / f".s.PGSQL.{PORT}", process)
        _open_several(folder)
        yield {"HOST": str(folder), "PORT": str(PORT)}
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait_for_socket(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 10
    while not _accepts(path):
        if process.poll() is not None:
            raise AssertionError(f"PgBouncer has ended: {process.stderr.read().decode()}")
        assert time.monotonic() < deadline, "PgBouncer did not open its socket"
        time.sleep(0.02)


def _accepts(path: Path) -> bool:
    """Return whether somebody listens. The file of a socket exists a moment before."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _open_several(folder: Path) -> None:
    """Two transactions at once, so that there is another server connection to go to."""
    to = {"dbname": connection.settings_dict["NAME"], "user": connection.settings_dict["USER"]}
    with ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(psycopg.connect(host=str(folder), port=PORT, **to))
            client.execute("SELECT 1")
