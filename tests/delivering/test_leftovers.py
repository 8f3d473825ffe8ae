"""Leftovers files: a worker that ends saves outcomes that it cannot write, and the next worker writes them."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.utils.timezone import now

from notifications.delivering import leftovers
from notifications.delivering.attempt_outcomes import Outcomes, build_retry, decide_next_state
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.choice import AttemptResult
from notifications.delivering.workers.rescue import Rescuer
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import Receipt, Verdict
from notifications.testing import travelling
from tests.delivering.scripted import begin_sending, refuse_orders

pytestmark = pytest.mark.django_db(transaction=True)


def end_without_database(database_away, count=3):
    refuse_orders(count)
    dispatcher = Dispatcher()
    with pytest.raises(OperationalError):
        dispatcher.run_batch(10)
    left = dispatcher.close(0.1)
    database_away.undo()
    return left


def test_the_next_start_writes_accepted_messages_and_sends_nothing_twice(
    state_folder, scripted_channel, database_away, caplog
):
    assert end_without_database(database_away) == 3
    [path] = state_folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    ids = ", ".join(map(str, Delivery.objects.order_by("pk").values_list("pk", flat=True)))
    assert f"Deliveries: {ids}" in caplog.text
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sending"}
    with travelling() as clock:
        clock.forward(hours=1)
        Rescuer("default").rescue(clock())
        assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}
        assert not list(state_folder.iterdir())
        assert Dispatcher().run_until_idle() == {}
    assert NotificationLog.objects.filter(success=True).count() == 3
    assert len(scripted_channel.given) == 3


def test_failed_deliveries_continue_their_schedule(state_folder, scripted_channel, database_away):
    scripted_channel.answers = [{"verdict": Verdict.TEMPORARY, "error": "busy, says bob@example.com"}] * 3
    end_without_database(database_away)
    assert "bob@example.com" not in next(state_folder.iterdir()).read_text()
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", "reason", "attempts")) == {("retry", "temporary", 1)}


def test_outcomes_that_come_too_late_are_only_logged(state_folder, database_away):
    end_without_database(database_away)
    Delivery.objects.update(fence=9, state="retry")
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"retry"}
    assert NotificationLog.objects.count() == 3


def test_a_file_is_read_only_once(state_folder, database_away):
    end_without_database(database_away)
    [path] = leftovers.find_files("default")
    with leftovers.open_outcomes(path, "default") as found, leftovers.open_outcomes(path, "default") as again:
        assert found
        assert again is None
    assert leftovers.find_files("default") == []


def test_files_of_another_database_are_not_read(state_folder, database_away, settings):
    end_without_database(database_away)
    [path] = state_folder.iterdir()
    path.rename(path.with_name(f"{'0' * 16}-other.outcomes"))
    OutcomeWriter().recover()
    assert len(list(state_folder.iterdir())) == 1


def replace_notification(delivery):
    """Give the delivery another notification, as in another database that uses the same id."""
    other = delivery.notification
    other.pk, other.correlation_id = None, uuid4()
    other.save(force_insert=True)
    Delivery.objects.filter(pk=delivery.pk).update(notification=other)


def test_a_file_stays_while_the_database_has_none_of_its_deliveries(state_folder, database_away, caplog):
    end_without_database(database_away)
    [restored] = set(Delivery.objects.values_list("notification", flat=True))
    ids = ", ".join(map(str, Delivery.objects.order_by("pk").values_list("pk", flat=True)))
    for delivery in Delivery.objects.select_related("notification"):
        replace_notification(delivery)
    for _ in range(3):
        OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sending"}
    assert [path.suffix for path in state_folder.iterdir()] == [".outcomes"]
    [complaint] = [message for message in caplog.messages if "has none of the deliveries" in message]
    assert f"Deliveries: {ids}" in complaint
    Delivery.objects.update(notification=restored)  # The restore is finished.
    OutcomeWriter().recover()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert not list(state_folder.iterdir())


def test_a_file_is_kept_if_the_database_lacks_some_deliveries_and_the_others_are_written(
    state_folder, database_away, caplog
):
    end_without_database(database_away)
    known, another, gone = Delivery.objects.order_by("pk").select_related("notification")
    replace_notification(another)
    lacking = [another.pk, gone.pk]
    gone.delete()
    OutcomeWriter().recover()
    assert dict(Delivery.objects.values_list("pk", "state")) == {known.pk: "sent", another.pk: "sending"}
    [kept] = state_folder.iterdir()
    assert kept.suffix == ".unmatched"
    assert "rename it back" in caplog.text
    assert f"Deliveries: {lacking[0]}, {lacking[1]}" in caplog.text
    kept.rename(kept.with_suffix(".outcomes"))
    OutcomeWriter().recover()
    assert NotificationLog.objects.count() == 1, "written outcomes are not written again"


def test_a_delivery_that_was_broken_off_changes_no_row_of_another_notification(state_folder):
    known, another = begin_sending()
    leftovers.save([Outcomes([build_retry(row, now()) for row in (known, another)], now())], "default")
    replace_notification(another)
    OutcomeWriter().recover()
    assert dict(Delivery.objects.values_list("pk", "state")) == {known.pk: "retry", another.pk: "sending"}


def test_a_file_of_an_earlier_version_names_the_tried_providers(state_folder):
    [row] = begin_sending(1)
    attempted = AttemptResult(row, Receipt(None, Verdict.TEMPORARY, error="busy"), 0.1, "second")
    pair = attempted, decide_next_state(attempted, now(), '["first", "second"]')
    path = leftovers.save([Outcomes([pair], now())], "default")
    entries = json.loads(path.read_text())
    change = entries[0]["pairs"][0]["news"]
    del change["tried_providers"]
    change["provider"] = "first, second"
    path.write_text(json.dumps(entries))
    OutcomeWriter().recover()
    delivery = Delivery.objects.get()
    assert (delivery.reason, delivery.provider) == ("failed_over", "second")
    assert delivery.list_tried_providers() == ["first", "second"]


@pytest.mark.parametrize("failed", [False, True], ids=["broken off", "failed"])
def test_after_a_restore_a_claim_with_the_same_fence_is_not_changed(state_folder, failed):
    [row] = begin_sending(1)
    pair = build_retry(row, now())
    if failed:
        attempted = AttemptResult(row, Receipt(None, Verdict.TEMPORARY, error="busy"), 0.1)
        pair = attempted, decide_next_state(attempted, now())
    leftovers.save([Outcomes([pair], now())], "default")
    Delivery.objects.update(owner="a living worker")
    OutcomeWriter().recover()
    assert Delivery.objects.get().state == "sending"
    assert NotificationLog.objects.count() == int(failed)
    assert not list(state_folder.iterdir())


def test_claimed_deliveries_wait_for_the_end_of_their_lease(state_folder):
    refuse_orders(1)
    [row] = Delivery.objects.claim("worker", now() + timedelta(minutes=1), 10)
    writer = OutcomeWriter()
    writer.give_back([row], later=True)
    path = leftovers.save([Outcomes(writer._unwritten[0].pairs, now())], "default")
    assert f'"id": {row.pk}' not in path.read_text()
    OutcomeWriter().recover()
    assert Delivery.objects.get().state == "claimed"
    assert not list(state_folder.iterdir())


@pytest.mark.parametrize(
    ("options", "is_another"),
    [
        ({"options": "-c search_path=other,public"}, True),
        ({"options": "-c statement_timeout=5s --search-path=other"}, True),
        ({"service": "other"}, True),
        ({"options": "-c statement_timeout=5s"}, False),
    ],
)
def test_a_file_belongs_to_one_schema(state_folder, monkeypatch, options, is_another):
    leftovers.save([], "default")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {**connection.settings_dict["OPTIONS"], **options})
    assert bool(leftovers.find_files("default")) != is_another


def test_a_file_that_cannot_be_opened_is_set_aside(state_folder, database_away, caplog):
    end_without_database(database_away)
    [path] = state_folder.iterdir()
    unreadable = path.with_name(path.name.replace("-", "-0", 1))
    unreadable.mkdir()
    Rescuer("default").rescue(now())
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert [found.suffix for found in state_folder.iterdir()] == [".damaged"]
    assert "set aside" in caplog.text


def test_a_file_that_cannot_be_opened_temporarily_is_logged_once(state_folder, database_away, caplog):
    end_without_database(database_away)
    [path] = state_folder.iterdir()
    endless = path.with_name(path.name.replace("-", "-0", 1))
    endless.symlink_to(endless)
    for _ in range(3):
        Rescuer("default").rescue(now())
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert list(state_folder.iterdir()) == [endless]
    assert caplog.text.count("cannot be read") == 1


def test_a_file_that_cannot_be_removed_is_logged_once_and_written_once(
    state_folder, database_away, caplog, monkeypatch
):
    end_without_database(database_away)

    def refuse(path, missing_ok=False):
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(3):
        Rescuer("default").rescue(now())
    assert NotificationLog.objects.count() == 3
    assert caplog.text.count("cannot be removed") == 1


def test_an_unfinished_file_is_removed_after_a_day(state_folder):
    first = leftovers.save([], "default")
    old, young = (first.with_name(f"{first.name[:16]}-{number}.part") for number in (1, 2))
    others = first.with_name("another program's.part")
    for path in (old, young, others):
        path.touch()
    for path in (old, others):
        os.utime(path, (time.time() - 90_000,) * 2)
    leftovers.save([], "default")
    assert set(state_folder.glob("*.part")) == {young, others}


def test_a_damaged_file_is_set_aside(state_folder, database_away, caplog):
    end_without_database(database_away)
    [path] = state_folder.iterdir()
    path.write_text(json.dumps([{"at": "yesterday"}]))
    OutcomeWriter().recover()
    assert [found.suffix for found in state_folder.iterdir()] == [".damaged"]
    assert "cannot be read" in caplog.text


def test_the_default_folder_of_another_user_is_refused(
    state_folder, database_away, settings, tmp_path, monkeypatch, caplog
):
    settings.NOTIFICATIONS = {key: value for key, value in settings.NOTIFICATIONS.items() if key != "STATE_DIR"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    leftovers.get_folder().mkdir()
    assert end_without_database(database_away) == 3
    assert "will be sent again" in caplog.text
    assert not list(leftovers.get_folder().iterdir())
