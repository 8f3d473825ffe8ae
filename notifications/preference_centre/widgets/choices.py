"""The choices of a user, a role or a cluster, by channel, event or category: a row of selects for each.

The value of a field has the form of the column: ``{"email": false}`` for channels, ``{"order_shipped": {"email":
false}}`` for events and categories.
"""

from collections.abc import Iterable, Mapping
from itertools import count, takewhile
from typing import Any, NamedTuple

from django import forms
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from notifications.events import NOTIFICATION_EVENTS
from notifications.models.preferences import expand_channels, normalize_keys
from notifications.models.validation import EVERY, known_categories
from notifications.preference_centre.widgets.names import (
    get_category_name,
    get_channel_name,
    get_event_name,
    list_channels,
)

BLANK_ROWS = 3
# Django refuses forms with more than 1,000 fields, and a row has one for each channel.
MAX_ROWS = 30


class Choice(TextChoices):
    """A choice for one channel. ``INHERIT`` is the absence of a choice."""

    INHERIT = "inherit", _("Inherited")
    ON = "on", _("On")
    OFF = "off", _("Off")


WANTED: Mapping[str, bool | None] = {Choice.INHERIT: None, Choice.ON: True, Choice.OFF: False}


def get_choice_of(value: Any) -> Choice:
    """Return the choice for a stored value. As for the gates, everything but True and 1 means off."""
    if value is None:
        return Choice.INHERIT
    return Choice.ON if value is True or value == 1 else Choice.OFF


class ChoiceCell(NamedTuple):
    """A select of a row."""

    name: str
    channel: str
    choice: Choice


class ChoiceRow(NamedTuple):
    """A row of selects. An empty key means that the person chooses what the row is for."""

    name: str
    key: str
    label: str
    cells: list[ChoiceCell]


class ChoicesWidget(forms.Widget):
    """Selects for each channel, in a row for each event or category, with rows for further ones.

    :param kind: ``"event"`` or ``"category"``; empty for the choices for whole channels, which have one row.
    """

    template_name = "notifications/preference_centre/widgets/choices.html"

    class Media:
        css = {"all": ["notifications/preferences.css"]}

    def __init__(self, kind: str = "", attrs: Any = None) -> None:
        super().__init__(attrs)
        self.kind = kind

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        by_key = _expand_rows(value) if self.kind else {"": normalize_keys(value)}
        shown = dict(list(by_key.items())[:MAX_ROWS])
        channels = list(dict.fromkeys([*list_channels(), EVERY, *(name for row in shown.values() for name in row)]))
        keys = [*shown, *[""] * (BLANK_ROWS if self.kind else 0)]
        context["widget"].update(
            kind=self.kind,
            channels=list(map(get_channel_name, channels)),
            rows=[self._build_row(f"{name}-{at}", key, by_key.get(key, {}), channels) for at, key in enumerate(keys)],
            hidden_count=len(by_key) - len(shown),
            options=[(key, label) for key, label in self._list_options() if key not in by_key],
            choices=Choice.choices,
        )
        return context

    def _build_row(self, name: str, key: str, values: Mapping[str, Any], channels: Iterable[str]) -> ChoiceRow:
        cells = []
        for channel in channels:
            choice = get_choice_of(values.get(channel))
            cells.append(ChoiceCell(f"{name}:{channel}", get_channel_name(channel), choice))
        return ChoiceRow(f"{name}-key", key, self._get_label(key) if key else "", cells)

    def _get_label(self, key: str) -> str:
        return get_event_name(key) if self.kind == "event" else get_category_name(key)

    def _list_options(self) -> list[tuple[str, str]]:
        if not self.kind:
            return []
        names = {event.name for event in NOTIFICATION_EVENTS.values()} if self.kind == "event" else known_categories()
        listed = sorted((self._get_label(name), name) for name in names)
        return [*((name, label) for label, name in listed), (EVERY, self._get_label(EVERY))]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        """Return the entered choices. An event or category without a choice is an empty dict."""
        if not self.kind:
            return _read_cells(data, f"{name}-0:")
        rows: dict[str, Any] = {}
        for at in takewhile(lambda at: f"{name}-{at}-key" in data, count()):
            if key := data.get(f"{name}-{at}-key"):
                rows[key] = {**rows.get(key, {}), **_read_cells(data, f"{name}-{at}:")}
        return rows

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return not any(key.startswith(f"{name}-0") for key in data)

    def id_for_label(self, id_: str) -> str:
        return ""


def _read_cells(data: Any, prefix: str) -> dict[str, bool]:
    found = {}
    for name in data:
        wanted = WANTED.get(data.get(name)) if name.startswith(prefix) else None
        if wanted is not None:
            found[name.removeprefix(prefix)] = wanted
    return found


def _expand_rows(choices: Any) -> dict[str, Any]:
    """Return choices with a dict of channels for each key."""
    return {key: expand_channels(value) for key, value in normalize_keys(choices).items()}


class ChoicesField(forms.Field):
    """The choices for channels, events or categories.

    :param kind: see :class:`ChoicesWidget`.
    """

    def __init__(self, kind: str = "", **options: Any) -> None:
        self.kind = kind
        super().__init__(**{"required": False, "widget": ChoicesWidget(kind), **options})

    def clean(self, value: Any) -> Any:
        return super().clean(value) or {}

    def has_changed(self, initial: Any, data: Any) -> bool:
        if not self.kind:
            return normalize_keys(initial) != normalize_keys(data)
        before = _expand_rows(initial)
        return merge_rows(before, data or {}) != before


def merge_rows(stored: Any, entered: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored choices for events or categories with the rows that were entered. Other rows are kept."""
    merged = {**normalize_keys(stored), **normalize_keys(entered)}
    return {key: value for key, value in merged.items() if value != {}}
