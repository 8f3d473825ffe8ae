import threading
import time

import pytest

from notifications.can.live import Every, run_live
from notifications.can.pending_changes import PendingChanges
from notifications.can.tally import Tally
from tests.can.test_pending_changes import OneChange


def run(changes, handle=lambda change: None, keep_up=lambda: None, stopped=None, stop_seconds=0.0):
    pending = PendingChanges(Tally())
    run_live(changes, pending, handle, keep_up, stopped or threading.Event(), stop_seconds)
    return pending


def test_all_changes_are_handled_in_this_thread():
    handled = []
    run(
        (OneChange(str(number), 0) for number in range(100)),
        lambda one: handled.append((one.key, threading.get_ident())),
    )
    assert {key for key, _thread in handled} == {str(number) for number in range(100)}
    assert {thread for _key, thread in handled} == {threading.get_ident()}


def test_what_was_read_before_an_error_is_handled():
    def changes():
        yield OneChange("a", 0)
        raise LookupError("a bug")

    handled = []
    with pytest.raises(LookupError, match="a bug"):
        run(changes(), handled.append)
    assert len(handled) == 1


def test_a_slow_sender_does_not_keep_the_bus_from_being_read():
    read_at = []

    def changes():
        for number in range(5):
            read_at.append(time.monotonic())
            yield OneChange(str(number), 0)

    run(changes(), lambda change: time.sleep(0.05))
    assert read_at[-1] - read_at[0] < 0.1


def test_a_thread_that_reads_without_end_is_left_when_it_must_stop(monkeypatch):
    monkeypatch.setattr("notifications.can.live.JOIN_SECONDS", 0.2)
    stopped = threading.Event()
    ended = threading.Event()

    def changes():
        yield OneChange("a", 0)
        ended.wait(10)

    timer = threading.Timer(0.1, stopped.set)
    timer.start()
    began = time.monotonic()
    run(changes(), stopped=stopped, stop_seconds=0.2)
    assert time.monotonic() - began < 5
    ended.set()
    timer.join()


def test_it_keeps_up_while_there_are_no_changes():
    stopped, ended, calls = threading.Event(), threading.Event(), []

    def changes():
        ended.wait(10)
        return iter(())

    def keep_up():
        calls.append(1)
        if len(calls) == 3:
            ended.set()

    run((one for _ in [0] for one in changes()), keep_up=keep_up, stopped=stopped)
    assert len(calls) >= 3


def test_every_calls_at_most_so_often():
    calls = []
    often = Every(0.1, lambda: calls.append(1))
    ends_at = time.monotonic() + 0.35
    while time.monotonic() < ends_at:
        often()
    assert 2 <= len(calls) <= 3
