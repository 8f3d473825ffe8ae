"""Read frames from a live bus with python-can, and connect again whenever the connection is lost.

Nothing is sent to the bus. This does not use ``can.Notifier``, because that stops silently at the first frame that it
cannot read.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from notifications.can.bus_options import BusMisconfigured, BusOptions
from notifications.can.filters import CanFilter
from notifications.can.frame import BusEvent, Frame, Item, SilenceTick
from notifications.can.slcan import SlcanReader
from notifications.can.socketcand import find_stream, is_closed, open_socketcand
from notifications.can.tally import Tally
from notifications.core import extras
from notifications.exceptions import KlaxonError

logger = logging.getLogger("notifications.can")

POLL_SECONDS = 0.2
REOPEN_SECONDS = 30.0
"""After this silence a bus is opened again: a serial adapter that was reset sends nothing until it is opened."""
FIRST_DELAY, MAX_DELAY = 0.25, 30.0
STABLE_SECONDS = 1.0
"""A connection that has lasted so long works. A peer that closes each connection after its first frame is not asked
more and more often."""
MAX_STEP_SECONDS = 5.0
"""If a frame is so much later than the time that has passed, its clock was set: a small computer starts with a wrong
time until it has found a time server."""
MAX_FAILURES = 20
"""So many frames in a row that cannot be read mean that the connection is lost."""


class BusUnavailable(KlaxonError):
    """A CAN bus cannot be opened at present, or the connection to it was lost."""


class Backoff:
    """The seconds to wait between attempts: they double up to a limit, and a random part is taken off."""

    def __init__(self, first: float = FIRST_DELAY, most: float = MAX_DELAY) -> None:
        self.first, self.most = first, most
        self._next = first

    def take(self) -> float:
        """Return how long to wait now."""
        delay, self._next = self._next, min(2 * self._next, self.most)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def reset(self) -> None:
        self._next = self.first


class FrameTime:
    """The current time on the clock of the frames, because an adapter's clock can differ from the machine's.

    Before the first frame it is the machine's time.
    """

    def __init__(self) -> None:
        self._timestamp, self._since = time.time(), time.monotonic()

    def set(self, timestamp: float) -> None:
        self._timestamp, self._since = timestamp, time.monotonic()

    def now(self) -> float:
        return self._timestamp + time.monotonic() - self._since


@dataclass
class BusListener:
    """Yields what happens on a bus, until ``should_stop()`` returns True.

    :param filters: what an adapter or the kernel passes on; None for all frames. Interfaces without filters of their
        own ignore it, because to filter in Python takes longer than to process a frame.
    """

    options: BusOptions
    should_stop: Callable[[], bool]
    tally: Tally
    filters: Sequence[CanFilter] | None = None
    backoff: Backoff = field(default_factory=Backoff)
    clock: FrameTime = field(default_factory=FrameTime)
    lost_at: float | None = None
    opened_at: float | None = None

    @property
    def was_open(self) -> bool:
        return self.opened_at is not None

    def listen(self) -> Iterator[Item]:
        """Yield frames, a :class:`SilenceTick` about five times a second while there are none, and a
        :class:`BusEvent` when the connection is lost or back, or the clock was set forward.

        :raises MissingExtra: if python-can is not installed.
        :raises BusMisconfigured: if the bus can never be opened with these options.
        """
        can = extras.import_optional("can")
        while not self.should_stop():
            try:
                with closing(open_connection(can, self.options, self.filters, self.tally)) as connection:
                    yield from self._receive(connection)
            except (BusUnavailable, BusMisconfigured) as error:
                # Options that worked once are right.
                if isinstance(error, BusMisconfigured) and not self.was_open:
                    raise
                if self.lost_at is None:
                    yield self._lose(str(error))
                    # The connection has worked: this outage is a new one.
                    if self.opened_at is not None and time.monotonic() - self.opened_at > STABLE_SECONDS:
                        self.backoff.reset()
                yield from self._wait(self.backoff.take())

    def _receive(self, connection: "Connection") -> Iterator[Item]:
        """Yield items until the bus is lost, or so silent that it must be opened again."""
        silent_at = self.opened_at = time.monotonic()
        is_silent = True
        while not self.should_stop():
            frame = connection.receive()
            if frame is not None:
                if is_silent:
                    is_silent = False
                    if self.lost_at is not None:
                        yield self._recover()
                yield from self._set_clock(frame)
                yield frame
                continue
            connection.check_peer()
            if self.lost_at is not None:
                yield self._recover()
            if not is_silent:
                is_silent, silent_at = True, time.monotonic()
            yield SilenceTick(self.clock.now())
            if time.monotonic() - silent_at > REOPEN_SECONDS:
                return

    def _set_clock(self, frame: Frame) -> Iterator[BusEvent]:
        if not frame.has_valid_timestamp:
            return
        if frame.timestamp - self.clock.now() > MAX_STEP_SECONDS:
            yield BusEvent("set", frame.timestamp, self.options.name)
        self.clock.set(frame.timestamp)

    def _lose(self, reason: str) -> BusEvent:
        self.lost_at = time.monotonic()
        self.tally.outages += 1
        fault = "was lost" if self.was_open else "cannot be opened"
        logger.warning("The CAN bus %s %s: %s The bridge tries to open it again.", self.options.name, fault, reason)
        return BusEvent("lost", self.clock.now(), self.options.name, reason)

    def _recover(self) -> BusEvent:
        seconds = time.monotonic() - (self.lost_at or 0.0)
        self.lost_at = None
        logger.warning("The CAN bus %s is back after %.1f seconds.", self.options.name, seconds)
        return BusEvent("back", self.clock.now(), self.options.name)

    def _wait(self, seconds: float) -> Iterator[SilenceTick]:
        ends_at = time.monotonic() + seconds
        while not self.should_stop() and (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
            yield SilenceTick(self.clock.now())


class Connection:
    """An open bus of python-can."""

    def __init__(self, can: ModuleType, bus: Any, name: str, tally: Tally) -> None:
        self.bus = bus
        self.name = name
        self.tally = tally
        self._can = can
        self._failures = 0
        self._stream = find_stream(bus)

    def receive(self) -> Frame | None:
        """Return the next frame, or None if there is none for a moment.

        :raises BusUnavailable: if the bus was lost.
        """
        try:
            message = self.bus.recv(POLL_SECONDS)
        except (self._can.CanError, OSError) as error:
            raise BusUnavailable(describe(error)) from error
        except (ValueError, LookupError) as error:
            self.tally.malformed += 1
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                raise BusUnavailable(f"{MAX_FAILURES} frames in a row cannot be read: {describe(error)}") from error
            return None
        self._failures = 0
        return None if message is None else Frame.of(message, self.name)

    def check_peer(self) -> None:
        """
        :raises BusUnavailable: if the other side has closed the connection.
        """
        try:
            is_lost = self._stream is not None and is_closed(self._stream)
        except (OSError, ValueError) as error:
            raise BusUnavailable(describe(error)) from error
        if is_lost:
            raise BusUnavailable("the server has closed the connection.")

    def close(self) -> None:
        # A bus that was lost cannot be shut down in order.
        with suppress(self._can.CanError, OSError):
            self.bus.shutdown()


class SlcanConnection(Connection):
    """A serial adapter."""

    def __init__(self, can: ModuleType, bus: Any, name: str, tally: Tally) -> None:
        super().__init__(can, bus, name, tally)
        self._reader = SlcanReader(bus.serialPortOrig, name, tally)

    def receive(self) -> Frame | None:
        try:
            return self._reader.receive()
        except (OSError, TypeError) as error:
            # pyserial raises TypeError if another thread has closed the port.
            raise BusUnavailable(describe(error)) from error

    def close(self) -> None:
        super().close()
        # python-can leaves the port open if the adapter does not take the last command.
        with suppress(OSError):
            self.bus.serialPortOrig.close()


def open_connection(
    can: ModuleType, options: BusOptions, filters: Sequence[CanFilter] | None, tally: Tally
) -> Connection:
    """Open a bus.

    :raises BusUnavailable: if it cannot be opened at present.
    :raises BusMisconfigured: if it can never be opened with these options.
    """
    try:
        bus = open_bus(can, options)
    except (can.CanInterfaceNotImplementedError, ImportError, TypeError, ValueError) as error:
        raise BusMisconfigured(
            f"The CAN bus {options.name!r} cannot be opened: {describe(error)} Check the options of the interface "
            f"{options.interface!r}."
        ) from error
    except (can.CanError, OSError) as error:
        raise BusUnavailable(describe(error)) from error
    if filters is not None and "can_filters" not in options.others and has_own_filters(can, bus):
        bus.set_filters(filters)
    kind = SlcanConnection if options.interface == "slcan" else Connection
    return kind(can, bus, options.name, tally)


def open_bus(can: ModuleType, options: BusOptions) -> Any:
    """Return python-can's bus."""
    if options.interface == "socketcand":
        return open_socketcand(can, options.channel, options.others)
    arguments = dict(options.others)
    if options.interface == "slcan":
        # It is read in large parts. The time-out is only for times without frames.
        arguments["timeout"] = POLL_SECONDS
    return can.Bus(options.channel, options.interface, ignore_config=True, **arguments)


def has_own_filters(can: ModuleType, bus: Any) -> bool:
    """Return whether an adapter or the kernel filters. Otherwise python-can does, which takes longer than to read."""
    return type(bus)._apply_filters is not can.BusABC._apply_filters


def describe(error: BaseException) -> str:
    """Return the first line of an error. python-can adds tracebacks."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:200] + "."
