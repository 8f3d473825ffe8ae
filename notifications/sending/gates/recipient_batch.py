"""The recipients of a chunk of ``send()``. Gates decide only once about recipients with equal facts.

Of ten thousand users, most have the same settings, or none. Gates are pure functions of the facts, and of the user's
identity they see only the address. So users whose facts are equal share one decision. If plain columns of the host's
user table are enough, users are read as rows of these columns and not as model instances.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from inspect import getattr_static
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connections, router
from django.db.models import BooleanField, CharField, IntegerField, Manager, Model, QuerySet, TextField
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from notifications.conf import get_channel_class
from notifications.core.addresses import ChosenAddress, choose_address, user_key
from notifications.models import SharedPreference, UserSettings
from notifications.models.mute import parse_mute
from notifications.models.preferences import normalize_keys
from notifications.outcomes import Answer
from notifications.preferences import DatabasePreferenceSource, make_preference_source
from notifications.recipients import Address
from notifications.sending.gates.facts import Person, get_address_field, load_people
from notifications.storage import load_recipients as storage
from notifications.storage.load_recipients import ADDRESSES, KEY, REQUESTED, Row

# Limits the memory that a send to millions of users with different facts takes.
MAX_CACHED_DECISIONS = 1000
NO_ADDRESSES = "{}"
NO_CHOSEN_ADDRESSES: Mapping[str, ChosenAddress] = {}


@dataclass(slots=True, eq=False)
class CachedDecision:
    """The decisions for recipients whose facts are equal except for the address. ``person`` represents them.

    Both dictionaries are filled by ``Decisions`` and have the same cache keys.

    :param answers: the answers of all gates.
    :param deliverable: whether the gates before the duplicate gate let the delivery through.
    """

    person: Person
    answers: dict[Any, Answer] = field(default_factory=dict)
    deliverable: dict[Any, bool] = field(default_factory=dict)


# The recipient key; the user's primary key, or None without a user; the shared decision; an address for each channel,
# empty if there is none; by channel, the ChosenAddress if the user has set an address for it. It is a plain tuple,
# because a send to many thousands makes one for each recipient.
Recipient = tuple[str, Any, CachedDecision, list[str], Mapping[str, ChosenAddress]]


class RecipientBatch(NamedTuple):
    """The recipients of a chunk.

    :param may_be_suppressed: False if the database has no suppressions, so that none need to be read.
    """

    recipients: Sequence[Recipient]
    may_be_suppressed: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The attributes of a user that gates read."""

    is_active: bool


