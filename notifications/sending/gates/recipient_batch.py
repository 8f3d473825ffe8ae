"""The recipients of a chunk, for ``send()``: those of whom the gates know the same are asked about as one.

Of ten thousand users most have the same settings, or none. Gates are pure functions of the facts, and of what tells one
user from another they look at nothing but the address; so one answer serves all who are alike.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connections, router

from notifications.core.addresses import ChosenAddress
from notifications.models import SharedPreference, UserSettings
from notifications.models.mute import mute_from
from notifications.outcomes import Answer
from notifications.preferences import DatabasePreferenceSource, preference_source
from notifications.recipients import Address, user_key
from notifications.sending.gates.facts import Person, people
from notifications.sending.gates.user_columns import NOTHING, Columns, find_user_columns
from notifications.storage import load_recipients as storage
from notifications.storage.load_recipients import Row

# So that a send to millions, no two of whom are alike, keeps no more of them in memory.
MOST_KINDS = 1000


@dataclass(slots=True, eq=False)
class CachedDecision:
    """Recipients of whom the gates know the same, but for the address. ``person`` stands for them all.

    Whoever asks keeps here what was answered, by a mark that tells the questions apart: the ``answers`` of all gates,
    and whether those before the gate of the duplicates let it through.
    """

    person: Person
    answers: dict[Any, Answer] = field(default_factory=dict)
    reached: dict[Any, bool] = field(default_factory=dict)


# Recipient key; the user's primary key, None where there is no user; who is alike; an address for each channel, empty
# where there is none; by channel what else there is to know of it, where the user gave one of their own. A plain tuple:
# of a send to many thousands making anything more would be felt.
Recipient = tuple[str, Any, CachedDecision, Sequence[str], Mapping[str, ChosenAddress]]


class RecipientBatch(NamedTuple):
    """``may_be_suppressed`` is False where no address is, so that nobody need ask."""

    recipients: Sequence[Recipient]
    may_be_suppressed: bool


@dataclass(frozen=True, slots=True)
class Account:
    """What gates look at of a user."""

    is_active: bool


class RecipientLoader:
    """The crowds of one send, chunk by chunk: who is like somebody in an earlier chunk is alike, too.

    :param kinds: channels, each with the kind of address that it sends to.
    """

    def __init__(self, cluster: Any, kinds: Mapping[str, str]) -> None:
        self.cluster = cluster
        self.kinds = kinds
        self.using = router.db_for_read(get_user_model())
        self.source = preference_source()
        self.columns = find_user_columns(kinds, self.using)
        self.known: dict[Any, CachedDecision] = {}
        self.shared: dict[int | None, SharedPreference | None] = {}
        # Whether that was read for the present chunk.
        self.is_fresh = False

    def bare(self, addresses: Collection[Address]) -> RecipientBatch:
        """Those without an account."""
        alike, found = self.known.setdefault("", CachedDecision(Person("a:"))), []
        for address in addresses:
            person = Person(address.key, bare=address)
            found.append((person.key, None, alike, *self._addresses_of(person)))
        return RecipientBatch(found, True)

    def users(self, user_ids: Collection[Any]) -> RecipientBatch:
        """Users by id, in this order, with their addresses. One statement, and another for what they share."""
        columns = self.columns
        if (
            columns is None
            or type(self.source) is not DatabasePreferenceSource
            or self.using != router.db_for_read(UserSettings)
        ):
            return self._whole(user_ids)
        self.is_fresh = False
        rows = storage.load_recipients(self.using, self.cluster, user_ids, columns.names, columns.active)
        found = columns.by_key(rows)
        recipients = [self._recipient(pk, found.get(pk), columns) for pk in user_ids]
        return RecipientBatch(recipients, bool(rows and rows[0][storage.SUPPRESSIONS]))

    def _recipient(self, pk: Any, row: Row | None, columns: Columns) -> Recipient:
        key = user_key(pk)
        if row is None:
            return key, None, CachedDecision(Person(key)), columns.no_addresses, NOTHING
        alike = self.known.get(row[storage.FACTS]) or self._remembered(row[storage.FACTS], self._alike(key, row))
        return key, pk, alike, *columns.addresses(key, row)

    def _alike(self, key: str, row: Row) -> CachedDecision:
        facts, pk = storage.parse_facts(row), row[storage.SETTINGS_KEY]
        settings = None if pk is None else storage.build_settings(pk, facts.settings)
        shared = self._shared_by(facts.roles) if facts.has_shared_preferences else ()
        mutes = [mute_from(*mute, connections[self.using].timezone) for mute in sorted(facts.mutes)]
        return CachedDecision(
            Person(key, Account(bool(facts.is_active)), None, bool(facts.is_member), settings, shared, mutes)
        )

    def _shared_by(self, roles: Sequence[int]) -> Sequence[SharedPreference]:
        """What those with these roles share, and the whole cluster; read once for a send, if no role is new."""
        if not self.is_fresh and not self.shared.keys() >= {None, *roles}:
            self.shared = {None: None, **SharedPreference.objects.using(self.using).load_by_role(self.cluster)}
            self.is_fresh = True
        return [row for role in (None, *roles) if (row := self.shared.get(role))]

    def _remembered(self, mark: Any, alike: CachedDecision) -> CachedDecision:
        if len(self.known) >= MOST_KINDS:
            self.known.clear()
        self.known[mark] = alike
        return alike

    def _whole(self, user_ids: Collection[Any]) -> RecipientBatch:
        """Where users or preferences are not as Django and Klaxon have them: each as a whole, asked about alone."""
        return RecipientBatch([self._alone(pk, person) for pk, person in people(self.cluster, user_ids).items()], True)

    def _alone(self, pk: Any, person: Person) -> Recipient:
        user_id = pk if person.user is not None else None
        return person.key, user_id, CachedDecision(person), *self._addresses_of(person)

    def _addresses_of(self, person: Person) -> tuple[list[str], Mapping[str, ChosenAddress]]:
        reaches = {channel: person.reach(channel, kind) for channel, kind in self.kinds.items()}
        return [reach.address for reach in reaches.values()], reaches
