"""The database cannot be reached: outside a transaction, a send goes to the spool instead, if there is one.

Inside a transaction it never does: what the caller writes beside it is lost with the connection, and a notification of
it must not come back alone.
"""

import logging
from dataclasses import replace
from typing import Any
from uuid import uuid4

from django.db import DatabaseError, Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from notifications import conf
from notifications.core import clock
from notifications.core.connections import is_unreachable
from notifications.exceptions import KlaxonError
from notifications.outcomes import SendResult
from notifications.sending.enqueue import enqueue
from notifications.sending.request import Request
from notifications.spool.calls import make_repeatable, to_record
from notifications.spool.files import Spool

logger = logging.getLogger("notifications.spool")


def may_spool(using: str) -> bool:
    return conf.current().enabled and bool(conf.current().spool_dir) and not is_in_transaction(connections[using])


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Also in one that the host manages by hand, with autocommit off."""
    is_open = connection.connection is not None
    autocommit = connection.autocommit if is_open else connection.settings_dict["AUTOCOMMIT"]
    return connection.in_atomic_block or not autocommit


def enqueue_or_spool(request: Request, recipients: Any, using: str) -> SendResult:
    """Queue it or, if the database cannot be reached, keep it on this machine.

    :raises OperationalError, InterfaceError: if it can be neither queued nor kept.
    """
    requested_at = clock.local_now()
    recipients = make_repeatable(recipients)
    # Before the first try: if contact is lost at the commit, nobody knows whether it came to pass.
    named = request if request.options.idempotency_key else _named(request)
    try:
        result = _enqueue_with_retry(named, recipients, using)
    except (OperationalError, InterfaceError) as error:
        connection = connections[using]
        if not is_unreachable(error, connection.vendor):
            raise
        connection.close()
        return _spooled(named, recipients, requested_at, error)
    # A key of ours is used again only after contact was lost; then the first call is this one.
    return replace(result, duplicate=result.duplicate and named is request)


def _named(request: Request) -> Request:
    return replace(request, options=replace(request.options, idempotency_key=f"spool:{uuid4()}"))


def _enqueue_with_retry(request: Request, recipients: Any, using: str) -> SendResult:
    connection = connections[using]
    was_open = connection.connection is not None
    try:
        return enqueue(request, recipients, using)
    except (OperationalError, InterfaceError) as error:
        if not (was_open and connection.vendor == "postgresql" and is_unreachable(error, connection.vendor)):
            raise
    # The connection may be long dead, and the database well.
    connection.close()
    return enqueue(request, recipients, using)


def _spooled(request: Request, recipients: Any, requested_at: Any, error: Error) -> SendResult:
    try:
        Spool(conf.current().spool_dir).append(to_record(request, recipients, requested_at))
    except (KlaxonError, DatabaseError, OSError) as reason:
        logger.exception("The database cannot be reached, and %r cannot be spooled.", request.event.name)
        error.add_note(f"It could not be spooled: {reason}")
        raise error from error.__cause__
    words = " ".join(str(error).split())
    logger.warning("The database cannot be reached; %r is spooled. (%s)", request.event.name, words)
    return SendResult(
        None,
        not_configured=request.not_configured,
        refused_channels=request.refused_channels,
        spooled=True,
        problems=request.problems,
        bad_call=request.is_bad_call,
    )
