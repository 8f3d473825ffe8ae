"""A formatter that writes each record of the log as one line of JSON, without addresses.

For the setting ``LOGGING``::

    "formatters": {"json": {"()": "notifications.monitoring.logging.JSONFormatter"}}
"""

import json
import logging
import math
import re
from datetime import UTC, datetime
from typing import Any

from notifications.core.addresses import mask_addresses

CORRELATION = ("correlation_id", "notification_id", "delivery_id", "event", "channel", "provider", "worker")
"""The names of ``extra`` that become keys of their own."""
SECRET_NAME = re.compile(r"pass(word|wd)|secret|token|api_?key|authorization|cookie|credential|private|\bdsn\b", re.I)
# The lengths are bounded, so that a long text without spaces is not read again and again.
SECRET_IN_TEXT = re.compile(
    r"(?P<name>(?:pass(?:word|wd)|secret|token|api_?key|authorization|cookie)\w{0,40}+[\"']?\s{0,8}+[=:]\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|(?:Bearer|Basic)\s+\S+|[^\s,;&\"'}]+)",
    re.I,
)
USER_IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,30}+://)[^\s/@]{1,500}+@", re.I)
QUERY_IN_URL = re.compile(r"(?P<start>[a-z][a-z0-9+.-]{0,30}+://[^\s?#]{1,2000}+)\?[^\s\"']*", re.I)
HIDDEN = "***"
MAX_DEPTH = 5
MAX_NUMBER = 2**63
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JSONFormatter(logging.Formatter):
    """Writes ``time``, ``level``, ``logger``, ``message``, the correlation ids, ``extra`` and ``exception``.

    Addresses are masked, and the values of names such as ``password`` and the queries of URLs are hidden. A value that
    is not JSON is written as its text. No value makes a record get lost: one that has no text is named by its type.
    """

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": clean_text(_get_message(record)),
        }
        given = {name: value for name, value in vars(record).items() if name not in STANDARD}
        found |= {name: _clean(given.pop(name), name) for name in CORRELATION if name in given}
        if given:
            found["extra"] = _clean(given)
        if record.exc_info and record.exc_info[0] is not None:
            found["exception"] = clean_text(self.formatException(record.exc_info))
        elif record.exc_text:
            found["exception"] = clean_text(record.exc_text)
        if record.stack_info:
            found["stack"] = clean_text(self.formatStack(record.stack_info))
        # Halves of surrogate pairs, as in the names of some files, become escapes of JSON.
        return json.dumps(found, ensure_ascii=False).encode(errors="backslashreplace").decode()


def _get_message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong call of the logger, or an argument without a text, loses no record
        return f"{_get_text(record.msg)} {_get_text(record.args)}"


def _get_text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the method of a class of the site may raise anything
        return f"<{type(value).__name__} without a text>"


def clean_text(text: str) -> str:
    """Return a text with masked addresses, and without passwords, tokens and the queries of URLs."""
    hidden = SECRET_IN_TEXT.sub(lambda match: f"{match['name']}{HIDDEN}", text)
    hidden = USER_IN_URL.sub(lambda match: f"{match['scheme']}{HIDDEN}@", hidden)
    hidden = QUERY_IN_URL.sub(lambda match: f"{match['start']}?{HIDDEN}", hidden)
    return mask_addresses(hidden)


def _clean(value: Any, name: str = "", depth: int = 0) -> Any:
    if name and SECRET_NAME.search(name):
        return HIDDEN
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < MAX_NUMBER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth >= MAX_DEPTH:
        return HIDDEN
    if isinstance(value, dict):
        texts = [(_get_text(key), item) for key, item in dict.items(value)]
        return {clean_text(key): _clean(item, key, depth + 1) for key, item in texts}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, "", depth + 1) for item in value]
    return clean_text(_get_text(value))
