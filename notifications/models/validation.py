"""Validation of preferences: values with a wrong form, and names that the site does not have."""

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
from notifications.conf import get_address_kind
from notifications.conf.problem import find_nearest
from notifications.events import NOTIFICATION_EVENTS, NotificationChannel, key_of
from notifications.exceptions import ChannelNotConfigured, InvalidOption, UnknownEvent

EVERY = "*"
MAX_LISTED_NAMES = 20


class Fault(NamedTuple):
    """An error in a column, with the unknown name that it contains; the name is empty for other errors."""

    column: str
    error: ValidationError
    name: str = ""


class Validated(models.Model):
    """A row whose ``full_clean()`` also rejects values with a wrong form, and unknown names.

    Unknown names that are already stored may stay: if the site removes a channel, event, category, language or time
    zone, users must still be able to save other changes.
    """

    class Meta:
        abstract = True

    def find_malformed_columns(self) -> Iterable[Fault]:
        """Yield the columns with a wrong form."""
        return ()

    def find_unknown_names(self) -> Iterable[Fault]:
        """Yield the names that the site does not have."""
        return ()

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        errors: dict[str, list[Any]] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            error.update_error_dict(errors)
        # A column that Django has rejected gets no second error.
        rejected = {*(exclude or ()), *errors}
        for fault in [*self.find_malformed_columns(), *self._find_new_unknown_names()]:
            if fault.column not in rejected:
                errors.setdefault(fault.column, []).append(fault.error)
        if errors:
            raise ValidationError(errors)

    def _find_new_unknown_names(self) -> list[Fault]:
        unknown = [*self.find_unknown_names()]
        stored = self._stored_row() if unknown else None
        stored_names = {(fault.column, fault.name) for fault in stored.find_unknown_names()} if stored else set()
        return [fault for fault in unknown if (fault.column, fault.name) not in stored_names]

    def _stored_row(self) -> Any:
        rows = type(self)._base_manager.using(self._state.db)
        return rows.filter(pk=self.pk).first() if self.pk is not None else None


def build_form_error(example: str) -> ValidationError:
    message = _("Enter a value in the form of this example: %(example)s")
    return ValidationError(message, "wrong_form", {"example": example})


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_bool_or_bools(value: Any) -> bool:
    return is_bool(value) or is_mapping_of(is_bool, value)


def is_mapping_of(is_valid: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value) and all(map(is_valid, value.values()))


def known_channels() -> set[str]:
    """Return the channels of the settings, including disabled ones, and those of ``NotificationChannel``."""
    return {*conf.current().all_channels, *(channel.value for channel in NotificationChannel)}


def known_events() -> set[str]:
    return {key_of(event.name) for event in NOTIFICATION_EVENTS.values()}


def known_categories() -> set[str]:
    return {event.category for event in NOTIFICATION_EVENTS.values() if event.category}


def known_languages() -> set[str]:
    return {code.lower() for code in (settings.LANGUAGE_CODE, *dict(settings.LANGUAGES))}


class NameKind(NamedTuple):
    """A kind of name: a function that returns the known names, and the message about an unknown one."""

    known: Callable[[], set[str]]
    message: Any


NAME_KINDS: Mapping[str, NameKind] = {
    "channel": NameKind(known_channels, _("There is no channel %(name)s.")),
    "event": NameKind(known_events, _("There is no event %(name)s.")),
    "category": NameKind(known_categories, _("No event has the category %(name)s.")),
    "language": NameKind(known_languages, _("This site does not have the language %(name)s.")),
    "time_zone": NameKind(zoneinfo.available_timezones, _("There is no time zone %(name)s.")),
}


def build_unknown_error(kind: str, name: str) -> ValidationError:
    """Return an error about an unknown name that suggests the nearest name or lists the known ones."""
    known = NAME_KINDS[kind].known()
    near = find_nearest(name, known)
    messages = [NAME_KINDS[kind].message]
    if near:
        messages.append(_("Did you mean %(near)s?"))
    elif known and len(known) <= MAX_LISTED_NAMES:
        messages.append(_("Choose one of: %(known)s."))
    params = {"name": name, "near": near, "known": ", ".join(sorted(known))}
    message = format_lazy(" ".join(["{}"] * len(messages)), *messages)
    return ValidationError(message, f"unknown_{kind}", params)


def find_unknown(column: str, kind: str, names: Iterable[str], star: bool = True) -> Iterator[Fault]:
    """Yield a fault for each unknown name.

    :param star: whether ``"*"`` is allowed.
    """
    for name in sorted(set(names) - NAME_KINDS[kind].known() - ({EVERY} if star else set())):
        yield Fault(column, build_unknown_error(kind, name), name)


def validate_channel_name(channel: Enum | str) -> str:
    """Return the name of a channel, or ``"*"``, in its canonical spelling.

    :raises InvalidOption: if there is no such channel.
    """
    name = key_of(channel)
    if name not in {EVERY, *known_channels()}:
        raise InvalidOption(*build_unknown_error("channel", name).messages)
    return name


def validate_event_name(event: Enum | str) -> str:
    """Return the name of an event, or ``"*"``, in its canonical spelling.

    :raises UnknownEvent: if there is no such event.
    """
    name = key_of(event)
    if name not in {EVERY, *known_events()}:
        raise UnknownEvent(*build_unknown_error("event", name).messages)
    return name


def find_address_kind(channel: str) -> str | None:
    """Return the kind of address that a channel uses, or None if the site does not have the channel."""
    try:
        return get_address_kind(channel)
    except ChannelNotConfigured:
        return None


def has_language(code: str) -> bool:
    """Return whether the site has this language, or its base language: ``de`` for ``de-at``."""
    known = known_languages()
    return any(code == language or code.startswith(f"{language}-") for language in known)


def is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
