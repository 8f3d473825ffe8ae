"""Send the notifications that rules return for a change, each exactly once.

A live bridge writes the state of a change and its notifications in one transaction. If the database is away or locked,
it tries again until both are committed. If the process is killed before, the table does not know the change, so the
bridge finds it again after its restart.

A replay does not use the state tables. Its notifications have idempotency keys that are made of the change, so a
recording that is replayed again sends nothing twice.
"""

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from django.db import Error, InterfaceError, OperationalError, close_old_connections, connections, router, transaction

from notifications.can.changes import Change
from notifications.can.sends import Send
from notifications.can.standing import Seen, Standing
from notifications.can.store import Store
from notifications.can.tally import Tally
from notifications.core.databases import is_missing_migration, is_temporary_failure, read_from_primary
from notifications.exceptions import IdempotencyConflict
from notifications.manager import NotificationManager
from notifications.models import Notification

logger = logging.getLogger("notifications.can")

Rules = Callable[[Change], Iterable[Send]]

FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
GRACE_SECONDS = 10.0
"""For how long a bridge that stops goes on to try."""
LOGGED_EVERY_SECONDS = 60.0
SEEN_WRITTEN_EVERY_SECONDS = 5.0


class Sender:
    """Calls the rules and sends the notifications that they return.

    :param store: the state tables; None for a replay, which ends with the error if the database does not respond.
    :param stopped: an event that is set when the bridge is to stop.
    """

    def __init__(
        self, rules: Rules, tally: Tally, store: Store | None = None, stopped: threading.Event | None = None
    ) -> None:
        self.rules = rules
        self.tally = tally
        self.store = store
        self.stopped = threading.Event() if stopped is None else stopped
        self.using = router.db_for_write(Notification)
        self._bus = ""
        self._restore: Callable[[str, Standing], None] | None = None
        self._take_seen: Callable[[], Seen] | None = None
        self._seen_written_at = float("-inf")
        self._logged_at = float("-inf")
        # What the last try for the current change has sent. If the connection is lost at the commit, nobody knows
        # whether it was committed.
        self._unconfirmed: Counter[str] = Counter()

    def connect(self, bus: str, restore: Callable[[str, Standing], None], take_seen: Callable[[], Seen]) -> None:
        """Read what stands on a bus, and pass it to ``restore``. If the database is away, do it later.

        :param bus: the name of the bus, as its frames have it.
        :param restore: ``Bridge.restore``.
        :param take_seen: ``Bridge.take_seen``.
        """
        self._bus, self._restore, self._take_seen = bus, restore, take_seen
        self.keep_up()

    def keep_up(self, is_last: bool = False) -> None:
        """Read what stands if that is still to do, and write which devices were seen.

        Call this every second or so, also while there are no changes. It does not raise an error if the database is
        away.

        :param is_last: whether the bridge stops, so that there is no later call.
        """
        if self.store is None:
            return
        if is_last:
            self._seen_written_at = float("-inf")
        try:
            with self._connection():
                self._load_state(self.store)
                self._write_seen(self.store)
        except Error as error:
            self._report(error, "The state of the bus is read and written later.")

    def send(self, change: Change) -> None:
        """Write the state of a change and send its notifications. A failure of one of them is logged and counted, and
        the others are still sent.

        While the database of a live bridge is away or locked, this waits and tries again. After ``stopped`` is set,
        it gives up after some seconds. Then the change is logged; it was not written, so the bridge finds it again
        after its restart if it is still the case.
        """
        if self.store is None:
            self._add(self._send_all(change, has_state=False))
            return
        self._unconfirmed = Counter()
        pause, gives_up_at = FIRST_PAUSE_SECONDS, float("inf")
        while not self._try_to_write(self.store, change):
            if self.stopped.is_set():
                gives_up_at = min(gives_up_at, time.monotonic() + GRACE_SECONDS)
            if time.monotonic() + pause > gives_up_at:
                logger.error("The bridge stops while the database is away. Not sent: %s", change)
                self.tally.failed += 1
                return
            self._wait(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _try_to_write(self, store: Store, change: Change) -> bool:
        """Write a change and send its notifications. Return False if the database is away, so that it must be tried
        again."""
        try:
            with self._connection():
                self._load_state(store)
                self._add(self._write(store, change))
        except Error as error:
            if is_temporary_failure(error) or is_missing_migration(error):
                self._report(error, f"Kept until it is back: {change}")
                return False
            self._fail(change)
        except Exception:  # noqa: BLE001
            # A receiver of a signal after the commit can raise any error, and must not end the bridge.
            self._fail(change)
        return True

    def _wait(self, seconds: float) -> None:
        if self.stopped.is_set():
            time.sleep(seconds)
        else:
            self.stopped.wait(seconds)

    def _load_state(self, store: Store) -> None:
        if self._restore is not None:
            # Before the first change is written: what the bridge has raised anew then is known to have stood.
            self._restore(self._bus, store.load_open(self._bus))
            self._restore = None

    def _write_seen(self, store: Store) -> None:
        if self._take_seen is None or time.monotonic() - self._seen_written_at < SEEN_WRITTEN_EVERY_SECONDS:
            return
        self._seen_written_at = time.monotonic()
        seen = self._take_seen()
        if seen.devices or seen.faults:
            store.write_seen(seen)

    def _write(self, store: Store, change: Change) -> Counter[str]:
        with transaction.atomic(using=self.using):
            accepted = store.apply(change)
            counts: Counter[str] = Counter()
            if accepted is not None:
                counts = self._send_all(accepted, has_state=store.remembers(accepted))
            if not counts["sent"] and self._unconfirmed["sent"]:
                # The try before was committed, and only the answer was lost. Its notifications count.
                counts = self._unconfirmed
            self._unconfirmed = counts
        return counts

    def _send_all(self, change: Change, has_state: bool) -> Counter[str]:
        """Return how many notifications were sent, spooled, sent before, and failed."""
        counts: Counter[str] = Counter()
        sends: list[Send] = []
        with self._handle_errors(change, counts):
            sends.extend(self.rules(change))
        numbers: Counter[str] = Counter()
        for send in sends:
            with self._handle_errors(change, counts):
                options = {"correlation_id": change.correlation_id, **send.options}
                name = str(getattr(send.event_name, "value", send.event_name))
                numbers[name] += 1
                if not has_state and "idempotency_key" not in options:
                    options["idempotency_key"] = make_key(change, name, numbers[name])
                result = NotificationManager.send(
                    send.event_name, send.recipients, send.cluster, send.context, **options
                )
                counts["already_sent"] += result.duplicate
                counts["sent"] += result.notification_id is not None and not result.duplicate
                counts["spooled"] += result.spooled
                # If ON_BAD_CALL is "log", an invalid call does not raise an error.
                counts["failed"] += result.notification_id is None and not result.spooled
        return counts

    @contextmanager
    def _handle_errors(self, change: Change, counts: Counter[str]) -> Iterator[None]:
        try:
            if self.store is None:
                yield
            else:
                # After an error in a statement of a rule, PostgreSQL would refuse everything else in the transaction.
                with transaction.atomic(using=self.using):
                    yield
        except (OperationalError, InterfaceError) as error:
            if self.store is None or is_temporary_failure(error):
                raise
            self._log_failure(change, counts)
        except IdempotencyConflict as error:
            logger.warning("An earlier replay has sent another content for: %s (%s)", change, error)
            counts["already_sent"] += 1
        except Exception:  # noqa: BLE001
            # Rules are the site's code, so they can raise any error. If an error ended the bridge, all other faults of
            # the vehicle would be lost.
            self._log_failure(change, counts)

    def _log_failure(self, change: Change, counts: Counter[str]) -> None:
        logger.exception("A rule or a send failed for: %s", change)
        counts["failed"] += 1

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """Close connections that the server has dropped, which Django does only in processes that handle requests."""
        connection = connections[self.using]
        if not connection.in_atomic_block:
            close_old_connections()
        try:
            with read_from_primary():
                yield
        except Error:
            if not connection.in_atomic_block:
                connection.close()
            raise

    def _report(self, error: Error, consequence: str) -> None:
        """Log that the database is away, once a minute and without the traceback, which is always the same."""
        if time.monotonic() - self._logged_at < LOGGED_EVERY_SECONDS:
            return
        self._logged_at = time.monotonic()
        reason = " ".join(str(error).split())
        hint = " Run `manage.py migrate`." if is_missing_migration(error) else ""
        logger.error("The database cannot be used (%s).%s %s", reason, hint, consequence)

    def _fail(self, change: Change) -> None:
        logger.exception("A change cannot be written or sent: %s", change)
        self.tally.failed += 1

    def _add(self, counts: Counter[str]) -> None:
        for name, count in counts.items():
            setattr(self.tally, name, getattr(self.tally, name) + count)


def make_key(change: Change, event_name: str, number: int) -> str:
    """Return the idempotency key of a notification.

    :param number: 1 for the first notification of the event about this change, and so on.
    """
    parts = (change.correlation_id, change.kind, change.at.isoformat(), event_name, str(number))
    return f"can:{hashlib.sha256(' '.join(parts).encode()).hexdigest()}"
