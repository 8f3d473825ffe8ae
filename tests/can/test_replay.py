import gzip
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import CommandError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.can import recordings
from notifications.can.tally import Tally
from notifications.exceptions import RecordingUnreadable
from tests.can.candump import TWO_FAULTS, bridge, faults, write

pytestmark = pytest.mark.needs("can")

RAISED = {"kind": "raised", "protocol": "rvc", "bus": "can0", "source_address": 68, "dsa": 69}
CLEARED = {**RAISED, "kind": "cleared", "at": "2023-11-14T22:13:27+00:00"}
SPN_131 = {"instance": None, "spn": 131, "fmi": 1, "lamps": ["yellow"]}
SPN_9 = {"instance": 3, "spn": 9, "fmi": 0, "lamps": ["red"], "count": 1}
EXPECTED = [
    {**RAISED, **SPN_131, "count": 2, "at": "2023-11-14T22:13:20+00:00"},
    {**RAISED, **SPN_9, "at": "2023-11-14T22:13:21+00:00"},
    {**CLEARED, **SPN_131, "count": 3},
    {**CLEARED, **SPN_9},
]

TRC = """\
;$FILEVERSION=1.1
;$STARTTIME=45244.9259259259
;
     1)         0.0  Rx     19FECA44  8  15 45 00 10 61 02 FF FF
     2)      1000.0  Rx     19FECA44  8  05 45 FF FF FF FF FF FF
"""
ASC = """\
date Tue Nov 14 22:13:20.000 2023
base hex  timestamps absolute
internal events logged
   0.000000 1  19FECA44x       Rx   d 8 15 45 00 10 61 02 FF FF
   1.000000 1  19FECA44x       Rx   d 8 05 45 FF FF FF FF FF FF
"""


def test_two_faults_are_raised_and_cleared(tmp_path):
    path = write(tmp_path, TWO_FAULTS)
    assert faults(replay=str(path)) == EXPECTED
    assert faults(replay=path) == EXPECTED


def test_with_json_the_summary_is_on_standard_error(tmp_path):
    out, err = bridge(replay=write(tmp_path, TWO_FAULTS), dry_run=True, json=True)
    assert out.count("\n") == 4
    assert err.startswith("4 frames read, 0 malformed, 2 faults raised, 2 cleared, 0 notifications queued")


def test_without_json_it_prints_sentences(tmp_path):
    out, err = bridge(replay=write(tmp_path, TWO_FAULTS), dry_run=True)
    assert "fault raised at device 0x45: SPN 131 below the normal range (FMI 1), yellow lamp" in out
    assert out.splitlines()[-1].startswith("4 frames read")
    assert err == ""


def test_faults_that_stand_at_the_end_come_before_the_summary(tmp_path):
    out, _err = bridge(replay=write(tmp_path, TWO_FAULTS.splitlines()[0]), dry_run=True)
    _raised, standing, summary = out.splitlines()
    assert standing.startswith("Still open: 2023-11-14 22:13:20 UTC can0: fault raised at device 0x45")
    assert summary.startswith("1 frames read")


@pytest.mark.parametrize(
    "damaged",
    [
        "(1700000003.000000) can0 19FECA44#1545001",
        "(1700000003.000000) can0 19FECA4",
        "(1700000003.0000",
        "(1700000003.000000) can0 19FECA44#ZZ",
        "\x00\x01\x02",
        "(99999999999999999.0) can0 19FECA44#154500106102FFFF",
        "(1700000003.000000) can0 19FECA44#154500106102FFFF R T",
        "(1700000003.000000) can0 19FECA44#154500106102FFFF\tR",
    ],
)
def test_a_damaged_line_is_counted_and_skipped(tmp_path, damaged):
    lines = TWO_FAULTS.splitlines()
    path = write(tmp_path, "\n".join([*lines[:3], damaged, *lines[3:]]))
    out, err = bridge(replay=path, dry_run=True, json=True)
    assert out.count("\n") == 4
    assert "4 frames read, 1 malformed" in err


def test_a_truncated_recording_is_read_up_to_its_end(tmp_path):
    _out, err = bridge(replay=write(tmp_path, TWO_FAULTS[:-12]), dry_run=True, json=True)
    assert "3 frames read, 1 malformed, 2 faults raised" in err


def test_lines_can_end_with_a_direction(tmp_path):
    text = TWO_FAULTS.replace("FFFF\n", "FFFF R\n", 2).replace("03FFFF\n", "03FFFF T\n")
    assert faults(replay=write(tmp_path, text)) == EXPECTED


def test_invalid_bytes_are_a_damaged_line(tmp_path):
    path = tmp_path / "coach.log"
    path.write_bytes(b"\xff\xfe\x80 \xc3\n" + TWO_FAULTS.encode())
    assert faults(replay=path) == EXPECTED


def test_a_file_without_line_ends_is_read_in_parts(tmp_path):
    path = write(tmp_path, TWO_FAULTS + "x" * 1_000_000)
    assert faults(replay=path) == EXPECTED


@pytest.mark.parametrize(
    "line",
    ["123#154500106102FFFF", "19FECA44#R", "20000004#0000000000000000", "39FECA44#154500106102FFFF"],
)
def test_standard_remote_and_error_frames_are_ignored(tmp_path, line):
    _out, err = bridge(replay=write(tmp_path, f"(1700000000.000000) can0 {line}\n"), dry_run=True, json=True)
    assert "1 frames read, 0 malformed, 0 faults raised" in err
    assert "1 frames ignored" in err


