"""Report to systemd that a service is ready, alive and stopping, by the protocol of sd_notify(3).

systemd passes the address of a Unix datagram socket in ``NOTIFY_SOCKET``, and with ``WatchdogSec`` the interval in
``WATCHDOG_USEC`` and the process that must report in ``WATCHDOG_PID``. Without these variables nothing is sent.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger("notifications.worker")

CHECK_SECONDS = 0.5


class Service(Protocol):
    """What reports: a worker, or several worker processes."""

    forks: bool
    """Whether it starts processes. Then it must have no other thread, and calls ``on_round`` several times a second."""
    on_round: Callable[[], None]

    def is_stopping(self) -> bool: ...

    def find_stuck_loops(self) -> list[str]: ...


class Systemd:
    """The manager of this service.

    :param address: the path of the socket; an abstract one begins with ``@``.
    :param interval: the seconds between two reports that the service is alive; None if none are expected.
    """

    def __init__(self, address: str, interval: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._interval = interval
        self._next_report = 0.0
        self._is_stopping = False
        self._stuck: list[str] = []

    def notify(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``. A failure is logged: systemd decides what follows."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            logger.warning("systemd could not be informed of %s: %s", assignments[0], error)

    def report(self, service: Service) -> None:
        """Report that the service is stopping, once, and if it is time that it is alive. Call it often.

        While one of its loops is stuck, nothing is reported, so systemd ends the service and starts it again.
        """
        if service.is_stopping() and not self._is_stopping:
            self._is_stopping = True
            self.notify("STOPPING=1", "STATUS=Finishing what is being sent.")
        if self._interval is None or time.monotonic() < self._next_report:
            return
        stuck = [] if self._is_stopping else service.find_stuck_loops()
        if stuck != self._stuck:
            self._stuck = stuck
            if stuck:
                logger.error("These loops are stuck, so systemd will restart the worker: %s.", ", ".join(stuck))
        if not stuck:
            self._next_report = time.monotonic() + self._interval
            self.notify("WATCHDOG=1")


def find_systemd(environment: Mapping[str, str] = os.environ) -> Systemd | None:
    """Return the manager of this service, or None if systemd expects no reports of this process."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return None
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    is_expected = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
    # A third of the time: one report may be late.
    return Systemd(address, int(microseconds) / 3_000_000 if is_expected else None)


@contextmanager
def reporting_to_systemd(service: Service) -> Iterator[None]:
    """Report to systemd until the block ends, if the process is one of its services."""
    systemd = find_systemd()
    if systemd is None:
        yield
        return
    systemd.notify("READY=1", "STATUS=Delivering notifications.")
    ended = threading.Event()

    def report_until_ended() -> None:
        while not ended.wait(CHECK_SECONDS):
            systemd.report(service)

    if service.forks:
        service.on_round = lambda: systemd.report(service)
    else:
        threading.Thread(target=report_until_ended, name="klaxon-systemd", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        systemd.report(service)
