"""Refuse calls in async code that use the database."""

import asyncio
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from notifications.exceptions import CalledFromAsyncCode

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def synchronous(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Raise an error in async code before Django does, with the call to write instead."""

    @wraps(call)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if _is_async():
            raise CalledFromAsyncCode(
                f"NotificationManager.{call.__name__}() was called in async code, where the database cannot be used. "
                f"Write: {_suggest_replacement(call.__name__)}"
            )
        return call(*args, **kwargs)

    return wrapper


def _suggest_replacement(name: str) -> str:
    if name == "send":
        return "await NotificationManager.asend(…)"
    return f"await sync_to_async(NotificationManager.{name})(…), with sync_to_async of asgiref.sync"


def _is_async() -> bool:
    """Return whether this is async code. It is false if ``DJANGO_ALLOW_ASYNC_UNSAFE`` is set."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
