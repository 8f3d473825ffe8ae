"""Recipients other than users and groups: members, subscribers, addresses without an account, and recipients limited
to some channels."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from django.apps import apps
from django.db.models import Model, QuerySet

from notifications import conf
from notifications.conf import get_site_address_kinds
from notifications.conf.problem import suggest
from notifications.context import UNSTORABLE
from notifications.core.addresses import VALIDATORS, user_key
from notifications.events import key_of
from notifications.exceptions import InvalidOption, InvalidRecipient

if TYPE_CHECKING:
    # A module may create recipients before the apps can be imported.
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import Group

__all__ = [
    "Address",
    "GroupNamed",
    "Members",
    "Recipient",
    "Recipients",
    "To",
    "Topic",
    "channel_names",
    "user_key",
]
TOPIC_LENGTH = 200


@dataclass(frozen=True)
class Members:
    """All users that ``MEMBERS_OF(cluster)`` returns; ``None`` means the default cluster."""

    cluster: Model | None


@dataclass(frozen=True)
class GroupNamed:
    """The group of this name, which ``send()`` looks up. ``MESSAGE_RECIPIENTS`` may name one."""

    name: str


@dataclass(frozen=True, init=False)
class Topic:
    """All subscribers of a topic in the cluster of the call: ``Topic("road works")``.

    Case and surrounding white space are ignored.

    :raises InvalidOption: if the topic is not a string of 1 to 200 characters.
    """

    key: str

    def __init__(self, topic: Enum | str) -> None:
        key = key_of(topic) if isinstance(topic, str | Enum) else ""
        if not 0 < len(key) <= TOPIC_LENGTH or UNSTORABLE.search(key):
            raise InvalidOption(f"A topic is a text of 1 to {TOPIC_LENGTH} plain characters, not {topic!a:.80}.")
        object.__setattr__(self, "key", key)


@dataclass(frozen=True, init=False)
class To:
    """Recipients on only some of the channels of the call.

    ``[To(guards, channels=["sms", "app"]), To(residents, channels=["app"])]``. A recipient in several ``To`` gets the
    channels of all of them, each once. A recipient who is also named without a ``To`` gets all channels of the call.

    :param recipients: any recipients that ``send()`` accepts, except another ``To``.
    :param channels: a list; each must be one of the channels of the call.
    :raises InvalidOption: if ``channels`` is not a list, or is empty.
    """

    recipients: "Recipients"
    channels: tuple[str, ...]

    def __init__(self, recipients: "Recipients", channels: Iterable[Enum | str]) -> None:
        object.__setattr__(self, "recipients", recipients)
        object.__setattr__(self, "channels", channel_names(channels))

    def narrowed(self, channels: Iterable[str]) -> frozenset[str]:
        """Return the channels of these recipients.

        :param channels: the channels of the call.
        :raises InvalidOption: if one is not a channel of the call.
        """
        unknown = [channel for channel in self.channels if channel not in channels]
        if unknown:
            raise InvalidOption(
                f"channels of a To(…) may only narrow those of the call ({', '.join(channels)}); "
                f"{', '.join(unknown)} cannot be added."
            )
        return frozenset(self.channels)


def channel_names(channels: Any) -> tuple[str, ...]:
    """Return the names of the channels that a caller chose, each once.

    :raises InvalidOption: if ``channels`` is not a list, or is empty.
    """
    if isinstance(channels, str | Enum) or not isinstance(channels, Iterable):
        raise InvalidOption(f"channels must be a list, not {channels!r:.80}.")
    names = tuple(dict.fromkeys(key_of(channel) for channel in channels))
    if not names:
        raise InvalidOption(
            "channels is empty. Name a channel, or leave channels out to use all channels of the event."
        )
    return names


@dataclass(frozen=True, init=False)
class Address:
    """A recipient without an account, such as an emergency contact who only has a phone.

    ``Address(email="contact@example.com", phone="+4915112345678")``. The names are the kinds of addresses that channels
    use. Deliveries on a channel whose kind is missing are dropped with the reason *no_address*.

    :raises InvalidRecipient: if an address is not a string, there is no address, or no channel of the site uses the
        kind.
    """

    by_kind: tuple[tuple[str, str], ...]

    def __init__(self, /, *unnamed: Any, **by_kind: str | None) -> None:
        if unnamed:
            raise InvalidRecipient(f"Name the kind of each address, such as Address(email={unnamed[0]!r:.80}).")
        _check_kinds(by_kind)
        for kind, value in by_kind.items():
            if value is not None and not isinstance(value, str):
                raise InvalidRecipient(
                    f"The addresses of an Address must be texts, but its {kind} is {value!r:.80}. Write it in quotes."
                )
        given = {kind: value.strip() for kind, value in by_kind.items() if value and value.strip()}
        if not given:
            raise InvalidRecipient(
                'An Address needs at least one address, such as Address(email="contact@example.com").'
            )
        object.__setattr__(self, "by_kind", tuple(sorted(given.items())))

    @classmethod
    def stored(cls, by_kind: Mapping[str, str]) -> "Address":
        """Return an address that was stored, without validating its kinds: the settings may have changed since."""
        address = cls.__new__(cls)
        object.__setattr__(address, "by_kind", tuple(sorted(by_kind.items())))
        return address

    def of_kind(self, kind: str) -> str:
        """Return the address of this kind, or an empty string."""
        return dict(self.by_kind).get(kind, "")

    @property
    def key(self) -> str:
        """The recipient key: ``a:`` and a SHA-256 hash of all addresses.

        It is the same for equal addresses, so that a person who is named twice is one recipient.
        """
        text = "\n".join(f"{kind}={value.lower()}" for kind, value in self.by_kind)
        return f"a:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


Recipient: TypeAlias = Union["AbstractBaseUser", "Group", Members, Topic, Address, To]  # noqa: UP007
"""One recipient: a user, a group, or an object of this module. For type annotations."""

Recipients: TypeAlias = Recipient | Iterable[Recipient | QuerySet[Any]]
"""What ``send()`` accepts: a recipient, or an iterable of recipients and of querysets of users or groups."""


def _check_kinds(kinds: Iterable[str]) -> None:
    """Check that a channel of the site uses each of these kinds of addresses.

    :raises InvalidRecipient: if none does. The message suggests the most similar kind.
    """
    unknown = [kind for kind in kinds if kind not in VALIDATORS]
    # A module may create an Address before the apps, and with them the channels, can be imported.
    if not unknown or not apps.ready:
        return
    known = {*VALIDATORS, *conf.current().address_fields, *get_site_address_kinds()}
    for kind in unknown:
        if kind not in known:
            raise InvalidRecipient(
                f"Address({kind}=…): no channel of this site sends to an address of the kind {kind!r}. "
                f"{suggest(kind, known, 'kinds')}"
            )
