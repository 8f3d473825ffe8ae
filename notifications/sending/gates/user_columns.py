"""The columns of the host's user table that ``send()`` reads, if plain columns are enough."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import getattr_static
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import BooleanField, CharField, IntegerField, Manager, Model, QuerySet, TextField
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from notifications.core.addresses import ChosenAddress, choose_address
from notifications.models.preferences import normalize_keys
from notifications.sending.gates.facts import get_address_field
from notifications.storage.load_recipients import ADDRESSES, KEY, REQUESTED

NO_ADDRESSES = "{}"
NO_CHOSEN_ADDRESSES: Mapping[str, ChosenAddress] = {}


@dataclass(frozen=True, slots=True)
class UserColumns:
    """The columns to read, and where to find the address for a channel in a row.

    :param kinds: the channels, each with the kind of address that it sends to.
    :param names: the columns with addresses.
    :param active: the column that says whether a user is active; empty if all users are.
    :param positions: the channels, each with the index of its address in a row: KEY for an account, None for no column.
    :param key_field: the primary key field of users, if its values must be converted.
    """

    kinds: Mapping[str, str]
    names: tuple[str, ...]
    active: str
    positions: tuple[tuple[str, int | None], ...]
    key_field: Any

    @property
    def no_addresses(self) -> list[str]:
        return [""] * len(self.positions)

    def index_rows(self, rows: Sequence[tuple[Any, ...]]) -> dict[Any, tuple[Any, ...]]:
        """Return the rows by primary key."""
        if self.key_field is None:
            return {row[KEY]: row for row in rows}
        return {self.key_field.to_python(row[KEY]): row for row in rows}

    def get_addresses(self, key: str, row: tuple[Any, ...]) -> tuple[list[str], Mapping[str, ChosenAddress]]:
        """Return an address for each channel and, by channel, the ChosenAddress if the user has chosen an address.

        A chosen address takes precedence over that of the account, except on channels that send to accounts.
        """
        addresses = [(row[at] or "") if at else key if at == KEY else "" for _channel, at in self.positions]
        if row[ADDRESSES] in (None, NO_ADDRESSES):
            return addresses, NO_CHOSEN_ADDRESSES
        settings, chosen = normalize_keys(json.loads(row[ADDRESSES])), {}
        for number, (channel, at) in enumerate(self.positions):
            if at != KEY and settings.get(channel):
                chosen[channel] = choose_address(self.kinds[channel], str(settings[channel]), addresses[number])
                addresses[number] = chosen[channel].address
        return addresses, chosen


def find_user_columns(kinds: Mapping[str, str], using: str) -> UserColumns | None:
    """Return the columns to read for these channels; None if users must be loaded as model instances.

    :param kinds: the channels, each with the kind of address that it sends to.
    """
    model: Any = get_user_model()
    fields = {kind: get_address_field(model, kind) for kind in kinds.values() if kind != "user"}
    names = tuple(dict.fromkeys(name for name in fields.values() if name))
    active = "" if getattr_static(model, "is_active", None) is True else "is_active"
    columns = (*names, *([active] if active else []))
    if not _loads_plain_rows(model, using) or not all(_is_plain(model, name, using) for name in columns):
        return None
    if not all(isinstance(model._meta.get_field(name), CharField | TextField) for name in names):
        return None
    at = {name: REQUESTED + number for number, name in enumerate(names)}
    positions = [(channel, KEY if kind == "user" else at.get(fields[kind])) for channel, kind in kinds.items()]
    return UserColumns(kinds, names, active, tuple(positions), None if _is_number(model._meta.pk) else model._meta.pk)


def _loads_plain_rows(model: Any, using: str) -> bool:
    """Return whether loading users neither filters, changes nor converts their rows."""
    has_listeners = any(signal.has_listeners(model) for signal in (pre_init, post_init))
    return not has_listeners and _has_default_loading(model, using)


@cache
def _has_default_loading(model: Any, using: str) -> bool:
    manager = model._default_manager
    filters = type(manager).get_queryset is not Manager.get_queryset or manager._queryset_class is not QuerySet
    customizes = (
        model.__init__ is not Model.__init__ or model.from_db.__func__ is not Model.__dict__["from_db"].__func__
    )
    return not (filters or customizes or model._meta.pk.cached_col.get_db_converters(connections[using]))


@cache
def _is_plain(model: Any, name: str, using: str) -> bool:
    """Return whether an attribute has the value of its column: no property, encryption or conversion on reading."""
    if type(getattr_static(model, name, None)) is not DeferredAttribute:
        return False
    column, connection = model._meta.get_field(name).cached_col, connections[using]
    converts = column.get_db_converters(connection)
    return not converts and (_is_flag(column.field) or not connection.ops.get_db_converters(column))


def _is_flag(column: Any) -> bool:
    """Return whether it is a boolean, for which SQLite returns 0 or 1: their truth value is the same."""
    return isinstance(column, BooleanField)


def _is_number(column: Any) -> bool:
    return isinstance(column, IntegerField)
