"""SIGTERM and SIGINT: what they stop, and when."""

import os
import signal
import sqlite3
import threading
import time

import pytest

from notifications.delivering.workers.stop_signals import stop_on_signals

SECONDS_OF_WAITING = 3


class Recorder:
    """Records how and when it was asked to stop."""

    def __init__(self, forks=False):
        self.forks = forks
        self.calls, self.times = [], []

    def stop(self):
        self.calls.append("stop")
        self.times.append(time.monotonic())

    def stop_now(self):
        self.calls.append("stop now")

    def wait_for(self, *calls):
        until = time.monotonic() + 5
        while self.calls != list(calls) and time.monotonic() < until:
            time.sleep(0.01)
        assert self.calls == list(calls)


@pytest.fixture
def locked_file(tmp_path):
    """An SQLite database that another connection is writing to."""
    path = tmp_path / "locked.sqlite3"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield path
    other.close()


@pytest.mark.parametrize("forks", [False, True])
def test_signals_right_after_the_first_are_the_same_stop_and_a_later_one_is_another(forks):
    worker = Recorder(forks)
    with stop_on_signals(worker):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        worker.wait_for("stop")
        time.sleep(1.1)
        os.kill(os.getpid(), signal.SIGINT)
        worker.wait_for("stop", "stop now")


def test_a_signal_stops_the_worker_while_the_main_thread_waits_for_a_lock_of_sqlite(locked_file):
    worker, waiting = Recorder(), sqlite3.connect(locked_file, timeout=SECONDS_OF_WAITING)
    with stop_on_signals(worker):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            waiting.execute("CREATE TABLE a (b)")
        ended = time.monotonic()
    waiting.close()
    assert ended - began >= SECONDS_OF_WAITING - 0.5
    assert worker.calls == ["stop"]
    assert ended - worker.times[0] > SECONDS_OF_WAITING / 2


def test_previous_handlers_are_restored_and_no_thread_is_left():
    numbers = (signal.SIGTERM, signal.SIGINT)
    before, threads = [signal.getsignal(number) for number in numbers], threading.active_count()
    with stop_on_signals(Recorder()):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1


def test_a_thread_that_cannot_set_handlers_works_without_them():
    heard = []

    def run():
        with stop_on_signals(Recorder()):
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard == [signal.getsignal(signal.SIGTERM)]
