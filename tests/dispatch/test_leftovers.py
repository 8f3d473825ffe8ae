"""Outcomes that a worker cannot write when it ends are kept in a file, and written by the next one."""

import json
import os
import signal
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils.timezone import now

from notifications.dispatch import leftovers
from notifications.dispatch.desk import Desk
from notifications.dispatch.dispatcher import Dispatcher
from notifications.dispatch.record import Outcomes, broken_off
from notifications.dispatch.rescue import Rescuer
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Verdict
from notifications.testing import travelling
from tests.dispatch.test_dispatcher import refuse_orders, script  # noqa: F401
from tests.factories import UserFactory
from tests.processes import finished, smtp_ledger, start, until
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(script, settings, tmp_path):  # noqa: F811
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "STATE_DIR": str(tmp_path / "state"), "STOP_SECONDS": 0.1}
    return tmp_path / "state"


@pytest.fixture
def away(monkeypatch):
    """Between the call to the provider and the end of the worker the database takes nothing."""

    def gone(*args, **options):
        raise OperationalError("away")

    with monkeypatch.context() as database:
        database.setattr(Desk, "write", gone)
        yield database


def end_without_database(away, count=3):
    refuse_orders(count)
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_batch(10)
    left = dispatcher.close(0.1)
    away.undo()
    return left


def test_the_next_start_writes_what_was_accepted_and_sends_nothing_twice(folder, script, away, caplog):  # noqa: F811
    assert end_without_database(away) == 3
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    ids = ", ".join(map(str, Delivery.objects.order_by("pk").values_list("pk", flat=True)))
    assert f"Deliveries: {ids}" in caplog.text
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sending"}
    with travelling() as clock:
        clock.forward(hours=1)
        Rescuer("default").look(clock())
        assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}
        assert not list(folder.iterdir())
        assert Dispatcher().run_until_idle() == {}
    assert NotificationLog.objects.filter(success=True).count() == 3
    assert len(script.given) == 3


def test_what_failed_goes_on_with_its_schedule(folder, script, away):  # noqa: F811
    script.answers = [{"verdict": Verdict.TEMPORARY, "error": "busy, says bob@example.com"}] * 3
    end_without_database(away)
    assert "bob@example.com" not in next(folder.iterdir()).read_text()
    Desk().recover()
    assert set(Delivery.objects.values_list("state", "reason", "attempts")) == {("retry", "temporary", 1)}


def test_outcomes_that_came_too_late_change_nothing_but_are_logged(folder, away):
    end_without_database(away)
    Delivery.objects.update(fence=9, state="retry")
    Desk().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"retry"}
    assert NotificationLog.objects.count() == 3


def test_a_file_is_read_once_though_many_look(folder, away):
    end_without_database(away)
    [path] = leftovers.paths("default")
    with leftovers.opened(path, "default") as found, leftovers.opened(path, "default") as again:
        assert found
        assert again is None
    assert leftovers.paths("default") == []


def test_the_outcomes_of_another_database_are_left_alone(folder, away, settings):
    end_without_database(away)
    [path] = folder.iterdir()
    path.rename(path.with_name(f"{'0' * 16}-other.outcomes"))
    Desk().recover()
    assert len(list(folder.iterdir())) == 1


def test_a_delivery_that_is_gone_or_another_is_passed_over(folder, away):
    end_without_database(away)
    first = Delivery.objects.order_by("pk").first()
    first.notification.correlation_id = "another"
    first.notification.save()
    Delivery.objects.exclude(pk=first.pk).delete()
    Desk().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) <= {"sending"}


def test_a_damaged_file_is_set_aside_and_stops_nobody(folder, away, caplog):
    end_without_database(away)
    [path] = folder.iterdir()
    path.write_text(json.dumps([{"at": "yesterday"}]))
    Desk().recover()
    assert [found.suffix for found in folder.iterdir()] == [".damaged"]
    assert "cannot be read" in caplog.text


def test_the_default_folder_of_another_user_is_refused(folder, away, settings, tmp_path, monkeypatch, caplog):
    settings.NOTIFICATIONS = {key: value for key, value in settings.NOTIFICATIONS.items() if key != "STATE_DIR"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    leftovers.folder().mkdir()
    assert end_without_database(away) == 3
    assert "will be sent again" in caplog.text
    assert not list(leftovers.folder().iterdir())


def test_while_the_database_comes_back_in_time_no_file_is_needed(folder, away):
    refuse_orders(3)
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_batch(10)
    away.undo()
    assert dispatcher.close(5) == 0
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert not folder.exists()


def test_a_process_that_is_stopped_while_its_database_is_locked_says_what_it_leaves_behind(tmp_path):
    notifications = {"STOP_SECONDS": 1, "STATE_DIR": str(tmp_path / "state")}
    more = {"KLAXON_BUSY_SECONDS": "2", "KLAXON_NOTIFICATIONS": json.dumps(notifications)}
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(20))
    with smtp_ledger(tmp_path / "ledger", seconds=0.3) as port:
        worker = start("dispatch_notifications", "--watch", "--workers", "1", port=port, **more)
        until(lambda: (tmp_path / "ledger").exists() and (tmp_path / "ledger").read_text())
        with locked():
            worker.send_signal(signal.SIGTERM)
            output, _ = worker.communicate(timeout=30)
        assert worker.returncode == 1, output
        assert "outcomes could not be written to the database" in output
        finished(start("dispatch_notifications", port=port, **more))
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    mails = (tmp_path / "ledger").read_text().splitlines()
    assert len(mails) == len(set(mails)) == 20


@contextmanager
def locked():
    """Another program that has locked the deliveries, and takes its time."""
    other = connection.copy()
    with transaction_of(other) as cursor:
        if other.vendor == "postgresql":
            cursor.execute("LOCK TABLE klaxon_delivery IN ACCESS EXCLUSIVE MODE")
        yield
    other.close()


@contextmanager
def transaction_of(other):
    with other.cursor() as cursor:
        cursor.execute("BEGIN" if other.vendor == "postgresql" else "BEGIN IMMEDIATE")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")


def test_what_could_be_written_at_the_end_is_not_taken_back_with_what_could_not(folder, monkeypatch):
    refuse_orders(2)
    rows = Delivery.objects.claim("worker", now(), now() + timedelta(minutes=1), 10)
    rows = Delivery.objects.with_notifications(rows)
    Delivery.objects.mark_sending(rows, now() + timedelta(minutes=1))
    desk, write = Desk(), Desk.write
    for row in rows:
        desk.keep(Outcomes([broken_off(row, now())], now()))

    def only_the_first(self, outcomes):
        if outcomes.pairs[0][1].id != rows[0].pk:
            raise OperationalError("away")
        return write(self, outcomes)

    monkeypatch.setattr(Desk, "write", only_the_first)
    desk.close(0.1)
    states = dict(Delivery.objects.values_list("pk", "state"))
    assert states == {rows[0].pk: "retry", rows[1].pk: "sending"}
    monkeypatch.setattr(Desk, "write", write)
    Desk().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"retry"}
