"""Send the frames of a script in real time."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from example_project.coach.messages import SimulatedFrame
from example_project.coach.socketcand_server import SocketcandServer

POLL_SECONDS = 0.05
SHORTEST_SLEEP = 0.004
"""Several frames are sent together, because a thread cannot sleep for as short a time as a frame takes on a bus."""
GROUP = 256


class Output(Protocol):
    """What a bus gives to its listeners."""

    def send(self, frames: Iterable[SimulatedFrame]) -> None: ...

    @property
    def has_listener(self) -> bool: ...


class SocketcandOutput:
    """The listener of a socketcand server."""

    def __init__(self, server: SocketcandServer) -> None:
        self._server = server

    @property
    def has_listener(self) -> bool:
        return self._server.wait_for_client(0)

    def send(self, frames: Iterable[SimulatedFrame]) -> None:
        now = time.time()
        text = b"".join(frame.as_socketcand(now) for frame in frames)
        if text:
            self._server.send_text(text.decode("latin-1"))


def wait_for_listener(output: Output, seconds: float, should_stop: Callable[[], bool]) -> bool:
    """Return whether somebody opened the bus within this time."""
    ends_at = time.monotonic() + seconds
    while not output.has_listener:
        if should_stop() or time.monotonic() >= ends_at:
            return False
        time.sleep(POLL_SECONDS)
    return True


def play(frames: Iterable[SimulatedFrame], output: Output, should_stop: Callable[[], bool]) -> int:
    """Send each frame when its time has come, and return their number. A delay is made up as fast as possible."""
    started_at, count = time.monotonic(), 0
    group: list[SimulatedFrame] = []
    for frame in frames:
        while (wait := started_at + frame.after - time.monotonic()) > 0 or len(group) >= GROUP:
            output.send(group)
            count += len(group)
            group = []
            if should_stop():
                return count
            if wait > 0:
                time.sleep(min(max(wait, SHORTEST_SLEEP), POLL_SECONDS))
        group.append(frame)
    output.send(group)
    return count + len(group)
