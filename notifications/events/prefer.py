"""The preferred channels of an event: one channel after another, instead of all at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from notifications.events.enums import NotificationChannel, key_of

MAX_WAIT = timedelta(days=30)


@dataclass(frozen=True)
class Prefer:
    """A channel in the ``prefer`` list of an event.

    :param channel: one of the ``supported_channels``.
    :param wait: how long a notification that was sent on this channel may stay unread and unacknowledged before the
        next channel of the list is used. None: the next channel is used only if this one fails.
    :param needs_presence: whether the channel reaches only people who have a page with a live stream open. None: as the
        class of the channel declares; of the built-in ones, ``app`` and ``websocket`` need presence.
    """

    channel: NotificationChannel | str
    wait: timedelta | None = None
    needs_presence: bool | None = None


def normalize_prefer(prefer: Iterable[Any]) -> tuple[Prefer, ...]:
    """Return the entries of a ``prefer`` list with the names of their channels. A name alone has no wait."""
    entries = (one if isinstance(one, Prefer) else Prefer(one) for one in prefer)
    return tuple(replace(one, channel=key_of(one.channel)) for one in entries)


def find_prefer_type_fault(prefer: Any) -> str:
    """Return what is wrong with the types of a ``prefer`` list as it was passed; empty if nothing is."""
    if isinstance(prefer, str | Enum | Prefer) or not isinstance(prefer, Iterable):
        return f"must be a list of channels, not {prefer!r:.80}."
    for one in prefer if isinstance(prefer, Sequence) else ():
        entry = one if isinstance(one, Prefer) else Prefer(one)
        if not isinstance(entry.channel, str | Enum):
            return f'must hold names of channels or Prefer("app", wait=timedelta(minutes=10)), not {one!r:.80}.'
        if entry.wait is not None and not isinstance(entry.wait, timedelta):
            return f"has the wait {entry.wait!r:.80}. Use a timedelta, such as timedelta(minutes=10)."
        if entry.needs_presence not in (None, True, False):
            return f"has the needs_presence {entry.needs_presence!r:.80}. Use True, False or None."
    return ""


def find_prefer_faults(prefer: Sequence[Prefer], channels: Sequence[str], fallback: Mapping[Any, Any]) -> Iterator[str]:
    """Yield what is wrong with a normalised ``prefer`` list, with what to do about it."""
    names = [str(one.channel) for one in prefer]
    if len(names) == 1:
        yield f"has only {names[0]!r}. Add the channel to use next, or remove prefer."
    for name in names:
        if name not in channels:
            yield f"names {name!r}, which the event does not support. Add it to supported_channels."
        if names.count(name) > 1:
            yield f"names {name!r} twice. Name each channel once."
        if name in fallback:
            yield f"names {name!r}, which also has a fallback. Remove the fallback: the next channel of the list is it."
    yield from _find_wait_faults(prefer)


def _find_wait_faults(prefer: Sequence[Prefer]) -> Iterator[str]:
    for one in prefer:
        if one.wait is not None and not timedelta() < one.wait <= MAX_WAIT:
            limits = f"more than 0 and at most {MAX_WAIT.days} days"
            yield f"has the wait {one.wait} for {str(one.channel)!r}. Use one of {limits}."
    if prefer and prefer[-1].wait is not None:
        last = str(prefer[-1].channel)
        yield f"has a wait for {last!r}, which is the last one. Remove the wait, or add the channel to use next."
