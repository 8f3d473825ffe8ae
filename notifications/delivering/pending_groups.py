"""The groups that worker threads have not begun, and the providers that take long.

A worker thread hands one group after the other to its provider. While a provider takes long, the groups of the others
need not wait: a relief thread (:mod:`~notifications.delivering.workers.relief`) takes them from this thread.
"""

import threading
import time
from collections.abc import Sequence
from weakref import WeakSet

from notifications.delivering.groups import Group

SLOW_SECONDS = 0.15
"""A provider that has a group for longer than this is slow, and afterwards for as long again as it had the group."""


class BusyProviders:
    """The providers to which the threads of a worker process are handing messages, and those that are slow."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._slow_until: dict[str, float] = {}
        self.is_sending = threading.Event()
        """Set when a provider gets a group. The thread that looks for slow providers clears it."""
        self._threads: WeakSet[PendingGroups] = WeakSet()

    def add_thread(self, thread: "PendingGroups") -> None:
        with self.lock:
            self._threads.add(thread)

    def count_behind(self) -> int:
        """Return the number of threads that wait for slow providers."""
        with self.lock:
            now = time.monotonic()
            return sum(thread.is_behind(now) for thread in self._threads)

    def list_slow(self) -> frozenset[str]:
        """Return the circuit keys of the slow providers. Call this with the lock."""
        now = time.monotonic()
        behind = {thread.provider_key for thread in self._threads if thread.is_behind(now)}
        return frozenset(behind.union(key for key, until in self._slow_until.items() if now < until))

    def clear_if_unused(self) -> None:
        """Clear :attr:`is_sending` if no provider has a group now."""
        self.is_sending.clear()
        with self.lock:
            # A thread that has begun before the flag was cleared has found it set.
            if any(thread.sending_since is not None for thread in self._threads):
                self.is_sending.set()

    def note_duration(self, key: str, seconds: float) -> None:
        """Note how long a provider has had a group."""
        if seconds > SLOW_SECONDS:
            with self.lock:
                self._slow_until[key] = time.monotonic() + seconds
        elif key in self._slow_until:
            with self.lock:
                self._slow_until.pop(key, None)

    def take_waiting(self) -> list[Group]:
        """Take the groups that wait behind slow providers and are for other providers."""
        with self.lock:
            now = time.monotonic()
            return [group for thread in self._threads if thread.is_behind(now) for group in thread.release_others()]

    def find_relieved(self, asking: "PendingGroups") -> frozenset[str]:
        """Return the circuit keys of the providers that other relief threads deliver to. Call this with the lock."""
        others = (thread for thread in self._threads if thread.is_relief and thread is not asking)
        return frozenset(thread.provider_key for thread in others if thread.provider_key)

    def may_change(self) -> bool:
        """Return whether a relief thread may soon deliver to a provider that it must leave out now."""
        with self.lock:
            now = time.monotonic()
            is_relieved = any(thread.is_relief and thread.provider_key for thread in self._threads)
            return is_relieved or any(now < until for until in self._slow_until.values())


class PendingGroups:
    """The groups of one thread's batch that the thread has not begun. Other threads may take some of them.

    A relief thread begins no group of a slow provider, and none of a provider that another relief thread delivers to.
    So a provider that stops answering holds at most one of them.
    """

    def __init__(self, busy: BusyProviders | None = None, is_relief: bool = False) -> None:
        self.busy = busy or BusyProviders()
        self.is_relief = is_relief
        self.provider_key = ""
        """The circuit key of the provider of the group that was begun, if there is one."""
        self.sending_since: float | None = None
        """Since when the provider has the group, by the monotonic clock."""
        self._groups: list[Group] = []
        self._begun: Group | None = None
        self.busy.add_thread(self)

    def list_excluded(self) -> frozenset[str]:
        """Return the circuit keys of the providers to which this thread must not deliver now."""
        if not self.is_relief:
            return frozenset()
        with self.busy.lock:
            return self.busy.list_slow() | self.busy.find_relieved(self)

    def start(self, groups: Sequence[Group]) -> None:
        """Start a batch. Slow providers get their groups last, except urgent ones."""
        with self.busy.lock:
            self._groups = list(groups)
            if len(groups) > 1 and (slow := self.busy.list_slow()):
                self._groups.sort(key=lambda group: group.provider.key in slow and not group.is_urgent)

    def take_next(self) -> Group | None:
        """Return the next group that this thread may begin, which then is the one that was begun."""
        with self.busy.lock:
            excluded = self.busy.list_slow() | self.busy.find_relieved(self) if self.is_relief else ()
            for position, group in enumerate(self._groups):
                if group.provider.key not in excluded:
                    self._begun, self.provider_key = self._groups.pop(position), group.provider.key
                    return group
        return None

    def end(self) -> list[Group]:
        """End the batch. Return the groups that were not finished.

        The groups that another thread has taken are not among them.
        """
        with self.busy.lock:
            left = [self._begun, *self._groups] if self._begun else self._groups
            self._groups, self._begun, self.provider_key = [], None, ""
            return left

    def finish_group(self) -> None:
        """Note that the group that was begun is finished."""
        self._begun, self.provider_key = None, ""

    def begin_sending(self) -> None:
        """Note that the provider has the group from now on."""
        self.sending_since = time.monotonic()
        if not self.busy.is_sending.is_set():
            self.busy.is_sending.set()

    def end_sending(self) -> None:
        began, self.sending_since = self.sending_since, None
        if began is not None:
            self.busy.note_duration(self.provider_key, time.monotonic() - began)

    def is_behind(self, now: float) -> bool:
        """Return whether the provider has had the group for so long that it is slow."""
        since = self.sending_since
        return since is not None and now - since > SLOW_SECONDS

    def release_others(self) -> list[Group]:
        """Remove and return the groups of other providers than the one that has a group. Call this with the lock."""
        taken = [group for group in self._groups if group.provider.key != self.provider_key]
        self._groups = [group for group in self._groups if group.provider.key == self.provider_key]
        return taken
