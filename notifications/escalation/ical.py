"""Calendars in the format of RFC 5545, as far as shifts need it: events with a start, an end and a summary."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_LINE_BYTES = 75
ESCAPES = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n", "\r": None})


@dataclass(frozen=True)
class CalendarEvent:
    """An event. The same ``uid`` replaces the event in calendars that have it already."""

    uid: str
    start: datetime
    end: datetime
    summary: str


def build_calendar(name: str, events: Iterable[CalendarEvent], now: datetime) -> bytes:
    """Return a calendar with these events (RFC 5545, 3.4 and 3.6.1).

    :param now: the time at which it is made, which every event carries.
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//django-klaxon//rotas//EN", "CALSCALE:GREGORIAN"]
    lines += ["METHOD:PUBLISH", f"X-WR-CALNAME:{escape_text(name)}", "REFRESH-INTERVAL;VALUE=DURATION:PT1H"]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{escape_text(event.uid)}",
            f"DTSTAMP:{format_utc(now)}",
            f"DTSTART:{format_utc(event.start)}",
            f"DTEND:{format_utc(event.end)}",
            f"SUMMARY:{escape_text(event.summary)}",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return b"".join(fold(line) for line in lines)


def escape_text(text: str) -> str:
    """Return a value of the type TEXT (RFC 5545, 3.3.11), without control characters."""
    return "".join(char for char in text.translate(ESCAPES) if char >= " " and char != "\x7f")


def format_utc(moment: datetime) -> str:
    """Return a time in UTC (RFC 5545, 3.3.5, form 2)."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def fold(line: str) -> bytes:
    """Return a content line, folded so that no line has more than 75 bytes and no character is cut (RFC 5545, 3.1)."""
    return b"\r\n ".join(_split(line)) + b"\r\n"


def _split(line: str) -> Iterator[bytes]:
    part, limit = b"", MAX_LINE_BYTES
    for char in line:
        encoded = char.encode()
        if len(part) + len(encoded) > limit:
            yield part
            # The space before a continued line counts.
            part, limit = b"", MAX_LINE_BYTES - 1
        part += encoded
    yield part
