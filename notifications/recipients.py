"""The words for recipients that are not simply users: members, subscribers, bare addresses, other channels for some."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.apps import apps

from notifications import conf
from notifications.conf.problem import suggest
from notifications.context import UNSTORABLE
from notifications.core.addresses import VALIDATORS
from notifications.core.channel_classes import get_address_kinds
from notifications.events import key_of
from notifications.exceptions import InvalidOption, InvalidRecipient

TOPIC_LENGTH = 200


@dataclass(frozen=True)
class Members:
    """Everyone whom ``MEMBERS_OF(cluster)`` names; for ``None``, that of the default cluster."""

    cluster: Any


@dataclass(frozen=True)
class GroupNamed:
    """The group of this name, looked up when it is sent, as ``MESSAGE_RECIPIENTS`` may name one."""

    name: str


@dataclass(frozen=True, init=False)
class Topic:
    """Everyone who has subscribed to a topic in the cluster of the call: ``Topic("road works")``.

    White space around it and its case do not matter.

    :raises InvalidOption: if it is no text, or empty, or longer than 200 characters.
    """

    key: str

    def __init__(self, topic: Enum | str) -> None:
        key = key_of(topic) if isinstance(topic, str | Enum) else ""
        if not 0 < len(key) <= TOPIC_LENGTH or UNSTORABLE.search(key):
            raise InvalidOption(f"A topic is a text of 1 to {TOPIC_LENGTH} plain characters, not {topic!a:.80}.")
        object.__setattr__(self, "key", key)


@dataclass(frozen=True, init=False)
class To:
    """Some recipients, on these of the call's channels alone.

    ``[To(guards, channels=["sms", "app"]), To(residents, channels=["app"])]``. Who is named by several gets the
    channels of them all, each once; who is named without a ``To`` besides gets all channels of the call.

    :param recipients: whatever ``send()`` takes, but for another ``To``.
    :param channels: a list; each must be one of the call's channels.
    :raises InvalidOption: if ``channels`` is no list, or empty.
    """

    recipients: Any
    channels: tuple[str, ...]

    def __init__(self, recipients: Any, channels: Iterable[Enum | str]) -> None:
        object.__setattr__(self, "recipients", recipients)
        object.__setattr__(self, "channels", channel_names(channels))

    def narrowed(self, channels: Iterable[str]) -> frozenset[str]:
        """Its channels.

        :raises InvalidOption: if one of them is none of ``channels``.
        """
        beyond = [channel for channel in self.channels if channel not in channels]
        if beyond:
            raise InvalidOption(
                f"channels of a To(…) may only narrow those of the call ({', '.join(channels)}); "
                f"{', '.join(beyond)} cannot be added."
            )
        return frozenset(self.channels)


def channel_names(channels: Any) -> tuple[str, ...]:
    """Channels that a caller chose, by name, each once.

    :raises InvalidOption: if it is no list, or empty.
    """
    if isinstance(channels, str | Enum) or not isinstance(channels, Iterable):
        raise InvalidOption(f"channels must be a list, not {channels!r:.80}.")
    wanted = tuple(dict.fromkeys(key_of(channel) for channel in channels))
    if not wanted:
        raise InvalidOption("channels is empty, so nobody would get anything. Leave it out for all channels.")
    return wanted


@dataclass(frozen=True, init=False)
class Address:
    """Someone without an account, reached by addresses alone: an emergency contact with only a phone.

    ``Address(email="contact@example.com", phone="+4915112345678")``. The names are the address kinds that channels ask
    for; a channel whose kind is not given is dropped with the reason *no_address*.

    :raises InvalidRecipient: if an address is no text, none is given, or no channel of the site has such a kind.
    """

    by_kind: tuple[tuple[str, str], ...]

    def __init__(self, *unnamed: Any, **by_kind: str | None) -> None:
        if unnamed:
            raise InvalidRecipient(f"Name the kind of each address, such as Address(email={unnamed[0]!r:.80}).")
        _check_kinds(by_kind)
        for kind, value in by_kind.items():
            if value is not None and not isinstance(value, str):
                raise InvalidRecipient(f"An Address takes texts, and its {kind} is {value!r:.80}. Write it in quotes.")
        given = {kind: value.strip() for kind, value in by_kind.items() if value and value.strip()}
        if not given:
            raise InvalidRecipient(
                'An Address needs at least one address, such as Address(email="contact@example.com").'
            )
        object.__setattr__(self, "by_kind", tuple(sorted(given.items())))

    @classmethod
    def stored(cls, by_kind: Mapping[str, str]) -> "Address":
        """One that was checked when it was stored; a channel of its kind may have gone from the settings since."""
        address = cls.__new__(cls)
        object.__setattr__(address, "by_kind", tuple(sorted(by_kind.items())))
        return address

    def of_kind(self, kind: str) -> str:
        return dict(self.by_kind).get(kind, "")

    @property
    def key(self) -> str:
        """``a:`` and a SHA-256 over all its addresses: the same person twice in one send is one recipient."""
        text = "\n".join(f"{kind}={value.lower()}" for kind, value in self.by_kind)
        return f"a:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def _check_kinds(kinds: Iterable[str]) -> None:
    """
    :raises InvalidRecipient: naming the kind that no channel has, and the nearest one.
    """
    unknown = [kind for kind in kinds if kind not in VALIDATORS]
    # A module may make one before the apps, and with them the channels, can be imported.
    if not unknown or not apps.ready:
        return
    known = {*VALIDATORS, *conf.current().address_fields, *get_address_kinds()}
    for kind in unknown:
        if kind not in known:
            raise InvalidRecipient(
                f"Address({kind}=…): no channel of this site sends to an address of the kind {kind!r}. "
                f"{suggest(kind, known, 'kinds')}"
            )


def user_key(pk: Any) -> str:
    """The recipient key of a user."""
    return f"u:{pk}"
