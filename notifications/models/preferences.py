"""Preferences by channel, event and category, whether a user, a role or a cluster has set them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.core.rules import log_text
from notifications.events import key_of
from notifications.models.audit import Audited
from notifications.models.validation import (
    EVERY,
    Fault,
    Validated,
    build_form_error,
    find_unknown,
    is_bool,
    is_bool_or_bools,
    is_mapping_of,
)
from notifications.outcomes import Rule, RuleKind


def normalize_keys(choices: Any) -> Any:
    """Return choices with all keys in their canonical spelling, at each depth: ``EMAIL`` becomes ``email``.

    If two spellings of a key disagree, the opt-out wins. A value that is not a dict becomes an empty dict.
    """
    if not isinstance(choices, dict):
        return {}
    merged: dict[str, Any] = {}
    for key, value in choices.items():
        normalized = normalize_keys(value) if isinstance(value, dict) else value
        merged[key_of(key)] = _merge_strictly(merged.get(key_of(key)), normalized)
    return merged


def _merge_strictly(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict) or isinstance(other, dict):
        first, second = expand_channels(one), expand_channels(other)
        return {key: _merge_strictly(get_choice(first, key), get_choice(second, key)) for key in {**first, **second}}
    return other if _is_on(one) else one


def _is_on(choice: Any) -> bool:
    """Return whether a choice is exactly True or 1. Any other value was meant to turn something off."""
    return choice is True or choice == 1


def expand_channels(choice: Any) -> dict[str, Any]:
    """Return a choice as a mapping from channels to booleans; a single boolean applies to every channel."""
    if isinstance(choice, dict):
        return choice
    return {} if choice is None else {EVERY: choice}


def get_choice(choices: dict[str, Any], key: str) -> Any:
    """Return the choice for this key, otherwise the one for ``"*"``, otherwise None."""
    return choices.get(key, choices.get(EVERY))


def narrow_choices(choices: Any, key: str) -> dict[str, Any]:
    """Return the choices for this key and for ``"*"``, normalized. Normalizing all choices would take longer."""
    if not isinstance(choices, dict):
        return {}
    return normalize_keys({name: value for name, value in choices.items() if key_of(name) in (key, EVERY)})


class PreferenceLevel(Validated, Audited):
    """The choices of a user, a role or a cluster.

    ``channels`` is the master switch, such as ``{"email": false}``. ``events`` and ``categories`` refine it for the
    remaining channels, such as ``{"visitor_arrival": {"email": false}}``. ``"*"`` applies to every channel, event or
    category that is not mentioned. The next level decides about everything else.
    """

    # The columns whose keys are normalized, each with an example.
    examples: ClassVar[Mapping[str, str]] = {
        "channels": '{"email": false}',
        "events": '{"order_shipped": {"email": false}}',
        "categories": '{"billing": {"email": false}}',
    }
    # The level with the lowest precedence decides.
    precedence: tuple[int, int] = (0, 0)
    # The owner of its rules.
    owner: str = "user"

    channels = models.JSONField(_("channels"), default=dict, blank=True)
    events = models.JSONField(_("events"), default=dict, blank=True)
    categories = models.JSONField(_("categories"), default=dict, blank=True)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        for name in self.examples:
            value = getattr(self, name)
            if not isinstance(value, dict | None):
                raise TypeError(f"{name} must be a dict such as {self.examples[name]}, not {value!r:.80}.")
            setattr(self, name, normalize_keys(value))
        super().save(*args, **kwargs)

    def find_malformed_columns(self) -> Iterator[Fault]:
        forms = {"channels": is_bool, "events": is_bool_or_bools, "categories": is_bool_or_bools}
        for column, is_valid in forms.items():
            if not is_mapping_of(is_valid, getattr(self, column)):
                yield Fault(column, build_form_error(self.examples[column]))

    def find_unknown_names(self) -> Iterator[Fault]:
        yield from find_unknown("channels", "channel", normalize_keys(self.channels))
        for column, kind in (("events", "event"), ("categories", "category")):
            choices = normalize_keys(getattr(self, column))
            yield from find_unknown(column, kind, choices)
            channels = (channel for choice in choices.values() for channel in expand_channels(choice))
            yield from find_unknown(column, "channel", channels)

    def find_choice(self, event: str, category: str, channel: str) -> tuple[bool, Rule] | None:
        """Return the choice with its rule, or None if there is none.

        Keys are normalized here as well, because they may have been written without ``save()``.
        """
        on = get_choice(narrow_choices(self.channels, channel), channel)
        if on is not None and not _is_on(on):
            return False, Rule(RuleKind.CHANNEL_OFF, self.owner, {"channel": channel})
        for rules, key, (if_on, if_off) in (
            (self.events, key_of(event), (RuleKind.EVENT_ON, RuleKind.EVENT_OFF)),
            (self.categories, category, (RuleKind.CATEGORY_ON, RuleKind.CATEGORY_OFF)),
        ):
            choice = get_choice(expand_channels(get_choice(narrow_choices(rules, key), key)), channel)
            if choice is not None:
                wanted = _is_on(choice)
                return wanted, Rule(if_on if wanted else if_off, self.owner, {"name": key, "channel": channel})
        return None if on is None else (True, Rule(RuleKind.CHANNEL_ON, self.owner, {"channel": channel}))


NO_CHOICE = True, Rule(RuleKind.DEFAULT_ON, "system")


def resolve_preference(levels: Iterable[PreferenceLevel], event: str, category: str, channel: str) -> tuple[bool, Rule]:
    """Return the choice of the first level that has one, with its rule; by default on, with ``system: on``.

    Among roles of the same rank, an opt-out wins, then the first role by name.
    """
    found = [(level.precedence, level.find_choice(event, category, channel)) for level in levels]
    choices = [(precedence, *choice) for precedence, choice in found if choice]
    if not choices:
        return NO_CHOICE
    return min(choices, key=lambda item: (*item[:2], log_text(item[2])))[1:]
