"""The facts that gates decide by, loaded for a whole chunk of recipients in four queries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef

from notifications import conf
from notifications.core.addresses import ChosenAddress, choose_address, user_key
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Mute, SharedPreference, UserSettings, get_members
from notifications.models.fingerprint import Original
from notifications.preferences import UserPreferences, load_preferences
from notifications.recipients import Address


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

    def address_for(self, channel: str, kind: str) -> str:
        """Return the address for a channel that sends to this kind of address; empty if there is none."""
        return self.choose_address(channel, kind).address

    def choose_address(self, channel: str, kind: str) -> ChosenAddress:
        """Return the address, the unusable one that was rejected for it, and the one to use if it is suppressed."""
        if kind == "user":
            return ChosenAddress(self.key if self.user is not None else "")
        if self.bare_address is not None:
            return ChosenAddress(self.bare_address.of_kind(kind))
        if self.user is None:
            return ChosenAddress("")
        chosen = self.settings.address_for(channel) if self.settings else ""
        return choose_address(kind, chosen, _get_account_address(self.user, kind))


def _get_account_address(user: Any, kind: str) -> str:
    name = get_address_field(type(user), kind)
    return str(getattr(user, name, "") or "") if name else ""


def get_address_field(model: Any, kind: str) -> str:
    """Return the name of the user attribute with the address of this kind; empty if there is none."""
    return conf.current().address_fields.get(kind) or (model.get_email_field_name() if kind == "email" else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """What gates know of one recipient on one channel.

    Gates must not depend on the user's identity, only on their address: ``send()`` calls the gates once for all users
    with the same settings, mutes and roles.
    """

    event: NotificationEvent
    channel: str
    kind: str
    person: Person
    # The address of a queued delivery, which never changes. If it is None, the person's present address is used.
    queued_address: str | None = None
    suppressed: frozenset[tuple[str, str]] = frozenset()
    # The notification of which this is a duplicate.
    original: Original | None = None
    topic: str = field(default="", kw_only=True)
    actor_id: Any = field(default=None, kw_only=True)
    expires_at: datetime | None = field(default=None, kw_only=True)
    # The unusable address in the user's settings that was rejected for this one. No gate reads it.
    rejected_address: str = field(default="", kw_only=True)
    # The priority that the call has set, if it differs from the priority of the event.
    priority: NotificationPriority | None = field(default=None, kw_only=True)
    now: datetime = field(kw_only=True)
    # Its send_at, or else the time of the call. Before this time, gates decide as of this time.
    wanted_at: datetime = field(kw_only=True)
    # Whether the call has set send_at.
    has_own_time: bool = field(default=False, kw_only=True)

    @property
    def effective_priority(self) -> NotificationPriority:
        return self.priority or self.event.priority

    @property
    def decision_time(self) -> datetime:
        """The time as of which gates decide."""
        return max(self.now, self.wanted_at)

    @property
    def address(self) -> str:
        return self.person.address_for(self.channel, self.kind) if self.queued_address is None else self.queued_address

    @property
    def stored_address(self) -> str:
        """The address for the database: empty for an account, which its recipient key identifies."""
        return "" if self.kind == "user" else self.address


def load_people(cluster: Any, user_ids: Collection[Any]) -> dict[Any, Person]:
    """Return a person for each of ``user_ids``, with membership and preferences in this cluster.

    If there is no user with an id, its person has no user, and the recipient gate drops it.
    """
    if not user_ids:
        return {}
    members = get_members(cluster).order_by().filter(pk=OuterRef("pk"))
    users = get_user_model()._default_manager.filter(pk__in=user_ids).annotate(klaxon_member=Exists(members))
    preferences = load_preferences(cluster, user_ids)
    found = {
        user.pk: _build_person(user, user.klaxon_member, preferences.get(user.pk, UserPreferences())) for user in users
    }
    return {pk: found.get(pk) or Person(user_key(pk)) for pk in user_ids}


def _build_person(user: Any, is_member: bool, preferences: UserPreferences) -> Person:
    return Person(
        user_key(user.pk),
        user,
        is_member=is_member,
        settings=preferences.settings,
        shared=preferences.shared,
        mutes=preferences.mutes,
    )
