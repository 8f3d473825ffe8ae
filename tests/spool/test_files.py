"""The files of the spool. A record is on the disk as a whole or not at all, even if other processes write or die."""

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


def replay_all(spool, **options):
    """Return the records of a replay that processes all lines."""
    records = []
    with spool.take_segments(**options) as segments:
        for segment in segments:
            for line in segment:
                records.append(line.parse())
                segment.processed = line.end
    return records


def files(spool):
    return sorted(path.name for path in spool.folder.iterdir() if path.suffix != ".lock")


def test_appended_records_are_replayed_in_order_and_once(spool):
    for number in range(3):
        spool.append({**RECORD, "number": number})
    assert replay_all(spool) == [{**RECORD, "number": number} for number in range(3)]
    assert replay_all(spool) == []
    assert files(spool) == []


def test_each_record_is_one_line_of_json_with_a_checksum(spool):
    spool.append(RECORD)
    [line] = spool.current.read_text().splitlines()
    assert json.loads(line)["send"] == RECORD
    assert len(json.loads(line)["sha256"]) == 64


def test_only_the_sending_user_may_read_the_files(spool):
    spool.append(RECORD)
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.current.stat().st_mode) == 0o600


def test_a_record_is_on_the_disk_before_append_returns(spool, monkeypatch):
    """Without a power cut this cannot be seen from outside, so the test replaces fsync."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor)), fsync(descriptor)))
    spool.append(RECORD)
    kinds = ["folder" if stat.S_ISDIR(found.st_mode) else found.st_size for found in synced]
    assert kinds == ["folder", spool.current.stat().st_size, "folder"]
    spool.append(RECORD)
    assert len(synced) == 4, "a file that is there needs no new name"


def test_many_processes_can_append_at_the_same_time(spool):
    script = """
import sys
from notifications.spool.files import Spool
for _ in range(40):
    Spool(sys.argv[1]).append({"n": "x" * 5000})
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(spool.folder)]) for _ in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    assert replay_all(spool) == [{"n": "x" * 5000}] * 240


def test_records_appended_during_a_replay_wait_for_the_next(spool):
    spool.append({"n": 1})
    with spool.take_segments() as [segment]:
        spool.append({"n": 2})
        assert [line.parse() for line in segment] == [{"n": 1}]
        segment.processed = segment.path.stat().st_size
    assert replay_all(spool) == [{"n": 2}]


def test_only_one_replay_runs_at_a_time(spool):
    spool.append(RECORD)
    with spool.take_segments(), pytest.raises(SpoolBusy), Spool(spool.folder).take_segments():
        pass
    assert replay_all(spool) == [RECORD]


def test_a_replay_that_ends_early_keeps_unprocessed_lines(spool):
    for number in range(3):
        spool.append({"n": number})
    with spool.take_segments() as [segment]:
        segment.processed = next(iter(segment)).end
    spool.append({"n": 3})
    assert replay_all(spool) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_folder_that_does_not_exist_is_empty(spool):
    assert replay_all(spool) == []
    assert list(spool.read_lines()) == []


class TestDamage:
    def test_a_line_is_incomplete_if_its_process_died_and_the_next_is_valid(self, spool):
        spool.append({"n": 1})
        with spool.current.open("ab") as file:
            file.write(b'{"send": {"n": 2')
        assert [line.is_incomplete for line in spool.read_lines()] == [False, True]
        spool.append({"n": 3})
        first, second, third = spool.read_lines()
        assert (first.parse(), third.parse()) == ({"n": 1}, {"n": 3})
        with pytest.raises(SpoolDamaged):
            second.parse()

    def test_a_line_that_lacks_only_its_newline_is_valid(self, spool):
        spool.append({"n": 1})
        spool.current.write_bytes(spool.current.read_bytes().rstrip())
        [line] = spool.read_lines()
        assert not line.is_incomplete
        assert line.parse() == {"n": 1}

    @pytest.mark.parametrize(
        "text",
        [b"\n", b"nonsense\n", b"[]\n", b'"send"\n', b"null\n", b'{"send": {}}\n', b"\xff\xfe\n", b'{"rejected": 1}\n'],
    )
    def test_a_line_that_is_not_a_record_is_damaged(self, spool, text):
        spool.append(RECORD)
        spool.current.write_bytes(text)
        [line] = spool.read_lines()
        with pytest.raises(SpoolDamaged):
            line.parse()

    def test_a_changed_letter_is_detected(self, spool):
        spool.append(RECORD)
        spool.current.write_bytes(spool.current.read_bytes().replace(b"order_shipped", b"order_skipped"))
        [line] = spool.read_lines()
        with pytest.raises(SpoolDamaged, match="checksum"):
            line.parse()

    def test_a_rejected_line_keeps_its_reason_and_can_be_replayed_again(self, spool):
        spool.append(RECORD)
        [line] = spool.read_lines()
        spool.reject(line, "no such event", "2026-11-20T12:00:00+00:00")
        assert json.loads(spool.rejected.read_text())["rejected"] == "no such event"
        spool.current.unlink()
        assert replay_all(spool) == []
        assert replay_all(spool, include_rejected=True) == [RECORD]
        assert files(spool) == []

    def test_a_damaged_line_keeps_its_bytes(self, spool):
        spool.append(RECORD)
        spool.current.write_bytes(b"\xff\xfe{\n")
        [line] = spool.read_lines()
        spool.reject(line, "damaged", "now")
        kept = json.loads(spool.rejected.read_text())["line"]
        assert kept.encode("utf-8", "surrogateescape") == b"\xff\xfe{"


def test_without_disk_space_nothing_is_written_and_earlier_lines_stay_valid(spool):
    """A limit on the size of files simulates a full disk. The write really ends early."""
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
    assert replay_all(spool) == [{"n": 1}, {"n": 2}]


class TestFindFault:
    def test_a_folder_that_can_be_made_has_none(self, spool):
        assert spool.find_fault() == ""
        spool.append(RECORD)
        assert spool.find_fault() == ""

    def test_a_file_in_its_place_or_above_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "spool"):
            assert "is not a folder" in Spool(path).find_fault()

    @pytest.mark.skipif("os.getuid() == 0", reason="root may write anywhere")
    def test_a_folder_of_another_user_is_named(self):
        assert "may not write" in Spool("/proc/spool").find_fault()
