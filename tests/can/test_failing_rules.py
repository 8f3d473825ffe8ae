import logging

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from notifications.can.faults import FaultChange
from notifications.can.sender import Sender
from notifications.can.sends import Send
from notifications.can.tally import Tally
from notifications.manager import NotificationManager
from notifications.models import Notification
from tests.can.candump import frame
from tests.can.test_fault_tracker import RED, process_frames
from tests.shop.notification_events import ShopEvents


def nothing(change: FaultChange) -> list[Send]:
    raise KeyError("a mistake of the host")


@pytest.fixture
def change() -> FaultChange:
    [raised] = process_frames(frame(RED))
    return raised


@pytest.fixture
def ann(db) -> User:
    return User.objects.create_user("ann", "ann@example.com")


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
