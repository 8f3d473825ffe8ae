"""Rules: the host's answer to a change, as sends. ``NOTIFICATIONS["CAN_RULES"]`` names one callable.

::

    def rules(change: FaultChange) -> Iterator[Send]:
        if change.kind == "raised" and "red" in change.lamps:
            yield Send(CoachEvents.FAULT, Members(coach), coach, {"problem": change.problem})
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils.module_loading import import_string

from notifications import conf
from notifications.can.faults import FaultChange
from notifications.can.tally import Tally
from notifications.manager import NotificationManager

logger = logging.getLogger("notifications.can")


@dataclass(frozen=True)
class Send:
    """One call of ``NotificationManager.send``.

    :param options: its further keyword arguments, such as ``{"correlation_id": change.fault_id}``.
    """

    event_name: Enum | str
    recipients: Any
    cluster: Any = None
    context: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


Rules = Callable[[FaultChange], Iterable[Send]]


def load_rules() -> Rules:
    """The callable that ``CAN_RULES`` names.

    :raises ImproperlyConfigured: if it names none, or one that cannot be imported.
    """
    path = conf.current().can_rules
    if not path:
        raise ImproperlyConfigured(
            "NOTIFICATIONS['CAN_RULES'] is not set, so nobody would be told. Set it to the dotted path of a "
            "callable(FaultChange) -> iterable of Send, or try the bridge with --dry-run."
        )
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"NOTIFICATIONS['CAN_RULES'] names {path!r}: {error}") from error


class Sender:
    """Asks the rules and sends what they answer.

    :param survives_database_errors: a live bridge goes on when the database does not answer; a replay ends with the
        error, for it can be run again.
    """

    def __init__(self, rules: Rules, tally: Tally, survives_database_errors: bool) -> None:
        self.rules = rules
        self.tally = tally
        self.survives_database_errors = survives_database_errors

    def send(self, change: FaultChange) -> None:
        """Send what the rules make of it; what fails is logged and counted, and does not keep the rest from going."""
        if self.survives_database_errors:
            # Nobody else in a process without requests drops a connection that the server has closed.
            close_old_connections()
        sends: list[Send] = []
        with self._surviving(change):
            sends.extend(self.rules(change))
        for send in sends:
            with self._surviving(change):
                result = NotificationManager.send(
                    send.event_name, send.recipients, send.cluster, send.context, **send.options
                )
                self.tally.sent += result.notification_id is not None
                self.tally.spooled += result.spooled
                # With ON_BAD_CALL set to "log" a wrong call is no error here.
                self.tally.failed += result.notification_id is None and not result.spooled

    @contextmanager
    def _surviving(self, change: FaultChange) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError):
            if not self.survives_database_errors:
                raise
            logger.exception("The database failed at: %s", change)
            self.tally.failed += 1
        except Exception:
            # Rules are the host's code and what they send is theirs too: any error can come from them. One that
            # ended the bridge would silence every other fault of the vehicle.
            logger.exception("A rule failed at: %s", change)
            self.tally.failed += 1
