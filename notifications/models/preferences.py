"""What is wanted, by channel, event and category: read in one way, whoever chose it."""

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
    is_mapping_to,
    is_switch,
    is_switch_or_switches,
    unknown,
    wrong_form,
)
from notifications.outcomes import Rule, RuleKind


def normalised(choices: Any) -> Any:
    """The same choices with every key in its one spelling, at each depth: ``EMAIL`` and ``email`` are one.

    Where two spellings disagree, the opt-out stands; what is no mapping says nothing.
    """
    if not isinstance(choices, dict):
        return {}
    merged: dict[str, Any] = {}
    for key, value in choices.items():
        clean = normalised(value) if isinstance(value, dict) else value
        merged[key_of(key)] = _stricter(merged.get(key_of(key)), clean)
    return merged


def _stricter(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict) or isinstance(other, dict):
        first, second = by_channel(one), by_channel(other)
        return {key: _stricter(chosen(first, key), chosen(second, key)) for key in {**first, **second}}
    return other if _is_yes(one) else one


def _is_yes(choice: Any) -> bool:
    """Only a plain yes is one. Whatever else was written, it was written to turn something off."""
    return choice is True or choice == 1


def by_channel(choice: Any) -> dict[str, Any]:
    """A choice as channel to yes or no; a plain yes or no is one for every channel."""
    if isinstance(choice, dict):
        return choice
    return {} if choice is None else {EVERY: choice}


def chosen(given: dict[str, Any], key: str) -> Any:
    """What was given for this key, or else for every one."""
    return given.get(key, given.get(EVERY))


class Choices(Validated, Audited):
    """Choices of a user, a role or a cluster.

    ``channels`` is the master switch, ``{"email": false}``. ``events`` and ``categories`` refine what is left of it:
    ``{"visitor_arrival": {"email": false}}``; ``"*"`` is every channel, event or category that is not named. What is
    not mentioned is left to the next level.
    """

    # The columns whose keys have one spelling, each with an example of its form.
    examples: ClassVar[Mapping[str, str]] = {
        "channels": '{"email": false}',
        "events": '{"order_shipped": {"email": false}}',
        "categories": '{"billing": {"email": false}}',
    }
    # When it is asked, lowest first, and who it is in the sentence that names the rule.
    place: tuple[int, int] = (0, 0)
    whose: str = "user"

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
            setattr(self, name, normalised(value))
        super().save(*args, **kwargs)

    def wrong_forms(self) -> Iterator[Fault]:
        forms = {"channels": is_switch, "events": is_switch_or_switches, "categories": is_switch_or_switches}
        for column, fits in forms.items():
            if not is_mapping_to(fits, getattr(self, column)):
                yield Fault(column, wrong_form(self.examples[column]))

    def unknown_names(self) -> Iterator[Fault]:
        yield from unknown("channels", "channel", normalised(self.channels))
        for column, kind in (("events", "event"), ("categories", "category")):
            rules = normalised(getattr(self, column))
            yield from unknown(column, kind, rules)
            yield from unknown(column, "channel", (key for rule in rules.values() for key in by_channel(rule)))

    def opinion(self, event: str, category: str, channel: str) -> tuple[bool, Rule] | None:
        """Yes or no with its rule, or None. Keys that were written past ``save()`` are normalised here too."""
        on = chosen(normalised(self.channels), channel)
        if on is not None and not _is_yes(on):
            return False, Rule(RuleKind.CHANNEL_OFF, self.whose, {"channel": channel})
        for rules, key, (if_on, if_off) in (
            (self.events, key_of(event), (RuleKind.EVENT_ON, RuleKind.EVENT_OFF)),
            (self.categories, category, (RuleKind.CATEGORY_ON, RuleKind.CATEGORY_OFF)),
        ):
            choice = chosen(by_channel(chosen(normalised(rules), key)), channel)
            if choice is not None:
                wanted = _is_yes(choice)
                return wanted, Rule(if_on if wanted else if_off, self.whose, {"name": key, "channel": channel})
        return None if on is None else (True, Rule(RuleKind.CHANNEL_ON, self.whose, {"channel": channel}))


def resolved(levels: Iterable[Choices], event: str, category: str, channel: str) -> tuple[bool, Rule]:
    """Yes or no, and the rule that says so: that of the first level with an opinion; ``system: on`` if none has one.

    Of several roles of the same rank one that says no has the word, then the first by name.
    """
    said = [(level.place, level.opinion(event, category, channel)) for level in levels]
    given = [(place, *answer) for place, answer in said if answer]
    first = min(given, key=lambda item: (*item[:2], log_text(item[2])), default=None)
    return first[1:] if first else (True, Rule(RuleKind.DEFAULT_ON, "system"))
