"""Outcomes that a worker cannot write when it ends are kept in a file, and written by the next one."""

import json
import os
import signal
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.utils.timezone import now

from notifications.delivering import leftovers
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.record import Outcomes, decide_next_state, retry_unsent
from notifications.delivering.workers.rescue import Rescuer
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Receipt, Verdict
from notifications.testing import travelling
from tests.delivering.test_dispatcher import refuse_orders, script  # noqa: F401
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
        database.setattr(OutcomeWriter, "write", gone)
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
        Rescuer("default").rescue(clock())
        assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}
        assert not list(folder.iterdir())
        assert Dispatcher().run_until_idle() == {}
    assert NotificationLog.objects.filter(success=True).count() == 3
    assert len(script.given) == 3


def test_what_failed_goes_on_with_its_schedule(folder, script, away):  # noqa: F811
    script.answers = [{"verdict": Verdict.TEMPORARY, "error": "busy, says bob@example.com"}] * 3
    end_without_database(away)
    assert "bob@example.com" not in next(folder.iterdir()).read_text()
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", "reason", "attempts")) == {("retry", "temporary", 1)}


def test_outcomes_that_came_too_late_change_nothing_but_are_logged(folder, away):
    end_without_database(away)
    Delivery.objects.update(fence=9, state="retry")
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"retry"}
    assert NotificationLog.objects.count() == 3


def test_a_file_is_read_once_though_many_look(folder, away):
    end_without_database(away)
    [path] = leftovers.find_files("default")
    with leftovers.open_outcomes(path, "default") as found, leftovers.open_outcomes(path, "default") as again:
        assert found
        assert again is None
    assert leftovers.find_files("default") == []


def test_the_outcomes_of_another_database_are_left_alone(folder, away, settings):
    end_without_database(away)
    [path] = folder.iterdir()
    path.rename(path.with_name(f"{'0' * 16}-other.outcomes"))
    OutcomeWriter().recover()
    assert len(list(folder.iterdir())) == 1


def become_another(delivery):
    """Give the row another notification, as in another database where the same id is in use."""
    other = delivery.notification
    other.pk, other.correlation_id = None, uuid4()
    other.save(force_insert=True)
    Delivery.objects.filter(pk=delivery.pk).update(notification=other)


def test_a_file_of_which_the_database_has_nothing_is_left_alone_until_it_has(folder, away, caplog):
    end_without_database(away)
    [mine] = set(Delivery.objects.values_list("notification", flat=True))
    ids = ", ".join(map(str, Delivery.objects.order_by("pk").values_list("pk", flat=True)))
    for delivery in Delivery.objects.select_related("notification"):
        become_another(delivery)
    for _ in range(3):
        OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sending"}
    assert [path.suffix for path in folder.iterdir()] == [".outcomes"]
    [complaint] = [message for message in caplog.messages if "has none of the deliveries" in message]
    assert f"Deliveries: {ids}" in complaint
    Delivery.objects.update(notification=mine)  # the restore is finished
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert not list(folder.iterdir())


def test_a_file_of_which_the_database_lacks_some_is_kept_and_the_rest_is_written(folder, away, caplog):
    end_without_database(away)
    ours, another, gone = Delivery.objects.order_by("pk").select_related("notification")
    become_another(another)
    lacking = [another.pk, gone.pk]
    gone.delete()
    OutcomeWriter().recover()
    assert dict(Delivery.objects.values_list("pk", "state")) == {ours.pk: "sent", another.pk: "sending"}
    [kept] = folder.iterdir()
    assert kept.suffix == ".unmatched"
    assert "rename it back" in caplog.text
    assert f"Deliveries: {lacking[0]}, {lacking[1]}" in caplog.text
    kept.rename(kept.with_suffix(".outcomes"))
    OutcomeWriter().recover()
    assert NotificationLog.objects.count() == 1, "what is written already is not written again"


def begun(count=2):
    """Deliveries that are marked as sending."""
    refuse_orders(count)
    rows = Delivery.objects.claim("worker", now(), now() + timedelta(minutes=1), 10)
    rows = Delivery.objects.with_notifications(rows)
    Delivery.objects.mark_sending(rows, now() + timedelta(minutes=1))
    return rows


def test_what_was_broken_off_frees_no_row_of_another_notification(folder):
    mine, another = begun()
    leftovers.save([Outcomes([retry_unsent(row, now()) for row in (mine, another)], now())], "default")
    become_another(another)
    OutcomeWriter().recover()
    assert dict(Delivery.objects.values_list("pk", "state")) == {mine.pk: "retry", another.pk: "sending"}


