"""The few threads in which streams use the database.

Django gives each request under ASGI a thread and a connection of its own. A thousand browsers that connect again after
a restart would open a thousand connections at once. So what a stream has to read runs in these threads. Each keeps its
connection, outside of the pools of the host.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync
from django.db import close_old_connections, connections

from notifications.core.connections import copy_without_pool
from notifications.core.databases import read_from_primary

THREADS = 4
MAX_AGE = 60
"""Seconds after which a connection is renewed."""
Result = TypeVar("Result")

_kept: list[Any] = []


def _keep_connections() -> None:
    """Let this thread keep its connections between two calls, whatever the site has chosen for requests."""
    for alias in connections:
        own = copy_without_pool(alias)
        own.settings_dict["CONN_MAX_AGE"] = MAX_AGE
        own.inc_thread_sharing()
        connections[alias] = own
        _kept.append(own)


def close_connections() -> None:
    """Close the connections of all threads. They open again when they are needed."""
    for connection in _kept:
        connection.close()


_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="klaxon-live", initializer=_keep_connections)


async def run_in_pool(function: Callable[..., Result], *args: Any) -> Result:
    """Call a function in one of the threads, in the context of this task, and return its result."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool, context.run, _call, function, args)


def _call(function: Callable[..., Result], args: Any) -> Result:
    # Those that are too old, or that an error has made unusable.
    close_old_connections()
    with read_from_primary():
        return function(*args)


def release_request_thread() -> None:
    """End the thread that Django keeps for the present request, which an idle stream does not need.

    asgiref starts another one if the request needs it at its end.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context is not None else None
    if executor is not None:
        executor.shutdown(wait=False)
