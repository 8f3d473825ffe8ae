"""Several worker processes under one parent: each delivery is sent once, and lost processes are replaced."""

import os
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from notifications.channels import BaseChannel
from notifications.delivering.workers.child_process import ChildProcess
from notifications.delivering.workers.worker_processes import max_stop_seconds
from notifications.manager import NotificationManager
from notifications.models import Delivery, Heartbeat
from tests.factories import UserFactory
from tests.processes import finished, smtp_ledger, start, until
from tests.shop.notification_events import ShopEvents
from tests.sqlite_locks import is_stopped, writer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def newsletter(count):
    return NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(count))


def pids():
    """Return the ids of the worker processes that have a heartbeat."""
    return set(Heartbeat.objects.values_list("pid", flat=True))


def all_sent():
    return Delivery.objects.exists() and not Delivery.objects.exclude(state="sent").exists()


@pytest.fixture
def watching(tmp_path):
    """Start watching processes, and kill those that still run at the end."""
    parents = []

    def watching(processes, *options):
        parents.append(start("dispatch_notifications", "--watch", "--processes", str(processes), *options, port=port))
        until(lambda: len(pids()) == processes)
        return parents[-1]

    with smtp_ledger(tmp_path / "ledger") as port:
        yield watching
    for pid in [*pids(), *(parent.pid for parent in parents if parent.poll() is None)]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    for parent in parents:
        parent.communicate()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_single_run_empties_the_outbox_with_all_processes_and_prints_one_summary(tmp_path):
    newsletter(200)
    ledger = tmp_path / "ledger"
    with smtp_ledger(ledger) as port:
        output = finished(start("dispatch_notifications", "--processes", "3", "--batch-size", "5", port=port))
    assert output.splitlines()[-1] == "200 deliveries: 200 sent."
    assert output.count("deliveries") == 1, "one summary, and no progress in a pipe"
    accepted = Counter(ledger.read_text().splitlines())
    assert (len(accepted), set(accepted.values())) == (200, {1})
    assert not Heartbeat.objects.exists(), "every worker has deleted its heartbeat"


def test_each_process_has_its_own_heartbeat_and_sigterm_stops_all_in_order(watching):
    parent = watching(3, "--workers", "1")
    assert parent.pid not in pids()
    newsletter(30)
    until(all_sent)
    parent.send_signal(signal.SIGTERM)
    assert "30 deliveries: 30 sent." in finished(parent, timeout=30)
    assert not Heartbeat.objects.exists()
    assert not Delivery.objects.exclude(owner="").exists()


def test_ctrl_c_stops_every_process_in_order(watching):
    parent = watching(2)
    for pid in [parent.pid, *pids()]:
        os.kill(pid, signal.SIGINT)
    assert "Nothing was ready to send." in finished(parent, timeout=30)
    assert not Heartbeat.objects.exists()


def test_a_process_that_dies_is_logged_and_replaced(watching):
    parent = watching(2, "--error-pause", "0.2")
    killed, other = pids()
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(pids() - {killed, other}) == 1)
    newsletter(10)
    until(all_sent)
    parent.send_signal(signal.SIGTERM)
    output = finished(parent, timeout=30)
    assert f"Worker process {killed} was ended by SIGKILL. Another one starts in 0.2 seconds." in output
    assert "10 deliveries: 10 sent." in output


def test_a_process_that_dies_in_a_single_run_is_an_error(tmp_path):
    newsletter(3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a mail server that never answers
        parent = start("dispatch_notifications", "--processes", "2", "--batch-size", "1", port=silent.getsockname()[1])
        until(lambda: Delivery.objects.filter(state="sending").count() == 2)
        for pid in pids():
            os.kill(pid, signal.SIGKILL)
        output, _ = parent.communicate(timeout=30)
    assert parent.returncode == 1
    assert "was ended by SIGKILL." in output
    assert "CommandError: 2 worker processes died. The log contains the errors." in output


def test_processes_end_after_their_parent_was_killed(watching):
    parent = watching(2)
    children = pids()
    parent.kill()
    parent.wait()
    until(lambda: not any(alive(pid) for pid in children))
    assert not Heartbeat.objects.exists(), "in order"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_parent_can_be_stopped_while_it_starts_children(number):
    parent = start("dispatch_notifications", "--watch", "--processes", "4")
    until(lambda: pids())  # the first runs, others are being started
    parent.send_signal(number)
    finished(parent, timeout=30)
    assert not Heartbeat.objects.exists()


def test_the_number_of_processes_must_be_positive():
    with pytest.raises(CommandError, match="--processes must be at least 1"):
        call_command("dispatch_notifications", processes=0)


def test_processes_are_refused_inside_a_transaction():
    with transaction.atomic(), pytest.raises(CommandError, match="in a transaction"):
        call_command("dispatch_notifications", processes=2)


def child(last_report_at, stop_requested_at=None):
    return ChildProcess(process=None, pipe=None, last_report_at=last_report_at, stop_requested_at=stop_requested_at)


@pytest.mark.parametrize(
    ("last_report_at", "stop_requested_at", "now", "word"),
    [
        (0, None, 1000, ""),  # it was not asked to stop
        (100, 100, 109, ""),
        (100, 100, 110, "frozen"),
        (0, 100, 109, ""),  # frozen long before, but it gets the same time
        (0, 100, 110, "frozen"),
        (159, 100, 159, ""),
        (159, 100, 160, "within 60 seconds"),
    ],
)
def test_a_child_is_killed_only_after_a_stop_if_it_is_frozen_or_too_slow(last_report_at, stop_requested_at, now, word):
    reason = child(last_report_at, stop_requested_at).kill_reason(now, max_stop_seconds=60)
    assert word in reason
    assert bool(reason) == bool(word)


def test_the_longest_stop_is_that_of_the_slowest_enabled_channel(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}, "app": {"ENABLED": False}, "log": {}}}
    quick = max_stop_seconds()
    assert quick == 500 * 0.1 + 10 + 60
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}, "slow": {"BACKEND": f"{__name__}.Slow"}}}
    assert max_stop_seconds() == quick - 50 + 500 * 10, "a group that is sent in one call"
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}, "log": {"OPTIONS": {"colour": "red"}}}}
    assert max_stop_seconds() == 30 + 10 + 60, "the app channel, which is on by default"


