"""Functions that change the finished messages of a group before they are sent, such as to track their links.

Features register them when Django starts, so the delivering wing does not import them.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django.db import Error

from notifications.core.databases import is_temporary_failure

logger = logging.getLogger("notifications.dispatch")

Finisher = Callable[[Any, Sequence[tuple[Any, Any]], str], None]
"""A function that gets a channel, the pairs of delivery and message, and the alias of their database.

It changes the messages in place. It is called once for a group, so its number of queries must not depend on the number
of messages.
"""
FINISHERS: dict[str, Finisher] = {}


def register_finisher(name: str, finisher: Finisher) -> None:
    """Register a finisher. Finishers are called in the order in which they were registered."""
    FINISHERS[name] = finisher


def finish_messages(channel: Any, prepared: Sequence[tuple[Any, Any]], using: str) -> None:
    """Call the finishers with the messages of a group. If one fails, the messages are sent as they are.

    :raises django.db.Error: if the database cannot be used at present.
    """
    for name, finisher in FINISHERS.items():
        try:
            finisher(channel, prepared, using)
        except Exception as error:
            # The messages can be finished later. Every other error would occur again.
            if isinstance(error, Error) and is_temporary_failure(error):
                raise
            logger.exception("The messages are sent without %s.", name)
