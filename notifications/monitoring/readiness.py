"""Whether this process can read the tables of Klaxon, answered within :data:`MAX_SECONDS` whatever the database does.

A driver can wait for a silent server for ever. So a thread asks the database on a connection of its own, and whoever
wants to know waits for it at most for the limit. Then the connection is cut, which ends the thread. There is only one
thread for each database at a time, and its answer is used for a second, so any number of requests cost one statement.
"""

import logging
import threading
import time
from typing import Any

from django.db import router
from django.utils.translation import gettext as _

from notifications.core.connections import break_connection, use_impatient_connection
from notifications.models import Delivery
from notifications.monitoring.findings import Finding
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.health")

MAX_SECONDS = 1.5
"""Nobody waits longer. It is less than the two seconds after which load balancers may give up."""
LOCK_SECONDS = 1.0
"""How long the statement waits for a lock. The server must end it, because it does not notice a cut connection."""
SECONDS_KEPT = 1.0
"""How long an answer is used for other requests, because everybody may ask."""


class Inquiry:
    """One question to a database, asked in a thread."""

    def __init__(self, using: str) -> None:
        self.using = using
        # Its text only, because the traceback would keep the failed connection.
        self.error = ""
        self.begun_at = time.monotonic()
        self.ended_at: float | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._connection: Any = None
        threading.Thread(target=self._run, name=f"klaxon-health-{using}", daemon=True).start()

    def wait(self) -> bool:
        """Wait for the answer until the limit, and return whether the tables can be read."""
        if not self._ended.wait(self.begun_at + MAX_SECONDS - time.monotonic()):
            with self._lock:
                if self._connection is not None:
                    break_connection(self._connection)
            return False
        return not self.error

    def is_usable(self) -> bool:
        """Return whether its answer is still to come, or new enough."""
        return self.ended_at is None or time.monotonic() - self.ended_at < SECONDS_KEPT

    def _run(self) -> None:
        try:
            with use_impatient_connection(self.using, LOCK_SECONDS) as connection:
                self._set_connection(connection)
                try:
                    read_tables(self.using)
                finally:
                    # Its socket may belong to something else as soon as it is closed.
                    self._set_connection(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process is not ready
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.ended_at = time.monotonic()
            self._ended.set()

    def _set_connection(self, connection: Any) -> None:
        with self._lock:
            self._connection = connection


_inquiries: dict[str, Inquiry] = {}
_was_ready: dict[str, bool] = {}
_lock = threading.Lock()


def read_tables(using: str) -> None:
    """Read the columns of a delivery and its notification, so that a missing migration is noticed as well.

    :raises Exception: the error of the database or of its driver.
    """
    with get_engine(using).limit_lock_waits(LOCK_SECONDS):
        Delivery.objects.using(using).select_related("notification").filter(pk=0).first()


def is_ready(using: str | None = None) -> bool:
    """Return whether the tables can be read, within :data:`MAX_SECONDS`. It uses no connection of this thread.

    :param using: the alias of the database; by default, the one that deliveries are written to.
    """
    using = using or router.db_for_write(Delivery)
    with _lock:
        inquiry = _inquiries.get(using)
        if inquiry is None or not inquiry.is_usable():
            inquiry = _inquiries[using] = Inquiry(using)
    answer = inquiry.wait()
    _log_change(using, answer, inquiry.error)
    return answer


def forget_answers() -> None:
    """Ask the database again with the next call of :func:`is_ready`, for tests."""
    with _lock:
        _inquiries.clear()


def describe_outage() -> Finding:
    """Return the finding ``database`` of a database that cannot be read. It names no host and no error."""
    return Finding(
        "database",
        False,
        _("The database does not answer within %(seconds)s seconds, or the tables cannot be read.")
        % {"seconds": MAX_SECONDS},
        _("Read the log of this process for the error. Start the database, run migrate, or end what holds the lock."),
    )


def _log_change(using: str, answer: bool, error: str) -> None:
    """Log when a database becomes unreachable and when it is back, not each request."""
    with _lock:
        before, _was_ready[using] = _was_ready.get(using, True), answer
    if before and not answer:
        cause = error or f"no answer within {MAX_SECONDS} s"
        logger.error("Not ready: the tables in the database %r cannot be read: %s", using, cause)
    elif answer and not before:
        logger.info("Ready again: the database %r answers.", using)
