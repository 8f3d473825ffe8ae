"""State and notifications are written in one transaction, until it succeeds. A restart repeats nothing."""

import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from notifications.can import sender as sender_module
from notifications.can.bridge import Bridge
from notifications.can.changes import Change
from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import Frame
from notifications.can.python_rules import can_rule
from notifications.can.sender import Sender
from notifications.can.sends import Send
from notifications.can.store import Store
from notifications.can.tally import Tally
from notifications.manager import NotificationManager
from notifications.models import CanDevice, CanFault, Notification
from tests.can.candump import START, TWO_FAULTS, bridge, frame, write
from tests.can.test_fault_tracker import CLAIM_44, CLAIM_50, NAME, NONE, RED, YELLOW, nothing
from tests.can.test_flood import fault
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def announce(change: Change) -> list[Send]:
    return [
        Send(ShopEvents.STORE_ON_FIRE, User.objects.all(), None, {"place": f"{change.kind} {change.correlation_id}"})
    ]


@pytest.fixture(autouse=True)
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def sender(tally) -> Sender:
    return Sender(announce, tally, Store())


def places() -> list[str]:
    return [row.values["place"] for row in Notification.objects.order_by("pk")]


def drive(*heard: Frame, rules=announce, tally: Tally | None = None) -> None:
    """Run a live bridge that is killed after these frames."""
    tally = tally or Tally()
    running, sender = Bridge(FaultTracker(tally)), Sender(rules, tally, Store())
    sender.connect("can0", running.restore, running.take_seen)
    for item in heard:
        running._take_restored()
        for change in running._process_frame(item):
            sender.send(change)


def database_is_locked() -> OperationalError:
    error, cause = OperationalError("database is locked"), sqlite3.OperationalError()
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error.__cause__ = cause
    return error


def fail_times(monkeypatch, count: int) -> list[int]:
    """Let the database be locked for so many calls of ``send()``, after it has written."""
    calls, send = [], NotificationManager.send

    def failing(*args, **options):
        result = send(*args, **options)
        calls.append(1)
        if len(calls) <= count:
            raise database_is_locked()
        return result

    monkeypatch.setattr(NotificationManager, "send", failing)
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_SECONDS", 0.01)
    return calls


def test_a_restart_repeats_nothing_and_forgets_nothing():
    drive(frame(YELLOW), frame(RED, 1))
    drive(frame(YELLOW, 20), frame(NONE, 21), nothing(40))
    yellow, red = "rvc:can0:68:69:-:131:1", "rvc:can0:68:69:3:9:0"
    assert places() == [f"raised {yellow}", f"raised {red}", f"cleared {yellow}", f"cleared {red}"]
    assert not CanFault.objects.standing().exists()


def test_a_fault_that_is_not_reported_after_a_restart_is_cleared_by_silence():
    drive(frame(YELLOW))
    drive(nothing(1000), nothing(1014), nothing(1015))
    assert [place.split()[0] for place in places()] == ["raised", "cleared"]


def test_a_fault_that_has_worsened_while_the_bridge_was_off_is_announced_as_such():
    drive(frame(YELLOW))
    drive(frame("454500106102FFFF", 10), frame("454500106102FFFF", 11))
    assert [place.split()[0] for place in places()] == ["raised", "worsened"]


def test_a_device_that_has_moved_keeps_its_faults_after_a_restart():
    name = frame(NAME, 0, CLAIM_44)
    drive(name, frame(YELLOW, 1), frame(NAME, 2, CLAIM_50), frame(YELLOW, 3, 0x19FECA50))
    drive(frame(YELLOW, 5, 0x19FECA50), frame(NONE, 6, 0x19FECA50), nothing(30))
    assert places() == ["raised rvc:can0:68:69:-:131:1", "cleared rvc:can0:68:69:-:131:1"]


def test_a_device_that_moves_while_the_bridge_is_off_keeps_its_faults():
    drive(frame(NAME, 0, CLAIM_44), frame(YELLOW, 1))
    CanDevice.objects.create(
        bus="can0", source_address=0x44, name=NAME, first_seen_at=CanFault.objects.get().raised_at,
        last_seen_at=CanFault.objects.get().raised_at,
    )  # fmt: skip
    drive(frame(NAME, 10, CLAIM_50), frame(YELLOW, 11, 0x19FECA50))
    assert places() == ["raised rvc:can0:68:69:-:131:1"]
    assert CanFault.objects.get().source_address == 0x50


def test_nothing_is_written_if_a_notification_cannot_be_queued_and_then_all_at_once(sender, tally, monkeypatch, caplog):
    calls = fail_times(monkeypatch, 2)
    sender.send(fault_change())
    assert len(calls) == 3
    assert (len(places()), CanFault.objects.count(), tally.sent) == (1, 1, 1)
    # Once a minute is enough.
    assert caplog.text.count("The database cannot be used (database is locked). Kept until it is back: ") == 1


def fault_change() -> Change:
    [change] = FaultTracker(Tally()).add_report(*report_of(frame(RED)))
    return change


