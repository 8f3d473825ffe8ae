"""Read frames from a live bus with python-can. Nothing is sent to the bus."""

import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from notifications.can.frame import Frame, SilenceTick
from notifications.core import extras
from notifications.exceptions import KlaxonError

POLL_SECONDS = 0.2


class BusUnavailable(KlaxonError):
    """A CAN bus cannot be opened, or the connection to it was lost."""


def listen(interface: str, channel: str | None, should_stop: Callable[[], bool]) -> Iterator[Frame | SilenceTick]:
    """Yield frames, and a :class:`SilenceTick` while there are none, until ``should_stop()`` returns True.

    This does not use ``can.Notifier``, because that stops silently at the first frame that it cannot read.

    :raises MissingExtra: if python-can is not installed.
    :raises BusUnavailable: if the bus cannot be opened, or fails.
    """
    can = extras.import_optional("can")
    with _open_bus(can, interface, channel) as bus:
        clock = FrameTime()
        while not should_stop():
            frame = _receive(can, bus, channel or interface)
            if frame is not None:
                clock.set(frame.timestamp)
                yield frame
            elif clock.is_set:
                yield SilenceTick(clock.now())


def _open_bus(can: ModuleType, interface: str, channel: str | None) -> Any:
    options = {} if channel is None else {"channel": channel}
    try:
        return can.Bus(interface=interface, **options)
    except (can.CanError, ImportError, OSError, TypeError, ValueError) as error:
        where = f"{interface} {channel or ''}".strip()
        raise BusUnavailable(
            f"The CAN bus {where!r} cannot be opened: {error}. Check --interface and --channel, and whether the "
            "interface is up."
        ) from error


def _receive(can: ModuleType, bus: Any, name: str) -> Frame | None:
    try:
        message = bus.recv(POLL_SECONDS)
    except (can.CanError, OSError, ValueError, LookupError) as error:
        # If the line is cut, python-can raises ValueError or IndexError for a serial adapter, and then only errors.
        raise BusUnavailable(f"The CAN bus was lost: {error}. Start the bridge again.") from error
    return None if message is None else Frame.of(message, name)


class FrameTime:
    """The current time on the clock of the frames, because an adapter's clock can differ from the machine's."""

    def __init__(self) -> None:
        self.is_set = False
        self._timestamp = self._since = 0.0

    def set(self, timestamp: float) -> None:
        self.is_set, self._timestamp, self._since = True, timestamp, time.monotonic()

    def now(self) -> float:
        return self._timestamp + time.monotonic() - self._since