def test_a_compressed_recording_is_read(tmp_path):
    path = tmp_path / "coach.log.gz"
    path.write_bytes(gzip.compress(b"(170000\n" + TWO_FAULTS.encode()))
    assert faults(replay=path) == EXPECTED


@pytest.mark.parametrize(("name", "text"), [("coach.trc", TRC), ("coach.asc", ASC), ("COACH.TRC", TRC)])
def test_other_formats_are_read(tmp_path, name, text):
    found = faults(replay=write(tmp_path, text, name))
    assert [(fault["kind"], fault["spn"]) for fault in found] == [("raised", 131), ("cleared", 131)]


def test_the_time_of_a_trc_comes_from_its_header(tmp_path):
    [raised, _cleared] = faults(replay=write(tmp_path, TRC, "coach.trc"))
    assert raised["at"].startswith("2023-11-14T22:13:")


def test_a_header_in_another_encoding_does_not_matter(tmp_path):
    path = tmp_path / "coach.trc"
    path.write_bytes(b";   C:\\Ger\xe4te\\Spur.trc\n" + TRC.encode())
    assert len(faults(replay=path)) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("coach.xyz", b"", "unknown log format"),
        ("coach", b"", "unknown log format"),
        ("coach.log", b"dear diary\n", "no frame in the format of its file extension"),
        ("coach.trc", bytes(range(256)) * 20, "no frame in the format of its file extension"),
        ("coach.asc", bytes(range(256)) * 20, "no frame in the format of its file extension"),
        ("coach.log.gz", b"not compressed", "cannot be read after 0 frames"),
        ("coach.log.gz", gzip.compress(TWO_FAULTS.encode() * 100)[:-20], "cannot be read after"),
        ("coach.blf", b"not a blf", "cannot be read after 0 frames"),
        ("coach.mf4", b"not an mf4", "cannot be read after 0 frames"),
    ],
)
def test_a_file_that_is_not_a_recording_is_an_error(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CommandError, match=words):
        bridge(replay=tmp_path / name, dry_run=True)


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(CommandError, match="There is no recording"):
        bridge(replay=tmp_path / "none.log", dry_run=True)
    with pytest.raises(CommandError, match="cannot be read"):
        bridge(replay=tmp_path, dry_run=True)


@pytest.mark.parametrize("suffix", [".log", ".log.gz", ".trc", ".asc", ".csv", ".blf", ".db"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(content=st.one_of(st.binary(max_size=300), st.text(st.sampled_from("()0123456789. #;$RTcanx\n"), max_size=300)))
def test_an_arbitrary_file_is_read_or_refused(tmp_path, suffix, content):
    path = tmp_path / f"anything{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with suppress(RecordingUnreadable):
        list(recordings.read_frames(path, Tally()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Give either --replay FILE or --interface"),
        ({"option": ["host"]}, "must be NAME=VALUE"),
        ({"replay": "x.log", "option": ["host=x"]}, "require --interface"),
        ({"replay": "x.log", "speed": 0.0}, "--speed must be more than 0"),
        ({"interface": "virtual", "speed": 1.0}, "--speed requires --replay"),
        ({"interface": "virtual", "watch": True, "json": True}, "allows neither --json nor --stats"),
        ({"replay": "x.log", "interface": "virtual"}, "not both"),
        ({"replay": "x.log", "seconds": 5.0}, "require --interface"),
        ({"replay": "x.log", "channel": "can0"}, "require --interface"),
        ({"interface": "virtual", "seconds": 0.0}, "must be more than 0"),
        ({"replay": "x.log", "clear_after": 14.9}, "must be at least 15"),
        ({"replay": "x.log", "clear_after": float("nan")}, "must be at least 15"),
    ],
)
def test_options_that_contradict_each_other_are_errors(options, words):
    with pytest.raises(CommandError, match=words):
        bridge(dry_run=True, **options)


def test_a_replay_can_have_the_recorded_speed(tmp_path):
    path = write(tmp_path, TWO_FAULTS)
    began = time.monotonic()
    assert faults(replay=path, speed=20.0) == EXPECTED
    assert 7.0 / 20 <= time.monotonic() - began < 2.0


def test_a_replay_stops_on_a_signal(tmp_path):
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(CommandError, match="stopped before the end of the recording"):
        faults(replay=write(tmp_path, TWO_FAULTS), speed=0.01)
    timer.join()


def test_clear_after_is_the_silence_that_clears(tmp_path):
    text = "\n".join(TWO_FAULTS.splitlines()[:1] + ["(1700000059.000000) can0 19FFFD44#FFFFFFFFFFFFFFFF"])
    path = write(tmp_path, text)
    assert len(faults(replay=path)) == 2
    assert len(faults(replay=path, clear_after=60.0)) == 1


RECORDINGS = sorted(
    path
    for path in Path(os.environ.get("KLAXON_RECORDINGS") or os.devnull).glob("*")
    if path.suffix in (".log", ".trc")
)

if RECORDINGS:

    @pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
    def test_recordings_without_an_rv_c_fault_raise_nothing(path):
        """``KLAXON_RECORDINGS`` names a folder of them. Those with DM1 in their names contain one J1939 fault."""
        tally = Tally()
        assert len(faults(replay=path)) == ("dm1" in path.name)
        assert list(recordings.read_frames(path, tally))
        assert tally.malformed == 0
