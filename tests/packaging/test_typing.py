"""``mypy --strict`` of a site that uses the package reports wrong calls, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).with_name("typed_site.py")
ERROR = re.compile(r"typed_site\.py:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


@pytest.mark.needs("mypy", "mypy_django_plugin")
def test_mypy_reports_exactly_the_wrong_calls(tmp_path):
    site = tmp_path / "typed_site.py"
    site.write_text(SITE.read_text())
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", "--no-pretty"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, site.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    wrong = [line.partition("# wrong: ") for line in site.read_text().splitlines()]
    expected = [(number, kind) for number, (_, _, kind) in enumerate(wrong, 1) if kind]
    assert [(int(number), kind) for number, kind in ERROR.findall(done.stdout)] == expected, done.stdout + done.stderr
