"""Calls that run side by side, each in a thread of its own and with a deadline.

The threads are daemons: one that never returns does not keep the process from ending.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from django.db import connections

from notifications.monitoring.doctor.diagnosis import Diagnosis, Status

Result = TypeVar("Result")


class TookTooLong(Exception):
    """A call has not returned before its deadline."""


class _Call(Generic[Result]):
    """A call that runs in a thread."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - wait() raises it in the thread of the caller
            self._error = error
        finally:
            connections.close_all()

    def wait(self, deadline: float) -> Result:
        """Return the result.

        :param deadline: a monotonic time.
        :raises TookTooLong: if there is none before the deadline.
        """
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            raise TookTooLong
        if self._error is not None:
            raise self._error
        result: Result = self._result
        return result


def call_within(seconds: float, function: Callable[[], Result]) -> Result:
    """Return the result of a function that runs in another thread.

    :raises TookTooLong: if it has not returned within the seconds.
    """
    return _Call(function).wait(time.monotonic() + seconds)


def run_side_by_side(
    calls: Mapping[str, Callable[[], Iterable[Diagnosis]]], seconds: float, remedy: str
) -> Iterator[Diagnosis]:
    """Yield the results of all calls in their order. They begin together.

    :param calls: functions by what they examine.
    :param remedy: what to do about a call that has not returned within the seconds. It is an error.
    """
    deadline = time.monotonic() + seconds
    running = {name: _Call(partial(_list, call)) for name, call in calls.items()}
    for name, call in running.items():
        try:
            yield from call.wait(deadline)
        except TookTooLong:
            yield Diagnosis(Status.ERROR, name, f"There was no answer within {seconds:g} seconds.", remedy)


def _list(call: Callable[[], Iterable[Diagnosis]]) -> list[Diagnosis]:
    """Run a generator to its end, in the thread that calls this."""
    return list(call())
