"""What the examinations of one run share."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, router

from notifications.core import clock
from notifications.core.connections import copy_without_pool
from notifications.models import Delivery
from notifications.monitoring.doctor.side_by_side import TookTooLong, call_within

DATABASE_SECONDS = 5.0
"""The time that the database has to answer. Without it, a server that drops packets stops the doctor for minutes."""


@dataclass(frozen=True)
class Site:
    """The site that is examined.

    :param seconds: the time that each provider and each mail domain has to answer. They are asked side by side.
    :param nameserver: the DNS server to ask, as in ``"127.0.0.1:53"``; by default, those of the system.
    """

    seconds: float = 15.0
    nameserver: str = ""

    @cached_property
    def using(self) -> str:
        """The alias of the database to which Klaxon writes."""
        return router.db_for_write(Delivery)

    @cached_property
    def now(self) -> datetime:
        """The time of the database."""
        return clock.now(self.using)

    @cached_property
    def database_fault(self) -> str:
        """Why the database cannot be used, in one line; empty if it can."""
        try:
            call_within(DATABASE_SECONDS, self._connect)
        except TookTooLong:
            return f"It did not answer within {DATABASE_SECONDS:g} seconds."
        except (Error, ImproperlyConfigured) as error:
            return " ".join(str(error).split()) or type(error).__name__
        return ""

    def _connect(self) -> None:
        # In this thread, a pool would open its connections for one statement.
        connection = copy_without_pool(self.using)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        finally:
            connection.close()

    @cached_property
    def check_messages(self) -> list[CheckMessage]:
        """The messages of Klaxon's system checks, with those for deployment, without the silenced ones."""
        found = run_checks(tags=["klaxon"], include_deployment_checks=True)
        return [message for message in found if not message.is_silenced()]
