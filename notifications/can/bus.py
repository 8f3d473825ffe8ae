"""A live bus, through python-can. It only listens."""

import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from notifications.can.frame import Frame, Quiet
from notifications.core import extras
from notifications.exceptions import KlaxonError

POLL_SECONDS = 0.2


class BusUnavailable(KlaxonError):
    """A CAN bus cannot be opened, or was lost."""


def listen(interface: str, channel: str | None, until: Callable[[], bool]) -> Iterator[Frame | Quiet]:
    """Frames as they come, and :class:`Quiet` while none comes, until ``until()`` says so.

    Our own loop, for ``can.Notifier`` dies silently at the first frame that it cannot read.

    :raises MissingExtra: if python-can is not installed.
    :raises BusUnavailable: if the bus cannot be opened, or fails.
    """
    can = extras.import_optional("can")
    with _opened(can, interface, channel) as bus:
        clock = FrameClock()
        while not until():
            frame = _next(can, bus, channel or interface)
            if frame is not None:
                clock.set(frame.timestamp)
                yield frame
            elif clock.is_set:
                yield Quiet(clock.now())


def _opened(can: ModuleType, interface: str, channel: str | None) -> Any:
    given = {} if channel is None else {"channel": channel}
    try:
        return can.Bus(interface=interface, **given)
    except (can.CanError, ImportError, OSError, TypeError, ValueError) as error:
        where = f"{interface} {channel or ''}".strip()
        raise BusUnavailable(
            f"The CAN bus {where!r} cannot be opened: {error}. Look at --interface and --channel, and whether the "
            "interface is up."
        ) from error


def _next(can: ModuleType, bus: Any, name: str) -> Frame | None:
    try:
        message = bus.recv(POLL_SECONDS)
    except (can.CanError, OSError, ValueError, LookupError) as error:
        # A serial adapter answers a cut line with ValueError or IndexError, and then with nothing but errors.
        raise BusUnavailable(f"The CAN bus was lost: {error}. Start the bridge again.") from error
    return None if message is None else Frame.of(message, name)


class FrameClock:
    """Goes on from the last frame's timestamp, for the clock of an adapter need not be this machine's."""

    def __init__(self) -> None:
        self.is_set = False
        self._timestamp = self._since = 0.0

    def set(self, timestamp: float) -> None:
        self.is_set, self._timestamp, self._since = True, timestamp, time.monotonic()

    def now(self) -> float:
        return self._timestamp + time.monotonic() - self._since
