"""The cells of the matrix: what a user has chosen for an event or category on a channel, and the rule that decides.

The gates decide about each cell, and the explanation of their answer is that of ``explain()``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from notifications.core.rules import describe_rule
from notifications.events import DIGESTS, NotificationEvent, key_of
from notifications.explain.steps import call_gates, take_until_drop
from notifications.models import UserSettings
from notifications.models.preferences import (
    PreferenceLevel,
    expand_channels,
    get_choice,
    narrow_choices,
    normalize_keys,
    resolve_preference,
)
from notifications.models.validation import EVERY, known_channels
from notifications.outcomes import Drop
from notifications.preference_centre.owner import Standing
from notifications.preference_centre.widgets.choices import Choice, get_choice_of
from notifications.preference_centre.widgets.names import get_channel_name
from notifications.sending.gates import GATES_BEFORE_DUPLICATE, Facts, get_choices
from notifications.unsubscribe.changes import put_choice, put_value

DIGEST_EVENTS = frozenset(member.value for member in DIGESTS.values())


@dataclass(frozen=True)
class Place:
    """Where a choice is stored: a column of the settings, a key in it, and a channel.

    :param key: the category or event; empty for the column ``channels``.
    """

    column: str
    key: str
    channel: str

    @property
    def field_name(self) -> str:
        """The name of the field in the form."""
        return f"{self.column}.{self.channel}.{self.key}"

    def get_choice(self, settings: UserSettings | None) -> Choice:
        """Return the user's own choice for exactly this place."""
        if settings is None:
            return Choice.INHERIT
        stored = getattr(settings, self.column)
        if not self.key:
            return get_choice_of(get_choice(narrow_choices(stored, self.channel), self.channel))
        return get_choice_of(get_choice(expand_channels(narrow_choices(stored, self.key).get(self.key)), self.channel))

    def set_choice(self, settings: UserSettings, wanted: bool | None) -> None:
        """Set or remove the choice. The choices for other channels, events and categories do not change."""
        stored = normalize_keys(getattr(settings, self.column))
        if not self.key:
            stored = _name_channels(stored) if wanted is None else stored
            put_value(stored, self.channel, wanted)
        else:
            if wanted is None and self.key in stored:
                stored[self.key] = _name_channels(expand_channels(stored[self.key]))
            put_choice(stored, self.key, self.channel, wanted)
        setattr(settings, self.column, stored)


def _name_channels(values: dict[str, Any]) -> dict[str, Any]:
    """Return choices by channel without ``"*"``, so that one of them can be removed alone."""
    if EVERY not in values:
        return values
    named = {**dict.fromkeys(known_channels(), values[EVERY]), **values}
    del named[EVERY]
    return named


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix.

    :param place: None if there is nothing to choose.
    :param choice: the user's own choice.
    :param is_inherited_on: whether it would be on without that choice.
    :param is_on: whether such a notification is sent now.
    :param rule: the rule that decides now, in the words of ``explain()``.
    :param is_supported: whether the event uses the channel.
    """

    channel: str
    place: Place | None = None
    choice: Choice = Choice.INHERIT
    is_inherited_on: bool = True
    is_on: bool = False
    rule: str = ""
    is_supported: bool = True

    @property
    def channel_name(self) -> str:
        return get_channel_name(self.channel)

    @property
    def is_locked(self) -> bool:
        return self.is_supported and self.place is None


def build_event_cell(event: NotificationEvent, channel: str, standing: Standing) -> Cell:
    """Return the cell of an event on a channel."""
    if channel not in event.channels:
        return Cell(channel, is_supported=False)
    is_on, rule = decide_cell(event, channel, standing)
    if event.bypasses_preferences:
        return Cell(channel, is_on=is_on, rule=rule)
    place = Place("events", key_of(event.name), channel)
    levels = _get_levels(event.name, standing)
    return Cell(channel, place, *_find_choice(place, standing, levels, event.name, event.category), is_on, rule)


def decide_cell(event: NotificationEvent, channel: str, standing: Standing) -> tuple[bool, str]:
    """Return whether a notification of the event would pass the gates, and the rule that decides as text."""
    if event.name in DIGEST_EVENTS:
        wanted, rule = resolve_preference(_get_levels(event.name, standing), event.name, event.category, channel)
        return wanted, describe_rule(rule)
    chosen = standing.addresses[channel]
    facts = Facts(
        event,
        channel,
        standing.kinds[channel],
        standing.person,
        chosen.address,
        standing.suppressed,
        cluster_id=standing.cluster_id,
        rejected_address=chosen.rejected_address,
        now=standing.now,
        wanted_at=standing.now,
    )
    steps = take_until_drop(call_gates(GATES_BEFORE_DUPLICATE, facts, None))
    if isinstance(steps[-1].answer, Drop):
        return False, steps[-1].rule
    return True, next(step.rule for step in steps if step.gate == "preferences")


def build_general_cell(column: str, key: str, channel: str, standing: Standing) -> Cell:
    """Return the cell of a category, of every other event or category, or of a whole channel."""
    place = Place(column, key, channel)
    event, category = (key, EVERY) if column == "events" else (EVERY, key or EVERY)
    levels = get_choices(standing.person)
    wanted, rule = resolve_preference(levels, event, category, channel)
    return Cell(channel, place, *_find_choice(place, standing, levels, event, category), wanted, describe_rule(rule))


def _get_levels(event: str, standing: Standing) -> list[PreferenceLevel]:
    """Return the levels that decide. As for the gates, nobody but the user turns digests off."""
    if event in DIGEST_EVENTS:
        return [standing.settings] if standing.settings else []
    return get_choices(standing.person)


def _find_choice(
    place: Place, standing: Standing, levels: Iterable[PreferenceLevel], event: str, category: str
) -> tuple[Choice, bool]:
    """Return the user's own choice, and whether it would be on without it."""
    choice = place.get_choice(standing.settings)
    if choice is not Choice.INHERIT:
        levels = _remove_choice(levels, standing.settings, place, event, category)
    return choice, resolve_preference(levels, event, category, place.channel)[0]


def _remove_choice(
    levels: Iterable[PreferenceLevel], own: UserSettings | None, place: Place, event: str, category: str
) -> Iterator[PreferenceLevel]:
    """Yield the levels, with a copy of the user's own that lacks the choice. It has only what concerns the place."""
    for level in levels:
        if level is not own:
            yield level
            continue
        events, categories = narrow_choices(level.events, key_of(event)), narrow_choices(level.categories, category)
        copied = UserSettings(channels=level.channels, events=events, categories=categories)
        place.set_choice(copied, None)
        yield copied
