"""Spool a call if the database cannot be reached. Calls in a transaction are never spooled.

If the connection is lost, the caller's other writes in the transaction are lost too, and a notification about them
must not be sent later.
"""

import logging
from dataclasses import replace
from typing import Any
from uuid import uuid4

from django.db import DatabaseError, Error, InterfaceError, OperationalError, connections

from notifications import conf
from notifications.core import clock
from notifications.core.databases import is_in_transaction
from notifications.exceptions import KlaxonError
from notifications.outcomes import SendResult
from notifications.sending.enqueue import build_result, enqueue
from notifications.sending.request import Request
from notifications.spool.calls import make_repeatable, to_record
from notifications.spool.files import Spool
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.spool")


def may_spool(using: str) -> bool:
    """Return whether a call may be spooled on a site with a spool: Klaxon is on, and there is no transaction."""
    return conf.current().enabled and not is_in_transaction(using)


def enqueue_or_spool(request: Request, recipients: Any, using: str) -> SendResult:
    """Queue a call or, if the database cannot be reached, spool it.

    :raises OperationalError, InterfaceError: if neither is possible.
    """
    requested_at = clock.local_now()
    recipients = make_repeatable(recipients)
    # Before the first attempt: if contact is lost at the commit, it is unknown whether the call was committed.
    with_key = request if request.options.idempotency_key else _add_idempotency_key(request)
    try:
        result = _enqueue_with_retry(with_key, recipients, using)
    except (OperationalError, InterfaceError) as error:
        engine = get_engine(using)
        if not engine.is_unreachable(error):
            raise
        engine.connection.close()
        return _spool(with_key, recipients, requested_at, error)
    # A key of Klaxon's own is only repeated after contact was lost. Then the first attempt of this call has used it.
    return replace(result, duplicate=result.duplicate and with_key is request)


def _add_idempotency_key(request: Request) -> Request:
    return replace(request, options=replace(request.options, idempotency_key=f"spool:{uuid4()}"))


def _enqueue_with_retry(request: Request, recipients: Any, using: str) -> SendResult:
    engine, connection = get_engine(using), connections[using]
    was_open = connection.connection is not None
    try:
        return enqueue(request, recipients, using)
    except (OperationalError, InterfaceError) as error:
        if not (was_open and engine.has_server and engine.is_unreachable(error)):
            raise
    # The connection may have died long ago, and the database may be available.
    connection.close()
    return enqueue(request, recipients, using)


def _spool(request: Request, recipients: Any, requested_at: Any, error: Error) -> SendResult:
    try:
        Spool(conf.current().spool_dir).append(to_record(request, recipients, requested_at))
    except (KlaxonError, DatabaseError, OSError) as spool_error:
        logger.exception(
            "The database cannot be reached, and the call for event %r cannot be spooled.", request.event.name
        )
        error.add_note(f"The call could not be spooled: {spool_error}")
        raise error from error.__cause__
    message = " ".join(str(error).split())
    logger.warning(
        "The database cannot be reached. The call for event %r is spooled. (%s)", request.event.name, message
    )
    return build_result(request, None, spooled=True)