class Slow(BaseChannel):
    timeout = 500


def freeze(pid):
    """Suspend a process, but not while it holds SQLite's only write lock: no other process could end in order then."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: is_stopped(pid))
        if connection.vendor != "sqlite" or writer(Path(connection.settings_dict["NAME"])) != pid:
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)


@pytest.mark.slow
def test_a_frozen_child_is_named_and_killed_and_delays_no_other(watching):
    parent = watching(3, "--workers", "1")
    frozen, *others = pids()
    freeze(frozen)
    began = time.monotonic()
    parent.send_signal(signal.SIGTERM)
    until(lambda: pids() == {frozen}, seconds=8)
    output, _ = parent.communicate(timeout=30)
    assert 10 <= time.monotonic() - began < 20
    assert f"Worker process {frozen} was asked to stop. The parent waits for it." in output
    assert f"Worker process {frozen} is frozen" in output
    assert f"Worker process {frozen} was ended by SIGKILL." in output
    assert not any(str(other) in output for other in others), output
    assert parent.returncode == 1
    assert "1 worker process died" in output


def test_a_child_that_alone_gets_ctrl_c_continues(watching):
    parent = watching(2)
    before = pids()
    for pid in before:
        os.kill(pid, signal.SIGINT)
    newsletter(5)
    until(all_sent)
    assert pids() == before
    parent.send_signal(signal.SIGINT)
    finished(parent, timeout=30)


def start_processes(path, loop, more=""):
    """Start a parent of two processes that run ``loop`` and deliver nothing."""
    code = f"""
import time
from collections import Counter
from pathlib import Path
from django.core.management import call_command
from notifications.delivering.workers import worker_processes
from notifications.delivering.workers.worker import Worker

def work(worker):
    with Path({str(path)!r}).open("a") as file:
        file.write("begun\\n")
    {loop}
    return Counter()

def note_a_second_stop(worker):
    worker.is_stop_repeated = True

Worker.is_stop_repeated = False
Worker.watch, Worker.stop_now = work, note_a_second_stop
{more}
call_command("dispatch_notifications", watch=True, processes=2)
"""
    parent = start("shell", "--no-imports", "-c", code.replace("\\\\", "\\"))
    until(lambda: path.exists() and path.read_text().count("begun") == 2)
    return parent


def test_a_second_signal_to_the_parent_is_forwarded_to_each_child(tmp_path):
    parent = start_processes(tmp_path / "begun", "while not worker.is_stop_repeated: time.sleep(0.02)")
    parent.send_signal(signal.SIGTERM)
    time.sleep(1.1)
    assert parent.poll() is None
    parent.send_signal(signal.SIGTERM)
    finished(parent, timeout=10)


def test_a_child_that_ticks_but_never_ends_is_killed(tmp_path):
    patch = "worker_processes.max_stop_seconds = lambda: 3.0"
    parent = start_processes(tmp_path / "begun", "while True: time.sleep(0.02)", patch)
    began = time.monotonic()
    parent.send_signal(signal.SIGTERM)
    output, _ = parent.communicate(timeout=20)
    assert 3 <= time.monotonic() - began < 9
    assert output.count("has not ended within 3 seconds") == 2
    assert parent.returncode == 1


def test_the_command_fails_if_a_child_fails(tmp_path):
    loop = "while not worker.is_stopping(): time.sleep(0.02)\n    raise SystemExit(3)"
    parent = start_processes(tmp_path / "begun", loop)
    parent.send_signal(signal.SIGTERM)
    output, _ = parent.communicate(timeout=20)
    assert output.count("ended with status 3.") == 2
    assert parent.returncode == 1
