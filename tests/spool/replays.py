"""Calls that are spooled, and replays of them."""

from datetime import UTC, date, datetime
from enum import Enum
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from tests.processes import start
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SHIPPED = {"order_number": "7", "eta": date(2026, 11, 20)}


class Door(Enum):
    OPENED = "door_opened"


def register_restricted_event(events):
    """Register an event that requires a permission."""
    events[Door.OPENED] = NotificationEvent(
        "door_opened", NotificationPriority.HIGH, ["log"], permission="auth.change_group"
    )


def spool_one(recipients, event=ShopEvents.ORDER_SHIPPED, context=SHIPPED, cluster=None, **options):
    with outage():
        assert NotificationManager.send(event, recipients, cluster, context, **options).spooled


def replay(**options):
    out, err = StringIO(), StringIO()
    call_command("replay_spool", stdout=out, stderr=err, **options)
    return out.getvalue() + err.getvalue()


def failed_replay(**options):
    """Return the exit code and the message of a replay that fails."""
    with pytest.raises(CommandError) as raised:
        replay(**options)
    return raised.value.returncode, str(raised.value)


def process(spool):
    """Start a replay in another process."""
    return start("replay_spool", KLAXON_SPOOL_DIR=str(spool.folder))
