"""What operators look at, read from the tables: each reading is a function with one or two bounded statements.

Several probes and the overview need the same readings. Within :func:`share_readings`, each is read once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from notifications.models import Bucket, Circuit, Heartbeat, Pause
from notifications.storage.attempt_summary import ChannelAttempts, count_attempts
from notifications.storage.queue_depth import QueueDepth, measure_queue

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

MAX_ROWS = 200
"""The largest number of circuits, pauses or workers that is read."""
MAX_BUCKETS = 5

_shared: ContextVar[dict[object, object] | None] = ContextVar("klaxon_shared_readings", default=None)


@contextmanager
def share_readings() -> Iterator[None]:
    """Read everything at most once until the block ends, together with an outer block. A context manager."""
    token = _shared.set({} if (outer := _shared.get()) is None else outer)
    try:
        yield
    finally:
        _shared.reset(token)


def reading(function: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
    """Let calls with the same arguments share a result within :func:`share_readings`. A decorator."""

    @wraps(function)
    def read(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
        shared = _shared.get()
        if shared is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(kwargs.items()))
        if key not in shared:
            shared[key] = function(*args, **kwargs)
        found: Value = shared[key]  # type: ignore[assignment]
        return found

    return read


@reading
def read_queue(using: str) -> QueueDepth:
    """Return the depth of the queue."""
    return measure_queue(using)


@reading
def read_workers(using: str) -> list[Heartbeat]:
    """Return the workers, the oldest first."""
    return list(Heartbeat.objects.using(using).order_by("started_at", "pk")[:MAX_ROWS])


@reading
def read_pauses(using: str) -> list[Pause]:
    """Return the pauses by channel."""
    return list(Pause.objects.using(using).order_by("channel")[:MAX_ROWS])


@reading
def read_open_circuits(using: str) -> list[Circuit]:
    """Return the circuits that are open or half-open, by provider."""
    return list(Circuit.objects.using(using).exclude(open_until=None).order_by("key")[:MAX_ROWS])


@reading
def read_limits(using: str, now: datetime) -> list[Bucket]:
    """Return the token buckets that take the longest to refill."""
    return list(Bucket.objects.using(using).filter(full_at__gt=now).order_by("-full_at")[:MAX_BUCKETS])


@reading
def read_attempts(using: str, now: datetime) -> list[ChannelAttempts]:
    """Return what became of the attempts of the last 24 hours, by channel."""
    return count_attempts(using, now)
