"""The export: complete, streamed, and harmless to spreadsheets."""

import csv
import io
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncRequestFactory, Client
from django.test.utils import CaptureQueriesContext

from notifications.inbox.export import neutralize_formula
from notifications.inbox.views import ExportCSV
from notifications.storage import chunks


def read(browser: Client, kind: str, **query: str) -> Any:
    text = browser.get(f"/notifications/inbox/export.{kind}", query).getvalue().decode()
    return json.loads(text) if kind == "json" else list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_it_has_the_items_of_the_user_that_the_filters_select(
    kind: str, browser: Client, ann: User, bob: User, put: Any
) -> None:
    put(ann, title="Fire", body="Line 1\nLine 2")
    put(ann, title="Flood", topic="water")
    put(bob, title="Secret")
    assert [row["title"] for row in read(browser, kind)] == ["Fire", "Flood"]
    assert [row["title"] for row in read(browser, kind, topic="water")] == ["Flood"]
    assert read(browser, kind)[0]["text"] == "Line 1\nLine 2"
    assert read(browser, kind, q="nothing") == []


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝"])
def test_a_formula_is_neutralized(start: str, browser: Client, ann: User, put: Any) -> None:
    text = f"{start}HYPERLINK(1)"
    put(ann, title=text)
    assert read(browser, "csv")[0]["title"] == f"'{text}"
    assert read(browser, "json")[0]["title"] == text


def test_an_ordinary_text_is_unchanged() -> None:
    assert neutralize_formula("Order 7 = paid") == "Order 7 = paid"


def test_it_reads_the_items_in_chunks(browser: Client, ann: User, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks.iterate_in_chunks, "__kwdefaults__", {"size": 10})
    put(ann, 25)
    with CaptureQueriesContext(connection) as captured:
        assert len(read(browser, "json")) == 25
    assert sum("LIMIT 10" in query["sql"] for query in captured) == 3


def test_an_asgi_server_gets_it_in_parts(ann: User, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.inbox.export.LINES_PER_READ", 10)
    put(ann, 25)
    request = AsyncRequestFactory().get("/notifications/inbox/export.csv")
    request.user = ann
    response: Any = ExportCSV.as_view()(request)
    assert response.is_async

    async def read_all() -> list[bytes]:
        return [part async for part in response]

    parts = async_to_sync(read_all)()
    assert [part.count(b"\n") for part in parts] == [10, 10, 6]