@pytest.mark.parametrize("failed", [False, True], ids=["broken off", "failed"])
def test_after_a_restore_no_row_is_taken_from_a_worker_that_has_it_under_the_same_fence(folder, failed):
    [row] = begun(1)
    pair = retry_unsent(row, now())
    if failed:
        attempted = AttemptResult(row, Receipt(None, Verdict.TEMPORARY, error="busy"), 0.1)
        pair = attempted, decide_next_state(attempted, now())
    leftovers.save([Outcomes([pair], now())], "default")
    Delivery.objects.update(owner="a living worker")
    OutcomeWriter().recover()
    assert Delivery.objects.get().state == "sending"
    assert NotificationLog.objects.count() == int(failed)
    assert not list(folder.iterdir())


def test_what_was_only_claimed_is_left_to_its_lease(folder):
    refuse_orders(1)
    [row] = Delivery.objects.claim("worker", now(), now() + timedelta(minutes=1), 10)
    writer = OutcomeWriter()
    writer.give_back([row], later=True)
    path = leftovers.save([Outcomes(writer._unwritten[0].pairs, now())], "default")
    assert f'"id": {row.pk}' not in path.read_text()
    OutcomeWriter().recover()
    assert Delivery.objects.get().state == "claimed"
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("options", "is_another"),
    [
        ({"options": "-c search_path=other,public"}, True),
        ({"options": "-c statement_timeout=5s --search-path=other"}, True),
        ({"service": "other"}, True),
        ({"options": "-c statement_timeout=5s"}, False),
    ],
)
def test_a_file_belongs_to_the_schema_in_which_the_tables_are(folder, monkeypatch, options, is_another):
    leftovers.save([], "default")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {**connection.settings_dict["OPTIONS"], **options})
    assert bool(leftovers.find_files("default")) != is_another


def test_a_file_that_cannot_be_opened_is_set_aside_and_stops_no_rescue(folder, away, caplog):
    end_without_database(away)
    [path] = folder.iterdir()
    unreadable = path.with_name(path.name.replace("-", "-0", 1))
    unreadable.mkdir()
    Rescuer("default").rescue(now())
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert [found.suffix for found in folder.iterdir()] == [".damaged"]
    assert "set aside" in caplog.text


def test_a_file_that_cannot_be_opened_now_is_spoken_of_once_and_stops_no_rescue(folder, away, caplog):
    end_without_database(away)
    [path] = folder.iterdir()
    endless = path.with_name(path.name.replace("-", "-0", 1))
    endless.symlink_to(endless)
    for _ in range(3):
        Rescuer("default").rescue(now())
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert list(folder.iterdir()) == [endless]
    assert caplog.text.count("cannot be read") == 1


def test_a_file_that_cannot_be_removed_is_spoken_of_once_and_written_once(folder, away, caplog, monkeypatch):
    end_without_database(away)

    def refuse(path, missing_ok=False):
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(3):
        Rescuer("default").rescue(now())
    assert NotificationLog.objects.count() == 3
    assert caplog.text.count("cannot be removed") == 1


def test_a_file_that_was_never_finished_is_removed_after_a_day(folder):
    first = leftovers.save([], "default")
    old, young = (first.with_name(f"{first.name[:16]}-{number}.part") for number in (1, 2))
    others = first.with_name("another program's.part")
    for path in (old, young, others):
        path.touch()
    for path in (old, others):
        os.utime(path, (time.time() - 90_000,) * 2)
    leftovers.save([], "default")
    assert set(folder.glob("*.part")) == {young, others}


def test_a_damaged_file_is_set_aside_and_stops_nobody(folder, away, caplog):
    end_without_database(away)
    [path] = folder.iterdir()
    path.write_text(json.dumps([{"at": "yesterday"}]))
    OutcomeWriter().recover()
    assert [found.suffix for found in folder.iterdir()] == [".damaged"]
    assert "cannot be read" in caplog.text


def test_the_default_folder_of_another_user_is_refused(folder, away, settings, tmp_path, monkeypatch, caplog):
    settings.NOTIFICATIONS = {key: value for key, value in settings.NOTIFICATIONS.items() if key != "STATE_DIR"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    leftovers.get_folder().mkdir()
    assert end_without_database(away) == 3
    assert "will be sent again" in caplog.text
    assert not list(leftovers.get_folder().iterdir())


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
    rows = begun()
    writer, write = OutcomeWriter(), OutcomeWriter.write
    for row in rows:
        writer.keep(Outcomes([retry_unsent(row, now())], now()))

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


def test_deliveries_that_were_only_claimed_need_no_file(folder, away):
    refuse_orders(2)
    writer = OutcomeWriter()
    rows = Delivery.objects.claim("worker", now(), now() + timedelta(minutes=1), 10)
    writer.give_back(Delivery.objects.with_notifications(rows), later=True)
    assert writer.close(0.1) == 0
    assert not folder.exists()
