"""Whose preferences a page shows, and everything that the gates know about this person."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import router

from notifications.conf import get_address_kind
from notifications.core import clock
from notifications.core.addresses import ChosenAddress
from notifications.models import Mute, Suppression, UserSettings
from notifications.models.suppression import SuppressedAddress, is_suppressed
from notifications.preference_centre.widgets.names import list_reaching_channels
from notifications.preferences import DatabasePreferenceSource, make_preference_source
from notifications.sending.gates import Person, load_people


@dataclass(frozen=True)
class Owner:
    """A user in a cluster, whose preferences a page shows.

    :param channels: the channels that the page is about: all, or that of the link in an email.
    :param may_change_addresses: whether the page can change addresses. A link cannot: whoever gets a forwarded email
        could send the notifications elsewhere.
    """

    user: Any
    cluster: Any
    channels: tuple[str, ...]
    may_change_addresses: bool = True

    @classmethod
    def signed_in(cls, user: Any, cluster: Any) -> "Owner":
        """Return the owner for a page of a user who is signed in."""
        return cls(user, cluster, tuple(list_reaching_channels()))

    @classmethod
    def by_link(cls, user: Any, cluster: Any, channel: str) -> "Owner":
        """Return the owner for the page of a link in a message on this channel."""
        return cls(user, cluster, tuple(name for name in list_reaching_channels() if name == channel), False)


@dataclass(frozen=True)
class Standing:
    """What the gates know about an owner at a moment.

    :param kinds: the kind of address of each channel of the owner.
    :param addresses: the address of each channel that a notification would use.
    """

    person: Person
    now: datetime
    cluster_id: Any
    kinds: Mapping[str, str]
    addresses: Mapping[str, ChosenAddress]
    suppressed: frozenset[SuppressedAddress]

    def with_settings(self, settings: UserSettings) -> "Standing":
        """Return the standing with other settings."""
        return replace(self, person=replace(self.person, settings=settings))

    def with_mute(self, mute: Mute) -> "Standing":
        """Return the standing with one more mute."""
        return replace(self, person=replace(self.person, mutes=[*self.person.mutes, mute]))

    def without_mute(self, key: int) -> "Standing":
        """Return the standing without a mute."""
        mutes = [mute for mute in self.person.mutes if mute.pk != key]
        return replace(self, person=replace(self.person, mutes=mutes))

    @property
    def settings(self) -> UserSettings | None:
        return self.person.settings


def load_standing(owner: Owner) -> Standing:
    """Return what the gates know about an owner now. The number of queries is constant."""
    person = load_people(owner.cluster, [owner.user.pk])[owner.user.pk]
    kinds = {channel: get_address_kind(channel) for channel in owner.channels}
    chosen = {channel: person.choose_address(channel, kind) for channel, kind in kinds.items()}
    pairs = {
        (kinds[channel], address)
        for channel, choice in chosen.items()
        for address in (choice.address, choice.alternative)
        if address and kinds[channel] != "user"
    }
    suppressed = Suppression.objects.find_suppressed(pairs)
    cluster_id = owner.cluster.pk
    usable = {channel: _avoid(choice, kinds[channel], suppressed, cluster_id) for channel, choice in chosen.items()}
    now = clock.now(router.db_for_write(UserSettings))
    return Standing(person, now, cluster_id, kinds, usable, suppressed)


def _avoid(
    choice: ChosenAddress, kind: str, suppressed: frozenset[SuppressedAddress], cluster_id: Any
) -> ChosenAddress:
    """Return the choice of the account's address if the user's own is suppressed, as ``send()`` does."""
    other = choice.alternative
    if not other or not is_suppressed(suppressed, kind, choice.address, cluster_id):
        return choice
    return choice if is_suppressed(suppressed, kind, other, cluster_id) else choice.use_alternative()


def keeps_settings_here() -> bool:
    """Return whether the settings of users are in Klaxon's tables, so that the page can change them."""
    source: Any = make_preference_source()
    default = DatabasePreferenceSource
    return all(getattr(type(source), name, None) is getattr(default, name) for name in ("load", "settings_of"))


def lock_settings(owner: Owner, using: str) -> UserSettings:
    """Return the settings of an owner, locked until the transaction ends; new ones if there are none."""
    names = {"user": owner.user, "cluster": owner.cluster}
    rows = UserSettings.objects.using(using).select_for_update(of=("self",))
    return rows.filter(**names).first() or UserSettings(**names)