class RecipientLoader:
    """Loads the recipients of one send, chunk by chunk. Decisions are shared across chunks.

    :param kinds: the channels, each with the kind of address that it sends to.
    """

    def __init__(self, cluster: Any, kinds: Mapping[str, str]) -> None:
        self.cluster = cluster
        self.kinds = kinds
        self.using = router.db_for_read(get_user_model())
        self.source = make_preference_source()
        self.columns = find_user_columns(kinds, self.using)
        self.limited = _find_limited(kinds)
        self.decisions: dict[Any, CachedDecision] = {}
        self.shared: dict[int | None, SharedPreference | None] = {}
        # Whether shared preferences were read for the present chunk.
        self.is_shared_fresh = False

    def load_addresses(self, addresses: Collection[Address]) -> RecipientBatch:
        """Return recipients without an account."""
        decision, recipients = self.decisions.setdefault("", CachedDecision(Person("a:"))), []
        for address in addresses:
            person = Person(address.key, bare_address=address)
            recipients.append((person.key, None, decision, *self._choose_addresses(person)))
        return RecipientBatch(recipients, True)

    def load_users(self, user_ids: Collection[Any]) -> RecipientBatch:
        """Return the users with these ids, in this order.

        Takes one statement, another one if shared preferences have to be read, and one for each channel that cannot
        reach every account.
        """
        batch = self._load_users(user_ids)
        for number, find_reachable in self.limited:
            reachable = set(find_reachable(user_ids))
            for _key, pk, _decision, addresses, _chosen in batch.recipients:
                if pk not in reachable:
                    addresses[number] = ""
        return batch

    def _load_users(self, user_ids: Collection[Any]) -> RecipientBatch:
        columns = self.columns
        if (
            columns is None
            or type(self.source) is not DatabasePreferenceSource
            or self.using != router.db_for_read(UserSettings)
        ):
            return self._load_whole_users(user_ids)
        self.is_shared_fresh = False
        rows = storage.load_recipients(self.using, self.cluster, user_ids, columns.names, columns.active)
        by_key, recipients = {}, []
        for row in rows:
            by_key[columns.get_key(row) if columns.key_field else row[KEY]] = row
        for pk in user_ids:
            key = user_key(pk)
            if pk in by_key:
                row = by_key[pk]
                # Most of many users share a decision.
                decision = self.decisions.get(row[storage.FACTS]) or self._add_decision(key, row)
                recipients.append((key, pk, decision, *columns.get_addresses(key, row)))
            else:
                recipients.append((key, None, CachedDecision(Person(key)), columns.no_addresses, NO_CHOSEN_ADDRESSES))
        return RecipientBatch(recipients, bool(rows and rows[0][storage.SUPPRESSIONS]))

    def _add_decision(self, key: str, row: Row) -> CachedDecision:
        """Return a new decision for the facts of a row, and share it with other recipients."""
        facts, pk = storage.parse_facts(row), row[storage.SETTINGS_KEY]
        settings = None if pk is None else storage.build_settings(pk, facts.settings)
        shared = self._get_shared_preferences(facts.roles) if facts.has_shared_preferences else ()
        mutes = []
        for mute in sorted(facts.mutes):
            mutes.append(parse_mute(*mute, connections[self.using].timezone))
        account = Account(bool(facts.is_active))
        decision = CachedDecision(Person(key, account, None, bool(facts.is_member), settings, shared, mutes))
        if len(self.decisions) >= MAX_CACHED_DECISIONS:
            self.decisions.clear()
        self.decisions[row[storage.FACTS]] = decision
        return decision

    def _get_shared_preferences(self, roles: Sequence[int]) -> Sequence[SharedPreference]:
        """Return the shared preferences of these roles and of the cluster. Read them again only if a role is new."""
        if not self.is_shared_fresh and not self.shared.keys() >= {None, *roles}:
            self.shared = {None: None, **SharedPreference.objects.using(self.using).load_by_role(self.cluster)}
            self.is_shared_fresh = True
        return [row for role in (None, *roles) if (row := self.shared.get(role))]

    def _load_whole_users(self, user_ids: Collection[Any]) -> RecipientBatch:
        """Return users as model instances, each with its own decision.

        This is for sites that change how users are loaded or where preferences come from.
        """
        people = load_people(self.cluster, user_ids)
        return RecipientBatch([self._build_whole_recipient(pk, person) for pk, person in people.items()], True)

    def _build_whole_recipient(self, pk: Any, person: Person) -> Recipient:
        user_id = pk if person.user is not None else None
        return person.key, user_id, CachedDecision(person), *self._choose_addresses(person)

    def _choose_addresses(self, person: Person) -> tuple[list[str], Mapping[str, ChosenAddress]]:
        chosen = {channel: person.choose_address(channel, kind) for channel, kind in self.kinds.items()}
        return [address.address for address in chosen.values()], chosen


def _find_limited(kinds: Mapping[str, str]) -> list[tuple[int, Callable[[Collection[Any]], Collection[Any]]]]:
    """Return the channels that cannot reach every account: the index of each, and its ``find_reachable``."""
    limited = []
    for number, (channel, kind) in enumerate(kinds.items()):
        find_reachable = getattr(get_channel_class(channel), "find_reachable", None) if kind == "user" else None
        if find_reachable is not None:
            limited.append((number, find_reachable))
    return limited


