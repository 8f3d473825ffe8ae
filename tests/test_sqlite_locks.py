"""Whoever is frozen with SQLite's write lock in his hands is found."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from tests.sqlite_locks import LOCKS, is_stopped, writer

HOLD_AND_FREEZE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.skipif(not LOCKS.exists(), reason="This system does not tell who holds which lock.")
def test_a_frozen_writer_is_found(tmp_path):
    database = tmp_path / "db.sqlite3"
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE things (name)")
    assert writer(database) is None
    frozen = subprocess.Popen([sys.executable, "-c", HOLD_AND_FREEZE, str(database)])
    os.waitpid(frozen.pid, os.WUNTRACED)
    assert writer(database) == frozen.pid
    assert is_stopped(frozen.pid)
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(10) == 0
    assert writer(database) is None
    connection.close()
