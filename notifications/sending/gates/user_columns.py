"""Which columns of the host's users tell what ``send()`` must know of them, if plain columns do."""

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
from notifications.models.preferences import normalised
from notifications.sending.gates.facts import address_field
from notifications.storage.load_recipients import ADDRESSES, KEY, REQUESTED

NOBODYS = "{}"
NOTHING: Mapping[str, ChosenAddress] = {}


@dataclass(frozen=True, slots=True)
class Columns:
    """``kinds`` are the channels, each with the kind of address that it sends to.

    ``names`` are the columns with addresses; ``active`` is that which says who is active, empty if all are.

    ``places`` are the channels, each with where its address stands in a row: KEY for an account, None for nowhere.
    """

    kinds: Mapping[str, str]
    names: tuple[str, ...]
    active: str
    places: tuple[tuple[str, int | None], ...]
    # The primary key of users, if it is to be converted.
    field: Any

    @property
    def no_addresses(self) -> list[str]:
        return [""] * len(self.places)

    def by_key(self, rows: Sequence[tuple[Any, ...]]) -> dict[Any, tuple[Any, ...]]:
        if self.field is None:
            return {row[KEY]: row for row in rows}
        return {self.field.to_python(row[KEY]): row for row in rows}

    def addresses(self, key: str, row: tuple[Any, ...]) -> tuple[list[str], Mapping[str, ChosenAddress]]:
        """One for each channel; what users gave for a channel themselves goes first, but for their account.

        And what there is to know of it, by channel, where they gave one.
        """
        own = [(row[at] or "") if at else key if at == KEY else "" for _channel, at in self.places]
        if row[ADDRESSES] in (None, NOBODYS):
            return own, NOTHING
        chosen, reaches = normalised(json.loads(row[ADDRESSES])), {}
        for number, (channel, at) in enumerate(self.places):
            if at != KEY and chosen.get(channel):
                reaches[channel] = choose_address(self.kinds[channel], str(chosen[channel]), own[number])
                own[number] = reaches[channel].address
        return own, reaches


def find_user_columns(kinds: Mapping[str, str], using: str) -> Columns | None:
    """For channels with the kind of address that each sends to; None if it takes whole users to know."""
    model: Any = get_user_model()
    fields = {kind: address_field(model, kind) for kind in kinds.values() if kind != "user"}
    names = tuple(dict.fromkeys(name for name in fields.values() if name))
    active = "" if getattr_static(model, "is_active", None) is True else "is_active"
    asked = (*names, *([active] if active else []))
    if not _is_made_plainly(model, using) or not all(_is_plain(model, name, using) for name in asked):
        return None
    if not all(isinstance(model._meta.get_field(name), CharField | TextField) for name in names):
        return None
    at = {name: REQUESTED + number for number, name in enumerate(names)}
    places = [(channel, KEY if kind == "user" else at.get(fields[kind])) for channel, kind in kinds.items()]
    return Columns(kinds, names, active, tuple(places), None if _is_number(model._meta.pk) else model._meta.pk)


def _is_made_plainly(model: Any, using: str) -> bool:
    """Whether users come from the table as they are, whichever there are: nothing chooses, changes or converts them."""
    heard = any(signal.has_listeners(model) for signal in (pre_init, post_init))
    return not heard and _has_default_loading(model, using)


@cache
def _has_default_loading(model: Any, using: str) -> bool:
    manager = model._default_manager
    chosen = type(manager).get_queryset is not Manager.get_queryset or manager._queryset_class is not QuerySet
    made = model.__init__ is not Model.__init__ or model.from_db.__func__ is not Model.__dict__["from_db"].__func__
    return not (chosen or made or model._meta.pk.cached_col.get_db_converters(connections[using]))


@cache
def _is_plain(model: Any, name: str, using: str) -> bool:
    """Whether an attribute is what stands in its column: no property, nothing encrypted, nothing made on reading."""
    if type(getattr_static(model, name, None)) is not DeferredAttribute:
        return False
    column, connection = model._meta.get_field(name).cached_col, connections[using]
    made = column.get_db_converters(connection)
    return not made and (_is_flag(column.field) or not connection.ops.get_db_converters(column))


def _is_flag(column: Any) -> bool:
    """SQLite has numbers for these, which are as true."""
    return isinstance(column, BooleanField)


def _is_number(column: Any) -> bool:
    return isinstance(column, IntegerField)