def report_of(item: Frame):
    from notifications.can import dm_rv

    return dm_rv.decode(item), item.timestamp


def test_a_change_that_was_committed_when_contact_was_lost_is_not_sent_again(sender):
    for _ in range(2):
        sender.send(fault_change())
    assert len(places()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_notification_counts_once_if_contact_was_lost_at_its_commit(sender, tally, monkeypatch):
    commit, lost = connection.commit, []

    def commit_and_lose_contact():
        commit()
        if not lost:
            lost.append(1)
            raise database_is_locked()

    monkeypatch.setattr(connection, "commit", commit_and_lose_contact)
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_SECONDS", 0.01)
    sender.send(fault_change())
    assert (lost, len(places()), tally.sent, tally.already_sent, tally.failed) == ([1], 1, 1, 0, 0)
    # It does not count for the next change.
    sender.send(fault_change())
    assert tally.sent == 1


def test_a_bridge_that_stops_gives_up_after_a_while_and_finds_the_fault_again(tally, monkeypatch, caplog):
    fail_times(monkeypatch, 10_000)
    monkeypatch.setattr(sender_module, "GRACE_SECONDS", 0.2)
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    began = time.monotonic()
    Sender(announce, tally, Store(), stopped).send(fault_change())
    assert 0.1 < time.monotonic() - began < 5
    assert tally.failed == 1
    assert "Not sent: 2023-11-14 22:13:20 UTC can0: fault raised" in caplog.text
    assert not CanFault.objects.exists()


def test_the_state_is_read_when_the_database_is_back(monkeypatch):
    drive(frame(YELLOW), frame(RED, 1))
    load, failures = Store.load_open, [database_is_locked()]

    def away(self, bus):
        if failures:
            raise failures.pop()
        return load(self, bus)

    monkeypatch.setattr(Store, "load_open", away)
    drive(frame(YELLOW, 2), nothing(16), frame(YELLOW, 16.5), frame(NONE, 17), nothing(40))
    assert not failures
    assert [place.split()[0] for place in places()] == ["raised", "raised", "cleared", "cleared"]


def test_a_rule_whose_statement_fails_does_not_spoil_the_transaction(sender, tally, caplog):
    def broken(change):
        yield Send(ShopEvents.STORE_ON_FIRE, User.objects.all(), None, {"place": "here"})
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM no_such_table")

    sender.rules = broken
    sender.send(fault_change())
    assert (tally.sent, tally.failed) == (1, 1)
    assert CanFault.objects.count() == 1
    assert "A rule or a send failed for: " in caplog.text


def test_a_change_that_cannot_be_written_does_not_end_the_bridge(sender, tally, caplog):
    change = fault_change()
    sender.send(replace(change, spn=2**70, correlation_id="x"))
    sender.send(change)
    assert (tally.sent, tally.failed) == (1, 1)
    assert "A change cannot be written or sent: " in caplog.text


def test_the_correlation_id_is_that_of_the_change_unless_the_rule_names_another(sender):
    sender.rules = lambda change: [*announce(change), replace(announce(change)[0], options={"correlation_id": "own"})]
    sender.send(fault_change())
    ids = list(Notification.objects.order_by("pk").values_list("correlation_id", flat=True))
    assert ids == ["rvc:can0:68:69:3:9:0", "own"]


def test_a_summary_of_a_flood_is_sent_once(sender):
    tracker = FaultTracker(Tally())
    changes = list(Bridge(tracker).process(fault(number, 0) for number in range(30)))
    for _ in range(2):
        sender.send(changes[-1])
    assert places() == ["flooded flood:can0:1700000000"]


def test_devices_and_standing_faults_are_written_now_and_then(sender, tally):
    running = Bridge(FaultTracker(tally))
    sender.connect("can0", running.restore, running.take_seen)
    for change in running.process([frame(YELLOW, second) for second in range(40)]):
        sender.send(change)
    sender.keep_up(is_last=True)
    assert [(row.source_address, row.frames) for row in CanDevice.objects.all()] == [(0x44, 40)]
    assert CanFault.objects.get().last_seen_at.timestamp() == START + 39


@pytest.mark.needs("can")
def test_a_replay_that_is_repeated_sends_nothing_twice(tmp_path, own_rules):
    can_rule(lambda change: announce(change) * 2)
    recording = write(tmp_path, TWO_FAULTS)
    out, _err = bridge(replay=recording)
    assert "8 notifications queued" in out
    out, _err = bridge(replay=recording)
    assert "0 notifications queued" in out
    assert "8 notifications sent by an earlier replay" in out
    assert len(places()) == 8
    assert not CanFault.objects.exists()


@pytest.mark.needs("can")
def test_a_replay_with_other_rules_says_that_the_content_differs(tmp_path, caplog, own_rules):
    recording = write(tmp_path, TWO_FAULTS)
    can_rule(announce)
    bridge(replay=recording)
    own_rules.clear()
    can_rule(lambda change: [replace(announce(change)[0], context={"place": "elsewhere"})])
    bridge(replay=recording)
    assert len(places()) == 4
    assert caplog.text.count("An earlier replay has sent another content for: ") == 4