@dataclass(frozen=True, slots=True)
class UserColumns:
    """The columns to read, and where to find the address for a channel in a row.

    :param names: the columns with addresses.
    :param active: the column that says whether a user is active; empty if all users are.
    :param positions: the channels, each with the kind of its address and the index of the address in a row: KEY for an
        account, None for no column.
    :param key_field: the primary key field of users, if its values must be converted.
    """

    names: tuple[str, ...]
    active: str
    positions: tuple[tuple[str, str, int | None], ...]
    key_field: Any

    @property
    def no_addresses(self) -> list[str]:
        return [""] * len(self.positions)

    def get_key(self, row: Row) -> Any:
        """Return the primary key of a row, converted."""
        return self.key_field.to_python(row[KEY])

    def get_addresses(self, key: str, row: Row) -> tuple[list[str], Mapping[str, ChosenAddress]]:
        """Return an address for each channel and, by channel, the ChosenAddress if the user has chosen an address.

        A chosen address takes precedence over that of the account, except on channels that send to accounts.
        """
        addresses: list[str] = []
        for _channel, _kind, at in self.positions:
            addresses.append((row[at] or "") if at else key if at == KEY else "")
        if row[ADDRESSES] in (None, NO_ADDRESSES):
            return addresses, NO_CHOSEN_ADDRESSES
        settings, chosen = normalize_keys(json.loads(row[ADDRESSES])), {}
        for number, (channel, kind, at) in enumerate(self.positions):
            if at != KEY and settings.get(channel):
                chosen[channel] = choose_address(kind, str(settings[channel]), addresses[number])
                addresses[number] = chosen[channel].address
        return addresses, chosen


def find_user_columns(kinds: Mapping[str, str], using: str) -> UserColumns | None:
    """Return the columns to read for these channels; None if users must be loaded as model instances.

    :param kinds: the channels, each with the kind of address that it sends to.
    """
    model: Any = get_user_model()
    if pre_init.has_listeners(model) or post_init.has_listeners(model):
        return None
    fields = []
    for channel, kind in kinds.items():
        fields.append((channel, kind, "" if kind == "user" else get_address_field(model, kind)))
    return _build_user_columns(model, tuple(fields), using)


@cache
def _build_user_columns(model: Any, fields: tuple[tuple[str, str, str], ...], using: str) -> UserColumns | None:
    """Do the same for channels, each with the kind of its address and the attribute of the user that contains it."""
    names = tuple(dict.fromkeys(name for _channel, _kind, name in fields if name))
    active = "" if getattr_static(model, "is_active", None) is True else "is_active"
    columns = (*names, *([active] if active else []))
    if not _has_default_loading(model, using) or not all(_is_plain(model, name, using) for name in columns):
        return None
    if not all(isinstance(model._meta.get_field(name), CharField | TextField) for name in names):
        return None
    at = {name: REQUESTED + number for number, name in enumerate(names)}
    positions = [(channel, kind, KEY if kind == "user" else at.get(name)) for channel, kind, name in fields]
    # Integers need no conversion.
    key_field = None if isinstance(model._meta.pk, IntegerField) else model._meta.pk
    return UserColumns(names, active, tuple(positions), key_field)


def _has_default_loading(model: Any, using: str) -> bool:
    """Return whether loading users neither filters, changes nor converts their rows."""
    manager = model._default_manager
    filters = type(manager).get_queryset is not Manager.get_queryset or manager._queryset_class is not QuerySet
    customizes = (
        model.__init__ is not Model.__init__ or model.from_db.__func__ is not Model.__dict__["from_db"].__func__
    )
    return not (filters or customizes or model._meta.pk.cached_col.get_db_converters(connections[using]))


def _is_plain(model: Any, name: str, using: str) -> bool:
    """Return whether an attribute has the value of its column: no property, encryption or conversion on reading."""
    if type(getattr_static(model, name, None)) is not DeferredAttribute:
        return False
    column, connection = model._meta.get_field(name).cached_col, connections[using]
    if column.get_db_converters(connection):
        return False
    # SQLite returns 0 or 1 for a boolean; their truth value is the same.
    return isinstance(column.field, BooleanField) or not connection.ops.get_db_converters(column)
