"""The matrix: categories and events in rows, channels in columns."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from notifications import conf
from notifications.events import NOTIFICATION_EVENTS, ON_REQUEST, SYSTEM_EVENTS, NotificationEvent, key_of
from notifications.models import UserSettings
from notifications.models.preferences import normalize_keys
from notifications.models.validation import EVERY
from notifications.preference_centre.cells import (
    DIGEST_EVENTS,
    Cell,
    Place,
    build_event_cell,
    build_general_cell,
)
from notifications.preference_centre.owner import Owner, Standing
from notifications.preference_centre.widgets.choices import Choice
from notifications.preference_centre.widgets.names import get_category_name, get_channel_name

# Django refuses forms with more than 1,000 fields.
MAX_FORM_FIELDS = 800
# Users ask for the first on the page itself, and only operators get the others.
HIDDEN_EVENTS = frozenset(member.value for member in ON_REQUEST | SYSTEM_EVENTS)


@dataclass(frozen=True)
class Row:
    """A row of the matrix: an event, a category, or everything.

    :param is_heading: whether it is about all rows that follow it.
    """

    label: str
    cells: Sequence[Cell]
    is_heading: bool = False

    @cached_property
    def lock(self) -> str:
        """Why nothing can be chosen; empty if something can."""
        locked = [cell for cell in self.cells if cell.is_locked]
        has_choice = any(cell.place for cell in self.cells)
        return "" if has_choice or not locked else _("Always sent, because it is necessary.")


@dataclass(frozen=True)
class Part:
    """The rows of one form. A large matrix has several.

    :param shown: the user's own choices as they are stored, by the name of the field.
    """

    rows: Sequence[Row]
    shown: Mapping[str, str]

    @property
    def shown_text(self) -> str:
        """The same as text, for a hidden field."""
        return json.dumps(self.shown)


class Matrix:
    """The choices of an owner.

    :param standing: the standing that the cells show, such as that after a change.
    :param stored: the settings as they are stored, from which a save finds out what has changed.
    """

    def __init__(self, owner: Owner, standing: Standing, stored: UserSettings | None) -> None:
        self.owner = owner
        self.standing = standing
        self.stored = stored
        self.channels = [name for name in owner.channels if any(name in event.channels for event in list_events())]

    @property
    def columns(self) -> list[str]:
        """The names of the channels."""
        return [get_channel_name(channel) for channel in self.channels]

    @cached_property
    def parts(self) -> list[Part]:
        """The rows, in parts that fit into a form."""
        rows, parts = list(self._build_rows()), []
        size = max(MAX_FORM_FIELDS // max(len(self.channels), 1), 1)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            parts.append(Part(part, dict(self._iterate_stored(part))))
        return parts

    def _iterate_stored(self, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
        for place in (cell.place for row in rows for cell in row.cells if cell.place):
            choice = place.get_choice(self.stored)
            if choice is not Choice.INHERIT:
                yield place.field_name, str(choice)

    def _build_rows(self) -> Iterator[Row]:
        yield self._build_general_row("channels", "", _("Everything"))
        by_category = defaultdict(list)
        for event in list_events():
            by_category[event.category].append(event)
        for category in sorted(by_category, key=lambda key: (not key, key)):
            if category:
                yield self._build_general_row("categories", category, get_category_name(category))
            elif len(by_category) > 1:
                yield Row(_("Other"), (), is_heading=True)
            for event in by_category[category]:
                yield self._build_event_row(event)
        yield from self._build_rows_for_others()

    def _build_event_row(self, event: NotificationEvent) -> Row:
        channels = self.channels
        if event.name in DIGEST_EVENTS:
            channels = [name for name in channels if name in map(key_of, conf.current().digest_channels)]
        cells = [
            build_event_cell(event, channel, self.standing)
            if channel in channels
            else Cell(channel, is_supported=False)
            for channel in self.channels
        ]
        return Row(event.words, cells)

    def _build_general_row(self, column: str, key: str, label: str) -> Row:
        cells = [build_general_cell(column, key, channel, self.standing) for channel in self.channels]
        return Row(label, cells, is_heading=True)

    def _build_rows_for_others(self) -> Iterator[Row]:
        """Yield rows for choices under ``"*"``, which only code of the site sets."""
        labels = {"categories": _("Every other category"), "events": _("Every other event")}
        for column, label in labels.items():
            if self.standing.settings and EVERY in normalize_keys(getattr(self.standing.settings, column)):
                yield self._build_general_row(column, EVERY, label)


def list_events() -> list[NotificationEvent]:
    """Return the events that users can have preferences about, by their name for people."""
    events = [event for event in NOTIFICATION_EVENTS.values() if event.name not in HIDDEN_EVENTS]
    return sorted(events, key=lambda event: (event.words.lower(), event.name))


def find_changes(
    matrix: Matrix, entered: Mapping[str, Any], shown: Mapping[str, Any]
) -> Iterator[tuple[Place, Choice]]:
    """Yield the places of a form whose choice differs from the one that the page has shown.

    :param entered: the values of the form by the name of the field. Unknown names and values are ignored.
    :param shown: the choices that the page has shown, by the name of the field; it has shown the others as inherited.
    """
    places = (cell.place for part in matrix.parts for row in part.rows for cell in row.cells if cell.place)
    for place in places:
        value = entered.get(place.field_name)
        if value in Choice.values and value != shown.get(place.field_name, Choice.INHERIT):
            yield place, Choice(value)
