"""Send the notifications that rules want for a change."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, close_old_connections

from notifications.can.changes import Change
from notifications.can.sends import Send
from notifications.can.tally import Tally
from notifications.manager import NotificationManager

logger = logging.getLogger("notifications.can")

Rules = Callable[[Change], Iterable[Send]]


class Sender:
    """Calls the rules and sends the notifications that they return.

    :param survives_database_errors: whether to continue if the database does not respond. A live bridge continues; a
        replay ends with the error, because it can be run again.
    """

    def __init__(self, rules: Rules, tally: Tally, survives_database_errors: bool) -> None:
        self.rules = rules
        self.tally = tally
        self.survives_database_errors = survives_database_errors

    def send(self, change: Change) -> None:
        """Send the notifications for a change. A failure is logged and counted, and the others are still sent."""
        if self.survives_database_errors:
            # In a process without requests, Django does not close connections that the server has dropped.
            close_old_connections()
        sends: list[Send] = []
        with self._handle_errors(change):
            sends.extend(self.rules(change))
        for send in sends:
            with self._handle_errors(change):
                result = NotificationManager.send(
                    send.event_name, send.recipients, send.cluster, send.context, **send.options
                )
                self.tally.sent += result.notification_id is not None
                self.tally.spooled += result.spooled
                # If ON_BAD_CALL is "log", an invalid call does not raise an error.
                self.tally.failed += result.notification_id is None and not result.spooled

    @contextmanager
    def _handle_errors(self, change: Change) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            if not self.survives_database_errors:
                raise
            # A line for each notification that is lost, without the traceback, which is always the same in an outage.
            reason = " ".join(str(error).split())
            logger.error("The database cannot be used (%s), so no notification was queued for: %s", reason, change)  # noqa: TRY400
            self.tally.failed += 1
        except Exception:
            # Rules are the site's code, so they can raise any error. If an error ended the bridge, all other faults of
            # the vehicle would be lost.
            logger.exception("A rule or a send failed for: %s", change)
            self.tally.failed += 1
