"""Pages of a list, by a cursor that names the last row of a page.

Rows are sorted by values that never change and end in a unique number. So a row that exists when the first page is read
is on exactly one page, whatever is added or changed meanwhile.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from notifications.api.problems import Problem
from notifications.inbox.filtering import EPOCH

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
MAX_NUMBER = 2**63 - 1


class Page(NamedTuple):
    """The rows of a page, and the cursor of the next page; None on the last page."""

    rows: list[Any]
    next_cursor: str | None


def encode_cursor(name: str, *numbers: int) -> str:
    """Return a cursor of a list. Its content is no secret; clients should not rely on it."""
    return base64.urlsafe_b64encode(json.dumps([name, *numbers]).encode()).decode().rstrip("=")


def decode_cursor(name: str, text: str, count: int) -> list[int]:
    """Return the numbers of a cursor.

    :raises Problem: if it is not a cursor of this list.
    """
    try:
        found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    is_of_list = isinstance(found, list) and len(found) == count + 1 and found[0] == name
    numbers: list[int] = found[1:] if is_of_list else []
    if not is_of_list or not all(type(number) is int and abs(number) <= MAX_NUMBER for number in numbers):
        raise Problem("invalid", errors=[{"location": "query.cursor", "message": "This is not a cursor of this list."}])
    return numbers


def paginate_by_id(name: str, rows: QuerySet[Any], cursor: str | None, limit: int) -> Page:
    """Return a page of rows in the order of their ids, the newest first. It takes one query."""
    if cursor is not None:
        [last] = decode_cursor(name, cursor, 1)
        rows = rows.filter(pk__lt=last)
    return cut_page(name, rows.order_by("-pk"), limit, lambda row: (row.pk,))


def paginate_by_time(name: str, rows: QuerySet[Any], cursor: str | None, limit: int) -> Page:
    """Return a page of rows with ``created_at``, the newest first. It takes one query."""
    if cursor is not None:
        microseconds, last = decode_cursor(name, cursor, 2)
        rows = rows.filter(is_after(microseconds, last))
    return cut_page(name, rows.order_by("-created_at", "-pk"), limit, lambda row: (to_number(row.created_at), row.pk))


def is_after(microseconds: int, last: int) -> Q:
    """Return the condition of the rows that follow a row in the order of their times, the newest first.

    :raises Problem: if the time does not exist.
    """
    try:
        time = EPOCH + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise Problem("invalid", errors=[{"location": "query.cursor", "message": "It is not a cursor."}]) from error
    return Q(created_at__lte=time) & (Q(created_at__lt=time) | Q(pk__lt=last))


def to_number(time: datetime) -> int:
    """Return the microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def cut_page(name: str, rows: Iterable[Any], limit: int, get_place: Callable[[Any], tuple[int, ...]]) -> Page:
    """Return the first rows, which must be one more than fit if there is another page.

    :param name: the name of the list, which its cursors contain.
    """
    found = list(rows[: limit + 1])  # type: ignore[index]
    has_more, found = len(found) > limit, found[:limit]
    return Page(found, encode_cursor(name, *get_place(found[-1])) if has_more else None)
