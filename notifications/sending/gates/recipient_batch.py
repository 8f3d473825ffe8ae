"""The recipients of a chunk of ``send()``. Gates decide only once about recipients with equal facts.

Of ten thousand users, most have the same settings, or none. Gates are pure functions of the facts, and of the user's
identity they see only the address. So users whose facts are equal share one decision.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connections, router

from notifications.core.addresses import ChosenAddress, user_key
from notifications.models import SharedPreference, UserSettings
from notifications.models.mute import parse_mute
from notifications.outcomes import Answer
from notifications.preferences import DatabasePreferenceSource, make_preference_source
from notifications.recipients import Address
from notifications.sending.gates.facts import Person, load_people
from notifications.sending.gates.user_columns import NO_CHOSEN_ADDRESSES, UserColumns, find_user_columns
from notifications.storage import load_recipients as storage
from notifications.storage.load_recipients import Row

# Limits the memory that a send to millions of users with different facts takes.
MAX_CACHED_DECISIONS = 1000


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
Recipient = tuple[str, Any, CachedDecision, Sequence[str], Mapping[str, ChosenAddress]]


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

        Takes one statement, and another one if shared preferences have to be read.
        """
        columns = self.columns
        if (
            columns is None
            or type(self.source) is not DatabasePreferenceSource
            or self.using != router.db_for_read(UserSettings)
        ):
            return self._load_whole_users(user_ids)
        self.is_shared_fresh = False
        rows = storage.load_recipients(self.using, self.cluster, user_ids, columns.names, columns.active)
        by_key = columns.index_rows(rows)
        recipients = [self._build_recipient(pk, by_key.get(pk), columns) for pk in user_ids]
        return RecipientBatch(recipients, bool(rows and rows[0][storage.SUPPRESSIONS]))

    def _build_recipient(self, pk: Any, row: Row | None, columns: UserColumns) -> Recipient:
        key = user_key(pk)
        if row is None:
            return key, None, CachedDecision(Person(key)), columns.no_addresses, NO_CHOSEN_ADDRESSES
        facts = row[storage.FACTS]
        decision = self.decisions.get(facts) or self._cache(facts, self._build_decision(key, row))
        return key, pk, decision, *columns.get_addresses(key, row)

    def _build_decision(self, key: str, row: Row) -> CachedDecision:
        facts, pk = storage.parse_facts(row), row[storage.SETTINGS_KEY]
        settings = None if pk is None else storage.build_settings(pk, facts.settings)
        shared = self._get_shared_preferences(facts.roles) if facts.has_shared_preferences else ()
        mutes = [parse_mute(*mute, connections[self.using].timezone) for mute in sorted(facts.mutes)]
        return CachedDecision(
            Person(key, Account(bool(facts.is_active)), None, bool(facts.is_member), settings, shared, mutes)
        )

    def _get_shared_preferences(self, roles: Sequence[int]) -> Sequence[SharedPreference]:
        """Return the shared preferences of these roles and of the cluster. Read them again only if a role is new."""
        if not self.is_shared_fresh and not self.shared.keys() >= {None, *roles}:
            self.shared = {None: None, **SharedPreference.objects.using(self.using).load_by_role(self.cluster)}
            self.is_shared_fresh = True
        return [row for role in (None, *roles) if (row := self.shared.get(role))]

    def _cache(self, key: Any, decision: CachedDecision) -> CachedDecision:
        if len(self.decisions) >= MAX_CACHED_DECISIONS:
            self.decisions.clear()
        self.decisions[key] = decision
        return decision

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
