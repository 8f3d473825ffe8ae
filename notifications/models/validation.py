"""What is wrong with a row of preferences: it has another form than is read, or names what the site does not have."""

import zoneinfo
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.conf.problem import find_nearest
from notifications.core.channel_classes import get_address_kind
from notifications.events import NOTIFICATION_EVENTS, NotificationChannel, key_of
from notifications.exceptions import ChannelNotConfigured, InvalidOption, UnknownEvent

EVERY = "*"
ENOUGH_TO_LIST = 20


class Fault(NamedTuple):
    """What is wrong with a column, and the name in it that is unknown; empty if something else is wrong."""

    column: str
    error: ValidationError
    name: str = ""


class Validated(models.Model):
    """A row whose ``full_clean()`` also refuses what has a wrong form, and names that the site does not have.

    Unknown names that the row holds in the table already may stay: a channel, event, category, language or time zone
    that the site gives up must keep nobody from saving something else.
    """

    class Meta:
        abstract = True

    def wrong_forms(self) -> Iterable[Fault]:
        return ()

    def unknown_names(self) -> Iterable[Fault]:
        return ()

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        errors: dict[str, list[Any]] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            error.update_error_dict(errors)
        # What Django has refused needs no second sentence.
        done = {*(exclude or ()), *errors}
        for fault in [*self.wrong_forms(), *self._new_unknown_names()]:
            if fault.column not in done:
                errors.setdefault(fault.column, []).append(fault.error)
        if errors:
            raise ValidationError(errors)

    def _new_unknown_names(self) -> list[Fault]:
        unknown = [*self.unknown_names()]
        stored = self._stored_row() if unknown else None
        held = {(fault.column, fault.name) for fault in stored.unknown_names()} if stored else set()
        return [fault for fault in unknown if (fault.column, fault.name) not in held]

    def _stored_row(self) -> Any:
        rows = type(self)._base_manager.using(self._state.db)
        return rows.filter(pk=self.pk).first() if self.pk is not None else None


def wrong_form(example: str) -> ValidationError:
    words = _("This does not have the form of the example: %(example)s")
    return ValidationError(words, "wrong_form", {"example": example})


def is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def is_switch_or_switches(value: Any) -> bool:
    return is_switch(value) or is_mapping_to(is_switch, value)


def is_mapping_to(fits: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value) and all(map(fits, value.values()))


def known_channels() -> set[str]:
    """Those of the settings, also those that are switched off, and those that Klaxon has a word for."""
    return {*conf.current().all_channels, *(channel.value for channel in NotificationChannel)}


def known_events() -> set[str]:
    return {key_of(event.name) for event in NOTIFICATION_EVENTS.values()}


def known_categories() -> set[str]:
    return {event.category for event in NOTIFICATION_EVENTS.values() if event.category}


def known_languages() -> set[str]:
    return {code.lower() for code in (settings.LANGUAGE_CODE, *dict(settings.LANGUAGES))}


class Kind(NamedTuple):
    """A kind of name: which there are, and the sentence about one that is none."""

    known: Callable[[], set[str]]
    sentence: Any


KINDS: Mapping[str, Kind] = {
    "channel": Kind(known_channels, _("There is no channel %(name)s.")),
    "event": Kind(known_events, _("There is no event %(name)s.")),
    "category": Kind(known_categories, _("No event has the category %(name)s.")),
    "language": Kind(known_languages, _("This site does not have the language %(name)s.")),
    "time_zone": Kind(zoneinfo.available_timezones, _("There is no time zone %(name)s.")),
}


def unknown_error(kind: str, name: str) -> ValidationError:
    """Says that there is no such name, and which was meant, or which there are."""
    known = KINDS[kind].known()
    near = find_nearest(name, known)
    sentences = [KINDS[kind].sentence]
    if near:
        sentences.append(_("Did you mean %(near)s?"))
    elif known and len(known) <= ENOUGH_TO_LIST:
        sentences.append(_("There are: %(known)s."))
    params = {"name": name, "near": near, "known": ", ".join(sorted(known))}
    words = format_lazy(" ".join(["{}"] * len(sentences)), *sentences)
    return ValidationError(words, f"unknown_{kind}", params)


def unknown(column: str, kind: str, names: Iterable[str], star: bool = True) -> Iterator[Fault]:
    """A fault for each of these names that is none of its kind.

    :param star: whether ``"*"`` may stand for all that are not named.
    """
    for name in sorted(set(names) - KINDS[kind].known() - ({EVERY} if star else set())):
        yield Fault(column, unknown_error(kind, name), name)


def checked_channel(channel: Enum | str) -> str:
    """The name of a channel, or ``"*"``, in its one spelling.

    :raises InvalidOption: if there is no such channel.
    """
    name = key_of(channel)
    if name not in {EVERY, *known_channels()}:
        raise InvalidOption(*unknown_error("channel", name).messages)
    return name


def checked_event(event: Enum | str) -> str:
    """The name of an event, or ``"*"``, in its one spelling.

    :raises UnknownEvent: if there is no such event.
    """
    name = key_of(event)
    if name not in {EVERY, *known_events()}:
        raise UnknownEvent(*unknown_error("event", name).messages)
    return name


def known_kind(channel: str) -> str | None:
    """The kind of address that a channel sends to; None if the site does not have the channel at present."""
    try:
        return get_address_kind(channel)
    except ChannelNotConfigured:
        return None


def has_language(code: str) -> bool:
    """Whether the site has this language, or the one of which it is a variant: ``de`` for ``de-at``."""
    known = known_languages()
    return any(code == language or code.startswith(f"{language}-") for language in known)


def is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
