"""Write recordings of a bus."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

from notifications.can.frame import Frame

START = 1_700_000_000.0
DM_RV_FROM_44 = 0x19FECA44

TWO_FAULTS = """\
(1700000000.000000) can0 19FECA44#154500106102FFFF
(1700000001.000000) can0 19FECA44#454501032001FFFF
(1700000002.000000) can0 19FECA44#154500106103FFFF
(1700000007.000000) can0 19FECA44#0545FFFFFFFFFFFF
"""


def frame(data: str, after: float = 0.0, arbitration_id: int = DM_RV_FROM_44, bus: str = "can0", **flags: Any) -> Frame:
    return Frame(START + after, bus, arbitration_id, bytes.fromhex(data), **flags)


def parse(line: str) -> Frame:
    """Read a line such as ``(1700000000.0) can0 19FECA44#1545``."""
    timestamp, bus, rest = line.split()
    identifier, _hash, data = rest.partition("#")
    return Frame(float(timestamp.strip("()")), bus, int(identifier, 16), bytes.fromhex(data), len(identifier) == 8)


def write(folder: Path, text: str, name: str = "coach.log") -> Path:
    path = folder / name
    path.write_text(text, encoding="ascii")
    return path


def bridge(**options: Any) -> tuple[str, str]:
    """What ``bridge_can`` printed on standard output and on standard error."""
    out, err = StringIO(), StringIO()
    call_command("bridge_can", stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def faults(**options: Any) -> list[dict[str, Any]]:
    out, _err = bridge(json=True, dry_run=True, **options)
    return [json.loads(line) for line in out.splitlines()]
