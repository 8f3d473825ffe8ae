"""The facts that gates decide by. :func:`load_people` loads the people of a chunk of recipients in four queries.

``send()`` and ``explain()`` usually read the same data by one statement: see ``storage.load_recipients`` and
``gates.recipient_batch``. There, ``person.user`` is an ``Account``, which has only ``is_active``. Load what a new gate
needs in both places.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef

from notifications import conf
from notifications.conf import get_address_kind
from notifications.core.addresses import ChosenAddress, choose_address, user_key
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery, Mute, Notification, SharedPreference, UserSettings, get_members
from notifications.models.fingerprint import Original
from notifications.models.suppression import Pair, SuppressedAddress
from notifications.preferences import UserPreferences, load_preferences
from notifications.recipients import Address

NO_PREFERENCES = UserPreferences()


@dataclass(frozen=True, slots=True)
class Person:
    """A recipient: a user with their membership, settings, shared preferences and mutes in a cluster, or an address."""

    key: str
    user: Any = None
    bare_address: Address | None = None
    is_member: bool = False
    settings: UserSettings | None = None
    shared: Sequence[SharedPreference] = ()
    mutes: Sequence[Mute] = ()

    @property
    def has_no_account(self) -> bool:
        return self.key.startswith("a:")

    def choose_address(self, channel: str, kind: str) -> ChosenAddress:
        """Return the address for a channel that sends to this kind of address; empty if there is none."""
        if kind == "user":
            return ChosenAddress(self.key if self.user is not None else "")
        if self.bare_address is not None:
            return ChosenAddress(self.bare_address.of_kind(kind))
        if self.user is None:
            return ChosenAddress("")
        chosen = self.settings.address_for(channel) if self.settings else ""
        return choose_address(kind, chosen, get_account_address(self.user, kind))


def get_account_address(user: Any, kind: str) -> str:
    """Return the address of this kind of a user's account; empty if it has none."""
    name = get_address_field(type(user), kind)
    return str(getattr(user, name, "") or "") if name else ""


def get_address_field(model: Any, kind: str) -> str:
    """Return the name of the user attribute with the address of this kind; empty if there is none."""
    return conf.current().address_fields.get(kind) or (model.get_email_field_name() if kind == "email" else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """What gates know of one recipient on one channel. :func:`build_facts` collects them.

    Gates must not depend on the user's identity, only on their address: ``send()`` calls the gates once for all users
    with the same settings, mutes and roles.
    """

    event: NotificationEvent
    channel: str
    kind: str
    person: Person
    address: str = ""
    suppressed: frozenset[SuppressedAddress] = frozenset()
    # The notification of which this is a duplicate.
    original: Original | None = None
    cluster_id: Any = field(default=None, kw_only=True)
    topic: str = field(default="", kw_only=True)
    actor_id: Any = field(default=None, kw_only=True)
    expires_at: datetime | None = field(default=None, kw_only=True)
    # The unusable address in the user's settings that was rejected for this one. No gate reads it.
    rejected_address: str = field(default="", kw_only=True)
    # The priority of the call; if it is None, that of the event.
    priority: int | None = field(default=None, kw_only=True)
    now: datetime = field(kw_only=True)
    # Its send_at, or else the time of the call. Before this time, gates decide as of this time.
    wanted_at: datetime = field(kw_only=True)
    # Whether the call has set send_at.
    has_own_time: bool = field(default=False, kw_only=True)

    @property
    def effective_priority(self) -> int:
        return self.priority or self.event.priority

    @property
    def decision_time(self) -> datetime:
        """The time as of which gates decide."""
        return max(self.now, self.wanted_at)

    @property
    def stored_address(self) -> str:
        """The address for the database: empty for an account, which its recipient key identifies."""
        return "" if self.kind == "user" else self.address


def build_facts(
    delivery: Any,
    person: Person,
    suppressed: frozenset[SuppressedAddress],
    now: datetime,
    wanted_at: datetime | None = None,
    *,
    notification: Notification | None = None,
    event: NotificationEvent | None = None,
    original: Original | None = None,
    rejected_address: str = "",
) -> Facts:
    """Return the facts about a delivery: a queued one, or a candidate of ``send()``, which has no notification yet.

    :param delivery: anything with a channel and an address.
    :param wanted_at: by default the notification's, but not after ``now``: by this clock, a queued delivery may have
        been released too early.
    :param notification: by default the delivery's.
    :param event: by default the one that is registered under the notification's event.
    """
    notification = notification or delivery.notification
    return Facts(
        event or notification.declared_event or NOTIFICATION_EVENTS.find(notification.event),
        delivery.channel,
        get_address_kind(delivery.channel),
        person,
        delivery.address,
        suppressed,
        original,
        cluster_id=notification.cluster_id,
        topic=notification.topic,
        actor_id=notification.actor_id,
        expires_at=notification.expires_at,
        rejected_address=rejected_address,
        priority=notification.priority,
        now=now,
        wanted_at=wanted_at or min(notification.wanted_at, now),
        has_own_time=notification.has_own_time,
    )


def load_people(cluster: Any, user_ids: Collection[Any]) -> dict[Any, Person]:
    """Return a person for each of ``user_ids``, with membership and preferences in this cluster.

    If there is no user with an id, its person has no user, and the recipient gate drops it.
    """
    if not user_ids:
        return {}
    members = get_members(cluster).order_by().filter(pk=OuterRef("pk"))
    users = get_user_model()._default_manager.filter(pk__in=user_ids).annotate(klaxon_member=Exists(members))
    preferences = load_preferences(cluster, user_ids)
    found = {user.pk: user for user in users}
    people: dict[Any, Person] = {}
    for pk in user_ids:
        key, user, own = user_key(pk), found.get(pk), preferences.get(pk, NO_PREFERENCES)
        if user is None:
            people[pk] = Person(key)
        else:
            people[pk] = Person(key, user, None, user.klaxon_member, own.settings, own.shared, own.mutes)
    return people


def load_delivery_recipients(deliveries: Sequence[Delivery]) -> dict[int, Person]:
    """Return the recipient of each delivery by the primary key of the delivery. Takes four queries for each cluster."""
    by_cluster: dict[Any, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_cluster[delivery.notification.cluster_id].append(delivery)
    persons: dict[int, Person] = {}
    for in_cluster in by_cluster.values():
        user_ids = {delivery.recipient_id for delivery in in_cluster if delivery.recipient_id is not None}
        people = load_people(in_cluster[0].notification.cluster, user_ids)
        for delivery in in_cluster:
            persons[delivery.pk] = people.get(delivery.recipient_id) or Person(delivery.recipient_key)
    return persons


def collect_addresses(deliveries: Sequence[Delivery]) -> set[Pair]:
    """Return the addresses of the deliveries on enabled channels, each with its kind."""
    enabled = conf.current().enabled_channels
    pairs: set[Pair] = set()
    for row in deliveries:
        if row.address and row.channel in enabled:
            pairs.add((get_address_kind(row.channel), row.address))
    return pairs
