"""Delivery windows: a row for each, with its channel, its hours and the days of the week.

The value has the form of the column: ``{"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}``.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import count, takewhile
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext_lazy as _

from notifications.core.hours import DAYS, EVERY_DAY, parse_windows
from notifications.models.preferences import normalize_keys
from notifications.models.validation import EVERY
from notifications.preference_centre.widgets.names import get_channel_name, list_channels

BLANK_ROWS = 2


class WindowRow(NamedTuple):
    """A row of the widget. ``days`` are empty if the window is open on every day."""

    channel: str = ""
    start: str = ""
    end: str = ""
    days: tuple[str, ...] = ()

    @property
    def is_blank(self) -> bool:
        return not (self.start or self.end)


class WindowsWidget(forms.Widget):
    """Rows of windows, with rows for further ones. A row without hours is removed.

    :param channels: the channels that a window can be for; by default, all of the site and every other one.
    """

    template_name = "notifications/preference_centre/widgets/windows.html"
    channels: Collection[str] | None = None

    class Media:
        css = {"all": ["notifications/preferences.css"]}

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        offered = [*list_channels(), EVERY] if self.channels is None else [*self.channels]
        rows = [*_read_windows(value), *[WindowRow()] * BLANK_ROWS]
        listed = dict.fromkeys([*offered, *(row.channel for row in rows if row.channel)])
        context["widget"].update(
            rows=[(f"{name}-{at}", row) for at, row in enumerate(rows)],
            channels=[(channel, get_channel_name(channel)) for channel in listed],
            days=[(day, WEEKDAYS_ABBR[at]) for at, day in enumerate(DAYS)],
        )
        return context

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        rows = []
        for at in takewhile(lambda at: f"{name}-{at}-start" in data, count()):
            prefix = f"{name}-{at}"
            hours = data.get(f"{prefix}-start", ""), data.get(f"{prefix}-end", "")
            days = data.getlist(f"{prefix}-days") if hasattr(data, "getlist") else data.get(f"{prefix}-days", [])
            row = WindowRow(data.get(f"{prefix}-channel", ""), *hours, tuple(days))
            if not row.is_blank:
                rows.append(row)
        return _write_windows(rows)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-0-start" not in data

    def id_for_label(self, id_: str) -> str:
        return ""


def _read_windows(value: Any) -> Iterator[WindowRow]:
    """Yield the windows of a stored value, or of one that was entered. Malformed ones are left out, as by the gates."""
    for channel, windows in normalize_keys(value).items():
        for window in windows if isinstance(windows, list | tuple) else ():
            if isinstance(window, WindowRow):
                yield window
            else:
                yield from _read_window(channel, window)


def _read_window(channel: str, window: Any) -> Iterator[WindowRow]:
    try:
        [hours] = parse_windows([window])
    except (TypeError, ValueError):
        return
    days = () if hours.days == EVERY_DAY else tuple(DAYS[day] for day in sorted(hours.days))
    yield WindowRow(channel, f"{hours.start:%H:%M}", f"{hours.end:%H:%M}", days)


def describe_windows(value: Any) -> Iterator[str]:
    """Yield the windows of a stored value as text, such as "Email: Mon, Tue 08:00–12:00"."""
    for row in _read_windows(value):
        days = ", ".join(str(WEEKDAYS_ABBR[DAYS.index(day)]) for day in row.days)
        yield f"{get_channel_name(row.channel)}: {days} {row.start}–{row.end}".replace("  ", " ")


def _write_windows(rows: Collection[WindowRow]) -> dict[str, list[Any]]:
    """Return the value of rows. A row with only one of its hours stays as it is, so that it is shown again."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        window: Any = [row.start, row.end]
        if 0 < len(days := [day for day in DAYS if day in row.days]) < len(DAYS):
            window.append(days)
        found.setdefault(row.channel, []).append(window if row.start and row.end else row)
    return found


class WindowsField(forms.Field):
    """Delivery windows by channel."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "widget": WindowsWidget(), **options})

    def clean(self, value: Any) -> Any:
        if any(isinstance(window, WindowRow) for windows in (value or {}).values() for window in windows):
            raise ValidationError(_("A delivery window needs both a beginning and an end."), "incomplete")
        return super().clean(value) or {}

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(_read_windows(initial)) != list(_read_windows(data))


def merge_windows(stored: Any, entered: Mapping[str, Any], channels: Collection[str]) -> dict[str, Any]:
    """Return the stored windows with those of ``channels`` replaced by the entered ones."""
    kept = {name: windows for name, windows in normalize_keys(stored).items() if name not in channels}
    return {**kept, **{name: windows for name, windows in entered.items() if name in channels}}
