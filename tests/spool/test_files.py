"""The files of the spool: what was kept is on the disk, whole or not at all, whoever else writes or dies."""

import json
import os
import stat
import subprocess
import sys

import pytest

from notifications.exceptions import SpoolBusy, SpoolDamaged
from notifications.spool.files import Spool

RECORD = {"event": "order_shipped", "words": "schön\u2028\n", "number": 0.1}


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "deep" / "spool")


def taken(spool, again=False):
    """The records of a replay that finishes everything."""
    found = []
    with spool.replaying(again) as segments:
        for segment in segments:
            for line in segment:
                found.append(line.record())
                segment.done = line.end
    return found


def files(spool):
    return sorted(path.name for path in spool.folder.iterdir() if path.suffix != ".lock")


def test_what_is_appended_comes_back_in_order_and_only_once(spool):
    for number in range(3):
        spool.append({**RECORD, "number": number})
    assert taken(spool) == [{**RECORD, "number": number} for number in range(3)]
    assert taken(spool) == []
    assert files(spool) == []


def test_each_record_is_one_line_of_json_with_a_checksum(spool):
    spool.append(RECORD)
    [line] = spool.current.read_text().splitlines()
    assert json.loads(line)["send"] == RECORD
    assert len(json.loads(line)["sha256"]) == 64


def test_only_the_user_that_sends_may_read_it(spool):
    spool.append(RECORD)
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.current.stat().st_mode) == 0o600


def test_it_is_on_the_disk_before_it_is_said_to_be_kept(spool, monkeypatch):
    """The one thing that cannot be seen from outside without cutting the power."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor)), fsync(descriptor)))
    spool.append(RECORD)
    kinds = ["folder" if stat.S_ISDIR(found.st_mode) else found.st_size for found in synced]
    assert kinds == ["folder", spool.current.stat().st_size, "folder"]
    spool.append(RECORD)
    assert len(synced) == 4, "a file that is there needs no new name"


def test_many_processes_append_at_once_and_no_line_is_harmed(spool):
    script = """
import sys
from notifications.spool.files import Spool
for _ in range(40):
    Spool(sys.argv[1]).append({"n": "x" * 5000})
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(spool.folder)]) for _ in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    assert taken(spool) == [{"n": "x" * 5000}] * 240


def test_what_is_appended_while_another_replays_waits_for_the_next(spool):
    spool.append({"n": 1})
    with spool.replaying() as [segment]:
        spool.append({"n": 2})
        assert [line.record() for line in segment] == [{"n": 1}]
        segment.done = segment.path.stat().st_size
    assert taken(spool) == [{"n": 2}]


def test_only_one_replays_at_a_time(spool):
    spool.append(RECORD)
    with spool.replaying(), pytest.raises(SpoolBusy), Spool(spool.folder).replaying():
        pass
    assert taken(spool) == [RECORD]


def test_a_replay_that_ends_early_keeps_what_it_did_not_come_to(spool):
    for number in range(3):
        spool.append({"n": number})
    with spool.replaying() as [segment]:
        segment.done = next(iter(segment)).end
    spool.append({"n": 3})
    assert taken(spool) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_folder_that_nobody_has_written_to_holds_nothing(spool):
    assert taken(spool) == []
    assert list(spool.waiting()) == []


class TestDamage:
    def test_a_line_whose_writer_died_is_torn_and_the_next_is_whole(self, spool):
        spool.append({"n": 1})
        with spool.current.open("ab") as file:
            file.write(b'{"send": {"n": 2')
        assert [line.is_torn for line in spool.waiting()] == [False, True]
        spool.append({"n": 3})
        first, second, third = spool.waiting()
        assert (first.record(), third.record()) == ({"n": 1}, {"n": 3})
        with pytest.raises(SpoolDamaged):
            second.record()

    def test_a_line_that_lacks_only_its_end_is_whole(self, spool):
        spool.append({"n": 1})
        spool.current.write_bytes(spool.current.read_bytes().rstrip())
        [line] = spool.waiting()
        assert not line.is_torn
        assert line.record() == {"n": 1}

    @pytest.mark.parametrize(
        "text",
        [b"\n", b"nonsense\n", b"[]\n", b'"send"\n', b"null\n", b'{"send": {}}\n', b"\xff\xfe\n", b'{"rejected": 1}\n'],
    )
    def test_what_is_no_line_of_a_spool_is_damaged(self, spool, text):
        spool.append(RECORD)
        spool.current.write_bytes(text)
        [line] = spool.waiting()
        with pytest.raises(SpoolDamaged):
            line.record()

    def test_a_flipped_letter_is_found(self, spool):
        spool.append(RECORD)
        spool.current.write_bytes(spool.current.read_bytes().replace(b"order_shipped", b"order_skipped"))
        [line] = spool.waiting()
        with pytest.raises(SpoolDamaged, match="checksum"):
            line.record()

    def test_what_was_rejected_keeps_its_reason_and_can_be_replayed_again(self, spool):
        spool.append(RECORD)
        [line] = spool.waiting()
        spool.reject(line, "no such event", "2026-11-20T12:00:00+00:00")
        assert json.loads(spool.rejected.read_text())["rejected"] == "no such event"
        spool.current.unlink()
        assert taken(spool) == []
        assert taken(spool, again=True) == [RECORD]
        assert files(spool) == []

    def test_what_was_rejected_as_damaged_keeps_its_very_bytes(self, spool):
        spool.append(RECORD)
        spool.current.write_bytes(b"\xff\xfe{\n")
        [line] = spool.waiting()
        spool.reject(line, "damaged", "now")
        kept = json.loads(spool.rejected.read_text())["line"]
        assert kept.encode("utf-8", "surrogateescape") == b"\xff\xfe{"


def test_where_there_is_no_room_nothing_is_kept_and_what_was_kept_stays_whole(spool):
    """A limit on the size of files stands for the disk; the write is cut short for real."""
    script = """
import resource, signal, sys
from notifications.spool.files import Spool
spool = Spool(sys.argv[1])
spool.append({"n": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    spool.append({"n": "x" * 1000})
except OSError:
    spool.append({"n": 2})
"""
    assert subprocess.run([sys.executable, "-c", script, str(spool.folder)], check=False).returncode == 0
    assert taken(spool) == [{"n": 1}, {"n": 2}]


class TestFault:
    def test_a_folder_that_can_be_made_has_none(self, spool):
        assert spool.fault() == ""
        spool.append(RECORD)
        assert spool.fault() == ""

    def test_a_file_in_its_place_or_above_is_told(self, tmp_path):
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "spool"):
            assert "is no folder" in Spool(path).fault()

    @pytest.mark.skipif("os.getuid() == 0", reason="root may write anywhere")
    def test_a_folder_of_somebody_else_is_told(self):
        assert "may not write" in Spool("/proc/spool").fault()
