"""The table of docs/channels/http-answers.md is what each channel does."""

from pathlib import Path

import pytest

from tests.channels.http_matrix import CHANNELS, TROUBLES, measure
from tests.channels.http_services import http_service

pytestmark = [pytest.mark.needs("google", "requests"), pytest.mark.one_database]
PAGE = Path(__file__).parents[2] / "docs/channels/http-answers.md"


def read_table():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head, _rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return head, {row[0].strip("`"): row[1:] for row in rows}


def test_the_table_names_every_channel_and_answer():
    head, rows = read_table()
    assert head == ["channel", "2xx", *TROUBLES, "no connection"]
    assert list(rows) == [row.name for row in CHANNELS]


@pytest.mark.parametrize("row", CHANNELS, ids=lambda row: row.name)
@pytest.mark.django_db
def test_a_channel_does_what_the_table_says(row):
    with http_service(row.success) as service:
        assert measure(row, service) == read_table()[1][row.name]
