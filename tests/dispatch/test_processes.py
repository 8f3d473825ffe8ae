"""Several worker processes under one parent: no delivery twice, none left, ended together, replaced when lost."""

import os
import signal
import socket
from collections import Counter

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from notifications.manager import NotificationManager
from notifications.models import Delivery, Heartbeat
from tests.factories import UserFactory
from tests.processes import finished, smtp_ledger, start, until
from tests.shop.notification_events import ShopEvents

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def newsletter(count):
    return NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(count))


def pids():
    """Of the worker processes whose hearts beat."""
    return set(Heartbeat.objects.values_list("pid", flat=True))


def all_sent():
    return Delivery.objects.exists() and not Delivery.objects.exclude(state="sent").exists()


@pytest.fixture
def watching(tmp_path):
    """Start watching processes; whatever is still there at the end is ended by force."""
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


def test_one_shot_empties_the_outbox_with_all_its_processes_and_prints_one_summary(tmp_path):
    newsletter(200)
    ledger = tmp_path / "ledger"
    with smtp_ledger(ledger) as port:
        said = finished(start("dispatch_notifications", "--processes", "3", "--batch-size", "5", port=port))
    assert said.splitlines()[-1] == "200 deliveries: 200 sent."
    assert said.count("deliveries") == 1, "one summary, and no progress in a pipe"
    accepted = Counter(ledger.read_text().splitlines())
    assert (len(accepted), set(accepted.values())) == (200, {1})
    assert not Heartbeat.objects.exists(), "every worker has said that it ended"


def test_each_is_a_worker_with_a_heartbeat_of_its_own_and_sigterm_ends_all_in_order(watching):
    parent = watching(3, "--workers", "1")
    assert parent.pid not in pids()
    newsletter(30)
    until(all_sent)
    parent.send_signal(signal.SIGTERM)
    assert "30 deliveries: 30 sent." in finished(parent, timeout=30)
    assert not Heartbeat.objects.exists()
    assert not Delivery.objects.exclude(owner="").exists()


def test_ctrl_c_reaches_every_process_and_ends_them_in_order_too(watching):
    parent = watching(2)
    for pid in [parent.pid, *pids()]:
        os.kill(pid, signal.SIGINT)
    assert "Nothing was ready to send." in finished(parent, timeout=30)
    assert not Heartbeat.objects.exists()


def test_a_process_that_dies_is_told_of_and_replaced(watching):
    parent = watching(2, "--error-pause", "0.2")
    killed, other = pids()
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(pids() - {killed, other}) == 1)
    newsletter(10)
    until(all_sent)
    parent.send_signal(signal.SIGTERM)
    said = finished(parent, timeout=30)
    assert f"Worker process {killed} was ended by SIGKILL; another is started in 0.2 seconds." in said
    assert "10 deliveries: 10 sent." in said


def test_a_process_that_dies_in_one_shot_mode_is_an_error(tmp_path):
    newsletter(3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a mail server that never says a word
        parent = start("dispatch_notifications", "--processes", "2", "--batch-size", "1", port=silent.getsockname()[1])
        until(lambda: Delivery.objects.filter(state="sending").count() == 2)
        for pid in pids():
            os.kill(pid, signal.SIGKILL)
        said, _ = parent.communicate(timeout=30)
    assert parent.returncode == 1
    assert "was ended by SIGKILL." in said
    assert "CommandError: 2 worker processes died; the log says why." in said


def test_processes_whose_parent_was_killed_end_by_themselves(watching):
    parent = watching(2)
    children = pids()
    parent.kill()
    parent.wait()
    until(lambda: not any(alive(pid) for pid in children))
    assert not Heartbeat.objects.exists(), "in order"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_parent_that_is_stopped_while_it_starts_ends_too(number):
    parent = start("dispatch_notifications", "--watch", "--processes", "4")
    until(lambda: pids())  # the first lives, others are being made
    parent.send_signal(number)
    finished(parent, timeout=30)
    assert not Heartbeat.objects.exists()


def test_the_number_must_make_sense():
    with pytest.raises(CommandError, match="--processes must be at least 1"):
        call_command("dispatch_notifications", processes=0)


def test_inside_a_transaction_other_processes_would_see_nothing():
    with transaction.atomic(), pytest.raises(CommandError, match="inside a transaction"):
        call_command("dispatch_notifications", processes=2)
