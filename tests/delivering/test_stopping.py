"""A worker that ends writes its outcomes or saves them to a leftovers file."""

import json
import signal
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils.timezone import now

from notifications.delivering.attempt_outcomes import Outcomes, build_retry
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.manager import NotificationManager
from notifications.models import Delivery
from tests.delivering.scripted import begin_sending, refuse_orders
from tests.factories import UserFactory
from tests.processes import finished, smtp_ledger, start, until
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_file_is_written_if_the_database_comes_back_in_time(state_folder, database_away):
    refuse_orders(3)
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_batch(10)
    database_away.undo()
    assert dispatcher.close(5) == 0
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert not state_folder.exists()


def test_a_process_that_stops_while_its_database_is_locked_leaves_a_file_and_says_so(tmp_path):
    notifications = {"STOP_SECONDS": 1, "STATE_DIR": str(tmp_path / "state")}
    more = {"KLAXON_BUSY_SECONDS": "2", "KLAXON_NOTIFICATIONS": json.dumps(notifications)}
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(20))
    with smtp_ledger(tmp_path / "ledger", seconds=0.3) as port:
        worker = start("dispatch_notifications", "--watch", "--workers", "1", port=port, **more)
        until(lambda: (tmp_path / "ledger").exists() and (tmp_path / "ledger").read_text())
        with lock_deliveries():
            worker.send_signal(signal.SIGTERM)
            output, _ = worker.communicate(timeout=30)
        assert worker.returncode == 1, output
        assert "could not be written to the database" in output
        finished(start("dispatch_notifications", port=port, **more))
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    mails = (tmp_path / "ledger").read_text().splitlines()
    assert len(mails) == len(set(mails)) == 20


@contextmanager
def lock_deliveries():
    """Lock the deliveries as another program could, until the block ends."""
    other = connection.copy()
    with open_transaction(other) as cursor:
        if other.vendor == "postgresql":
            cursor.execute("LOCK TABLE klaxon_delivery IN ACCESS EXCLUSIVE MODE")
        yield
    other.close()


@contextmanager
def open_transaction(other):
    with other.cursor() as cursor:
        cursor.execute("BEGIN" if other.vendor == "postgresql" else "BEGIN IMMEDIATE")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")


def test_a_failure_at_the_end_does_not_roll_back_written_outcomes(state_folder, monkeypatch):
    rows = begin_sending()
    writer, write = OutcomeWriter(), OutcomeWriter.write
    for row in rows:
        writer.keep(Outcomes([build_retry(row, now())], now()))

    def only_the_first(self, outcomes):
        if outcomes.pairs[0][1].id != rows[0].pk:
            raise OperationalError("away")
        return write(self, outcomes)

    monkeypatch.setattr(OutcomeWriter, "write", only_the_first)
    writer.close(0.1)
    states = dict(Delivery.objects.values_list("pk", "state"))
    assert states == {rows[0].pk: "retry", rows[1].pk: "sending"}
    monkeypatch.setattr(OutcomeWriter, "write", write)
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"retry"}


def test_claimed_deliveries_need_no_file(state_folder, database_away):
    refuse_orders(2)
    writer = OutcomeWriter()
    rows = Delivery.objects.claim("worker", now() + timedelta(minutes=1), 10)
    writer.give_back(Delivery.objects.with_notifications(rows), later=True)
    assert writer.close(0.1) == 0
    assert not state_folder.exists()
