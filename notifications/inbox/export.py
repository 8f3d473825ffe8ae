"""The export of a user's items as CSV or JSON. It is streamed, so memory does not depend on the number of items."""

import csv
import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async

from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.models.inbox import InboxQuerySet
from notifications.storage.chunks import iterate_in_chunks

COLUMNS = (
    "id", "created_at", "event", "cluster_id", "priority", "topic", "actor_name", "title", "body", "url", "read_at",
    "archived_at", "snoozed_until", "action_taken",
)  # fmt: skip
HEADINGS = (
    "id", "created_at", "event", "cluster", "priority", "topic", "actor", "title", "text", "url", "read_at",
    "archived_at", "snoozed_until", "action_taken",
)  # fmt: skip
LINES_PER_READ = 500
# A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
BYTE_ORDER_MARK = "\ufeff"
"""Lets spreadsheets read the file as UTF-8."""


def export_csv(items: InboxQuerySet, cluster_names: dict[Any, str]) -> Iterator[str]:
    """Yield the lines of a CSV file of the items, in the order of their ids."""
    writer = csv.writer(Echo())
    yield BYTE_ORDER_MARK + writer.writerow(HEADINGS)
    for record in _iterate_records(items, cluster_names):
        yield writer.writerow([neutralize_formula(_format_cell(value)) for value in record.values()])


def export_json(items: InboxQuerySet, cluster_names: dict[Any, str]) -> Iterator[str]:
    """Yield the parts of a JSON array of the items, in the order of their ids."""
    separator = "["
    for record in _iterate_records(items, cluster_names):
        values = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in record.items()}
        yield f"{separator}\n{json.dumps(values, ensure_ascii=False)}"
        separator = ","
    yield "[]\n" if separator == "[" else "\n]\n"


async def iterate_in_thread(lines: Iterator[str]) -> AsyncIterator[str]:
    """Yield the same text from async code. An ASGI server would collect all lines of an ordinary iterator first."""

    def read() -> str:
        return "".join(islice(lines, LINES_PER_READ))

    while text := await sync_to_async(read)():
        yield text


class Echo:
    """A file whose ``write()`` returns the text, so that a CSV writer returns its lines."""

    def write(self, text: str) -> str:
        return text


def neutralize_formula(text: str) -> str:
    """Return the text of a cell, with an apostrophe before it if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(FORMULA_STARTS[:4]) else text


def _iterate_records(items: InboxQuerySet, cluster_names: dict[Any, str]) -> Iterator[dict[str, Any]]:
    for values in iterate_in_chunks(items, *COLUMNS):
        record = dict(zip(HEADINGS, values, strict=True))
        event = NOTIFICATION_EVENTS.named(record["event"])
        record["event"] = event.words if event else record["event"]
        record["cluster"] = cluster_names.get(record["cluster"], str(record["cluster"]))
        record["priority"] = NotificationPriority(record["priority"]).name.lower()
        yield record


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
