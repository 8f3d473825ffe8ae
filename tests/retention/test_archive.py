"""The archive: complete files with a manifest, and a purge that deletes only what is in them."""

import gzip
import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from notifications import checks
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from notifications.monitoring.privacy import erase
from notifications.monitoring.retention import archive as archive_module
from notifications.monitoring.retention import write_archive
from notifications.monitoring.retention.archive import Ranges, Writer, hash_file, locked
from notifications.testing import travelling
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
START = datetime(2026, 6, 1, 10, tzinfo=UTC)


@pytest.fixture
def folder(settings, tmp_path):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {"ARCHIVE_DIR": str(tmp_path)}}
    return tmp_path


@pytest.fixture
def time(folder):
    with travelling(START) as clock:
        for _ in range(3):
            NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
        Dispatcher().run_until_idle()
        Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(state="dead", settled_at=START)
        clock.forward(days=100)
        yield clock


def archive():
    call_command("archive_notifications")


def purge():
    call_command("purge_notifications", "--at-once")


def read(folder):
    return [json.loads(line) for path in sorted(folder.glob("*.gz")) for line in gzip.open(path, "rt")]


def test_a_purge_deletes_only_what_is_archived(time, folder):
    with pytest.raises(
        CommandError, match="not archived: notifications and deliveries 2, dead letters 1, log rows 3"
    ) as kept:
        purge()
    assert kept.value.returncode == 3
    assert (Notification.objects.count(), Delivery.objects.count()) == (3, 3)
    stored = {row["id"]: row for row in Delivery.objects.values("id", "state", "address")}
    archive()
    purge()
    assert (Notification.objects.count(), Delivery.objects.count(), NotificationLog.objects.count()) == (1, 0, 0)
    lines = read(folder)
    rows = [line["row"] for line in lines if line["table"] == "klaxon.delivery"]
    assert {row["id"]: {name: row[name] for name in ("id", "state", "address")} for row in rows} == stored
    assert sum(line["table"] == "klaxon.logpersonal" for line in lines) == 3
    # The notification of the dead letter has ended only now.
    archive()
    purge()
    assert not Notification.objects.exists()
    assert len(read(folder)) == len(lines) + 1


def test_nothing_is_archived_twice(time, folder, capsys):
    archive()
    capsys.readouterr()
    archive()
    assert capsys.readouterr().out == "Nothing new is old enough for the archive.\n"
    assert len(list(folder.glob("*.gz"))) == 1


def test_the_manifest_says_what_the_file_contains(time, folder, capsys):
    archive()
    [path], [data] = folder.glob("*.json"), folder.glob("*.gz")
    manifest = json.loads(path.read_text())
    assert (manifest["file"], manifest["sha256"]) == (data.name, hash_file(data))
    assert manifest["counts"]["klaxon.delivery"] == 3
    assert sum(manifest["counts"].values()) == len(read(folder))
    call_command("archive_notifications", "--verify")
    assert "The archive is complete: " in capsys.readouterr().out
    data.write_bytes(gzip.compress(b'{"table": "klaxon.delivery", "row": {}}\n'))
    with pytest.raises(CommandError, match="was changed"):
        call_command("archive_notifications", "--verify")
    data.unlink()
    for command in (archive, purge):
        with pytest.raises(CommandError, match="is missing. Restore it, or delete the manifest"):
            command()


def test_an_interrupted_run_leaves_nothing_and_a_later_one_removes_its_parts(time, folder, monkeypatch):
    def fail(*args):
        raise OSError("No space left on device")

    (folder / "klaxon-old.part").write_text("x")
    monkeypatch.setattr(write_archive, "_write_dead_letters", fail)
    with pytest.raises(CommandError, match="No space left"):
        archive()
    assert [path.name for path in folder.iterdir()] == ["archive.lock"]


