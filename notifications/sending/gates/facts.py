"""What the gates need to know, loaded for a whole chunk of recipients in four queries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef

from notifications import conf
from notifications.core.addresses import ChosenAddress, choose_address
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Mute, SharedPreference, UserSettings, membership
from notifications.models.fingerprint import Original
from notifications.preferences import UserPreferences, wishes_of
from notifications.recipients import Address, user_key


@dataclass(frozen=True, slots=True)
class Person:
    """One recipient: a user with what the cluster knows of them, or a bare address."""

    key: str
    user: Any = None
    bare: Address | None = None
    member: bool = False
    settings: UserSettings | None = None
    shared: Sequence[SharedPreference] = ()
    mutes: Sequence[Mute] = ()

    @property
    def has_no_account(self) -> bool:
        return self.key.startswith("a:")

    def address_for(self, channel: str, kind: str) -> str:
        """Where to reach this person on a channel that sends to this kind of address; empty if nowhere."""
        return self.reach(channel, kind).address

    def reach(self, channel: str, kind: str) -> ChosenAddress:
        """The same, with the address that is passed over for it, and one to take instead."""
        if kind == "user":
            return ChosenAddress(self.key if self.user is not None else "")
        if self.bare is not None:
            return ChosenAddress(self.bare.of_kind(kind))
        if self.user is None:
            return ChosenAddress("")
        own = self.settings.address_for(channel) if self.settings else ""
        return choose_address(kind, own, _address_of(self.user, kind))


def _address_of(user: Any, kind: str) -> str:
    name = address_field(type(user), kind)
    return str(getattr(user, name, "") or "") if name else ""


def address_field(model: Any, kind: str) -> str:
    """The attribute of users that holds their address of a kind; empty if none does."""
    return conf.current().address_fields.get(kind) or (model.get_email_field_name() if kind == "email" else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """One recipient on one channel.

    Of what tells one user from another a gate may look at the address alone: ``send()`` asks for all others whose
    settings, mutes and roles are the same only once.
    """

    event: NotificationEvent
    channel: str
    kind: str
    person: Person
    # A delivery keeps the address that it was queued with; before that, it is the person's present one.
    queued_with: str | None = None
    suppressed: frozenset[tuple[str, str]] = frozenset()
    # What this would be a repeat of.
    first: Original | None = None
    topic: str = field(default="", kw_only=True)
    actor_id: Any = field(default=None, kw_only=True)
    expires_at: datetime | None = field(default=None, kw_only=True)
    # The address in the user's settings that was passed over for this one. No gate looks at it.
    rejected_address: str = field(default="", kw_only=True)
    # What the call made of it, where that is not told by the event.
    priority: NotificationPriority | None = field(default=None, kw_only=True)
    now: datetime = field(kw_only=True)
    # When it was to go out: its send_at, or when it was asked for. Before that the gates are asked for that moment.
    wanted_at: datetime = field(kw_only=True)
    # Whether the call named that moment, rather than "now".
    has_own_time: bool = field(default=False, kw_only=True)

    @property
    def urgency(self) -> NotificationPriority:
        return self.priority or self.event.priority

    @property
    def moment(self) -> datetime:
        """The moment that the gates are asked for."""
        return max(self.now, self.wanted_at)

    @property
    def address(self) -> str:
        return self.person.address_for(self.channel, self.kind) if self.queued_with is None else self.queued_with

    @property
    def kept_address(self) -> str:
        """What rows keep: an account is named by its recipient key and needs no address besides."""
        return "" if self.kind == "user" else self.address


def people(cluster: Any, user_ids: Collection[Any]) -> dict[Any, Person]:
    """Everyone among ``user_ids`` by id, with membership and preferences in this cluster.

    An id without a user gets a person without one; the recipient gate knows what to say.
    """
    if not user_ids:
        return {}
    in_cluster = membership(cluster).order_by().filter(pk=OuterRef("pk"))
    users = get_user_model()._default_manager.filter(pk__in=user_ids).annotate(klaxon_member=Exists(in_cluster))
    wishes = wishes_of(cluster, user_ids)
    found = {user.pk: _person(user, user.klaxon_member, wishes.get(user.pk, UserPreferences())) for user in users}
    return {pk: found.get(pk) or Person(user_key(pk)) for pk in user_ids}


def _person(user: Any, member: bool, wishes: UserPreferences) -> Person:
    key = user_key(user.pk)
    return Person(key, user, member=member, settings=wishes.settings, shared=wishes.shared, mutes=wishes.mutes)
