import logging

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import OperationalError

from notifications.can.faults import FaultChange
from notifications.can.sender import Sender
from notifications.can.sends import Send
from notifications.can.tally import Tally
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from tests.can.candump import TWO_FAULTS, bridge, frame, write
from tests.can.test_fault_tracker import RED, process_frames
from tests.shop.notification_events import ShopEvents

RULES = {"CHANNELS": {"log": {}}, "CAN_RULES": "tests.can.test_rules.fire_brigade"}


def fire_brigade(change: FaultChange) -> list[Send]:
    """Notify all users of faults with a red lamp."""
    if change.kind == "cleared" or "red" not in change.lamps:
        return []
    return [Send(ShopEvents.STORE_ON_FIRE, User.objects.all(), None, {"place": f"device {change.dsa}"})]


def nothing(change: FaultChange) -> list[Send]:
    raise KeyError("a mistake of the host")


@pytest.fixture
def change() -> FaultChange:
    [raised] = process_frames(frame(RED))
    return raised


@pytest.fixture
def ann(db) -> User:
    return User.objects.create_user("ann", "ann@example.com")


@pytest.mark.needs("can")
def test_notifications_of_the_rules_are_queued(settings, tmp_path, ann):
    settings.NOTIFICATIONS = RULES
    out, _err = bridge(replay=write(tmp_path, TWO_FAULTS))
    assert "2 faults raised, 2 cleared, 1 notifications queued" in out
    assert Notification.objects.get().values == {"place": "device 69"}
    assert sorted(Delivery.objects.values_list("channel", "recipient")) == [("app", ann.pk), ("email", ann.pk)]


@pytest.mark.needs("can")
def test_a_dry_run_uses_no_rules_and_no_database(settings, tmp_path):
    settings.NOTIFICATIONS = {"CAN_RULES": "tests.can.test_rules.nothing"}
    out, _err = bridge(replay=write(tmp_path, TWO_FAULTS), dry_run=True)
    assert "0 notifications queued" in out
    assert "failed" not in out


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "words"),
    [("", "CAN_RULES'\\] is not set"), ("no.such.rules", "no.such.rules"), ("tests.can.none", "tests.can.none")],
)
def test_missing_rules_are_an_error_before_the_recording_is_read(settings, path, words):
    settings.NOTIFICATIONS = {"CAN_RULES": path}
    with pytest.raises(CommandError, match=words):
        bridge(replay="coach.log")


def test_rules_that_fail_are_logged_and_counted(change, caplog):
    tally = Tally()
    Sender(nothing, tally).send(change)
    assert (tally.sent, tally.failed) == (0, 1)
    assert "SPN 9" in caplog.text
    assert "a mistake of the host" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        Send("no_such_event", []),
        Send(ShopEvents.ORDER_REFUSED, ["not a user"]),
        Send(ShopEvents.ORDER_REFUSED, [], None, {"not": "declared"}),
        Send(ShopEvents.ORDER_REFUSED, [], options={"no_such_option": 1}),
        "not a send",
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_next_notification_is_sent_after_a_failure(change, ann, wrong, caplog):
    tally = Tally()
    good = Send(ShopEvents.STORE_ON_FIRE, [ann], None, {"place": "furnace"})
    Sender(lambda change: [wrong, good], tally).send(change)
    assert (tally.sent, tally.failed) == (1, 1)
    assert Notification.objects.count() == 1
    assert caplog.records[-1].levelno == logging.ERROR


@pytest.mark.django_db
def test_an_invalid_call_counts_as_failed_if_it_is_logged(settings, change, ann, caplog):
    settings.NOTIFICATIONS = {"ON_BAD_CALL": "log"}
    tally = Tally()
    sends = [Send("no_such_event", [ann]), Send(ShopEvents.STORE_ON_FIRE, [ann], None, {"place": "furnace"})]
    Sender(lambda change: sends, tally).send(change)
    assert (tally.sent, tally.failed) == (1, 1)
    assert "no_such_event" in caplog.text


def test_a_replay_ends_with_the_error_of_the_database(change, monkeypatch):
    def down(*args, **options):
        raise OperationalError("gone away")

    monkeypatch.setattr(NotificationManager, "send", down)
    with pytest.raises(OperationalError):
        Sender(lambda change: [Send("a", [])], Tally()).send(change)