def test_only_one_process_changes_the_archive(time, folder):
    with locked(folder):
        for command in (["archive_notifications"], ["erase_person", "--address", "email=a@example.org", "--yes"]):
            with pytest.raises(CommandError, match="Another process, such as archive_notifications"):
                call_command(*command)
    assert not list(folder.glob("klaxon-*"))
    archive()
    assert list(folder.glob("klaxon-*"))


def test_during_an_erasure_nothing_is_archived(time, folder, monkeypatch):
    monkeypatch.setattr(erase, "_scrub_encrypted", lambda *args: archive())
    with pytest.raises(CommandError, match="Another process"):
        call_command("erase_person", "--address", "email=a@example.org", "--yes", "--vacuum", "none")


def test_dead_letters_that_are_not_archived_are_reported(time, folder, settings):
    ages = {"NOTIFICATIONS": None, "ATTACHMENTS": None, "LOG": None}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {**ages, "ARCHIVE_DIR": str(folder)}}
    with pytest.raises(CommandError, match="not archived: dead letters 1. Run") as kept:
        purge()
    assert kept.value.returncode == 3


def test_what_became_old_since_the_last_archive_is_not_reported(time, folder, settings):
    for _ in range(2):
        archive()
        purge()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {"LOG": 30, "ARCHIVE_DIR": str(folder)}}
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
    Dispatcher().run_until_idle()
    time.forward(days=31)
    purge()
    assert NotificationLog.objects.exists()
    time.forward(days=2)
    with pytest.raises(CommandError, match="not archived: notifications and deliveries 1, log rows 1"):
        purge()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"file": "x"}', '{"file": "x", "ranges": []}', '{"file": 1, "ranges": {}}']
)
def test_a_manifest_in_another_form_is_damaged(time, folder, text):
    (folder / "klaxon-1.json").write_text(text)
    for command in (archive, purge):
        with pytest.raises(CommandError, match="klaxon-1.json cannot be read"):
            command()


def test_a_manifest_that_is_replaced_while_it_is_read_is_read_again(time, folder, monkeypatch):
    archive()
    [path] = folder.glob("*.json")
    whole = path.read_text()
    [data] = folder.glob("*.gz")
    path.write_text(whole.replace(data.name, "gone.jsonl.gz"))
    parse = archive_module._parse_manifest

    def replace(path):
        found = parse(path)
        path.write_text(whole)
        return found

    monkeypatch.setattr(archive_module, "_parse_manifest", replace)
    assert archive_module.read_manifest(path)["file"] == data.name


def test_a_file_without_a_manifest_does_not_count(time, folder):
    archive()
    for path in folder.glob("*.json"):
        path.unlink()
    with pytest.raises(CommandError, match="not archived"):
        purge()


def test_without_a_folder_there_is_an_error_and_a_check(settings):
    with pytest.raises(CommandError, match="There is no archive. Set NOTIFICATIONS"):
        archive()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {"ARCHIVE_DIR": "/nowhere/at/all"}}
    with pytest.raises(CommandError, match="There is no folder /nowhere/at/all"):
        archive()
    [found] = [message for message in checks.run_checks(None) if message.id == "klaxon.E046"]
    assert "/nowhere/at/all" in found.msg


def test_a_log_that_is_shorter_than_notifications_is_reported(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "RETENTION": {"LOG": 10}}
    [found] = [message for message in checks.run_checks(None) if message.id == "klaxon.W025"]
    assert "deleted after 10 days, but notifications are kept for 30 days" in found.msg
    assert not [message for message in checks.run_checks(None) if message.id == "klaxon.E046"]


@pytest.mark.one_database
def test_ranges_contain_exactly_the_numbers_that_were_added():
    ranges, numbers = Ranges(), [1, 2, 3, 7, 9, 10]
    for number in numbers:
        ranges.add(number)
    assert [number for number in range(12) if number in ranges] == numbers
    assert ranges.to_list() == [[1, 3], [7, 7], [9, 10]]


@pytest.mark.one_database
def test_an_empty_writer_leaves_no_file(tmp_path):
    Writer(tmp_path, "x").abandon()
    assert list(tmp_path.iterdir()) == []
