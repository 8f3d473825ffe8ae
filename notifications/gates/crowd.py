"""The recipients of a chunk, for ``send()``: those of whom the gates know the same are asked about as one.

Of ten thousand users most have the same settings, or none. Gates are pure functions of the facts, and of what tells one
user from another they look at nothing but the address; so one answer serves all who are alike.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import router

from notifications.gates.columns import Columns, columns_for
from notifications.gates.facts import Person, people
from notifications.gates.source import OwnTables, preference_source
from notifications.models import UserSettings, crowd
from notifications.outcomes import Answer
from notifications.recipients import Address, user_key


@dataclass(slots=True, eq=False)
class Alike:
    """Recipients of whom the gates know the same, but for the address. ``person`` stands for them all.

    Whoever asks keeps here what was answered, by a mark that tells the questions apart: the ``answers`` of all gates, and
    whether those before the gate of the duplicates let it through.
    """

    person: Person
    answers: dict[Any, Answer] = field(default_factory=dict)
    reached: dict[Any, bool] = field(default_factory=dict)


class Recipient(NamedTuple):
    """``user_id`` is None where there is no user. One address for each channel; empty where there is none."""

    key: str
    user_id: Any
    alike: Alike
    addresses: Sequence[str]


class Crowd(NamedTuple):
    """``may_be_suppressed`` is False where no address is, so that nobody need ask."""

    recipients: Sequence[Recipient]
    may_be_suppressed: bool


@dataclass(frozen=True, slots=True)
class Account:
    """What gates look at of a user."""

    is_active: bool


def bare(addresses: Collection[Address], kinds: Mapping[str, str]) -> Crowd:
    """Those without an account."""
    alike, found = Alike(Person("a:")), []
    for address in addresses:
        person = Person(address.key, bare=address)
        found.append(Recipient(person.key, None, alike, [person.address_for(*pair) for pair in kinds.items()]))
    return Crowd(found, True)


def users(cluster: Any, user_ids: Collection[Any], kinds: Mapping[str, str]) -> Crowd:
    """Users by id, in this order, with their addresses on channels that send to these kinds.

    One statement; another where the cluster has preferences of its own or of roles, and another where one of the users
    has muted something.
    """
    using, source = router.db_for_read(get_user_model()), preference_source()
    columns = columns_for(kinds, using)
    if columns is None or type(source) is not OwnTables or using != router.db_for_read(UserSettings):
        return _whole(cluster, user_ids, kinds)
    rows = crowd.read(using, cluster, user_ids, columns.names, columns.active)
    known = dict(zip(map(columns.key, rows), rows, strict=True))
    alike = _Alikes(using, source, cluster, user_ids, rows, columns)
    found = [_recipient(pk, known.get(pk), alike, columns) for pk in user_ids]
    return Crowd(found, any(row[crowd.SUPPRESSIONS] for row in rows[:1]))


def _recipient(pk: Any, row: tuple[Any, ...] | None, alike: "_Alikes", columns: Columns) -> Recipient:
    key = user_key(pk)
    if row is None:
        return Recipient(key, None, Alike(Person(key)), columns.no_addresses)
    return Recipient(key, pk, alike.to(pk, key, row), columns.addresses(key, row))


class _Alikes:
    """Those of a chunk, sorted: under what the gates know, whoever has it first stands for all."""

    def __init__(
        self, using: str, source: Any, cluster: Any, ids: Collection[Any], rows: Sequence[Any], columns: Columns
    ) -> None:
        self.using = using
        self.about = columns.about
        self.known: dict[Any, Alike] = {}
        self.shared = source.shared_by(cluster, ids) if rows and rows[0][crowd.SHARED] else {}
        self.mutes = source.mutes_of(cluster, ids) if rows and rows[0][crowd.MUTES] else {}

    def to(self, pk: Any, key: str, row: tuple[Any, ...]) -> Alike:
        shared, about = self.shared.get(pk, ()), row[self.about :]
        # Nobody else has their mutes.
        mark = about, tuple(map(id, shared)), pk if pk in self.mutes else None
        found = self.known.get(mark)
        if found is None:
            is_active, is_member, *values = about
            its = row[crowd.SETTINGS_KEY]
            settings = None if its is None else crowd.settings_from(self.using, its, values)
            account, mutes = Account(bool(is_active)), self.mutes.get(pk, ())
            found = self.known[mark] = Alike(Person(key, account, None, bool(is_member), settings, shared, mutes))
        return found


def _whole(cluster: Any, user_ids: Collection[Any], kinds: Mapping[str, str]) -> Crowd:
    """Where users or preferences are not as Django and Klaxon have them: each as a whole, asked about alone."""
    found = []
    for pk, person in people(cluster, user_ids).items():
        addresses = [person.address_for(*pair) for pair in kinds.items()]
        found.append(Recipient(person.key, pk if person.user is not None else None, Alike(person), addresses))
    return Crowd(found, True)
