"""Calls that use the database at once, and so cannot be made in async code."""

import asyncio
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from notifications.exceptions import CalledFromAsyncCode

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def synchronous(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Refuse the call in async code before Django does, with the call to make instead."""

    @wraps(call)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if _runs_in_event_loop():
            raise CalledFromAsyncCode(
                f"NotificationManager.{call.__name__}() was called in async code, where the database cannot be used. "
                f"Write: {_instead(call.__name__)}"
            )
        return call(*args, **kwargs)

    return checked


def _instead(name: str) -> str:
    if name == "send":
        return "await NotificationManager.asend(…)"
    return f"await sync_to_async(NotificationManager.{name})(…), with sync_to_async of asgiref.sync"


def _runs_in_event_loop() -> bool:
    """Also false where the site has told Django to allow it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
