"""Who is meant: recipients of any kind as chunks of user ids and bare addresses, each once, in a fixed order.

The order is the same for every ``send()``, so that two of them that touch the same rows cannot wait for each other.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.base import ModelBase
from django.db.models.manager import BaseManager

from notifications.exceptions import InvalidRecipient
from notifications.models import TopicSubscription, cluster_model, get_members
from notifications.recipients import Address, GroupNamed, Members, To, Topic, user_key
from notifications.sending.audience.groups import explain_unusable_group, get_group_pk, get_users_in_groups, group_model
from notifications.sending.audience.order import Narrowing, iterate_sorted, merge_sorted, union
from notifications.storage.insert import MAX_INSERT_ROWS

ACCEPTED = "Pass users, groups, querysets of these, Members(cluster), Topic(…), Address(…) or To(…)."


@dataclass(frozen=True)
class Chunk:
    """A handful of recipients: either users by id, or bare addresses."""

    user_ids: tuple[Any, ...] = ()
    addresses: tuple[Address, ...] = ()
    # By recipient key, for those who are not to get all channels of the call.
    channels_by_key: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def is_for(self, key: str, channel: str) -> bool:
        channels = self.channels_by_key.get(key)
        return channels is None or channel in channels


class Audience:
    """Recipients sorted out. What the database can stream stays a query; of everybody else the id is kept.

    :param recipients: whatever ``send()`` takes.
    :param cluster: where subscribers to topics are looked for.
    :param channels: those of the call, which a ``To`` may narrow.
    :raises InvalidRecipient: naming what is no recipient.
    :raises InvalidOption: naming the channels that a ``To`` would add.
    """

    def __init__(self, recipients: Any, cluster: Any = None, channels: Iterable[str] = ()) -> None:
        self.cluster = cluster
        self.channels = tuple(channels)
        self.requested_channels: set[str] = set()
        self._queries: list[tuple[QuerySet[Any], Narrowing]] = []
        self._topics: defaultdict[Narrowing, set[str]] = defaultdict(set)
        self._groups: defaultdict[Narrowing, set[Any]] = defaultdict(set)
        self._ids: defaultdict[Narrowing, set[Any]] = defaultdict(set)
        self._addresses: dict[str, tuple[Address, Narrowing]] = {}
        self._take_all(recipients, None)

    @property
    def fits_one_statement(self) -> bool:
        """Whether all are known by name, and they are no more than one statement writes."""
        asked = self._queries or self._topics or self._groups
        return not asked and sum(map(len, self._ids.values())) + len(self._addresses) <= MAX_INSERT_ROWS

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Everyone, in chunks of at most ``size``; users first, by id, then addresses, by key."""
        users = merge_sorted(self._streams(size))
        while part := tuple(islice(users, size)):
            channels_by_key = {user_key(pk): channels for pk, channels in part if channels is not None}
            yield Chunk(user_ids=tuple(pk for pk, _ in part), channels_by_key=channels_by_key)
        ordered = iter(sorted(self._addresses))
        while keys := tuple(islice(ordered, size)):
            bare = [self._addresses[key] for key in keys]
            channels_by_key = {address.key: channels for address, channels in bare if channels is not None}
            yield Chunk(addresses=tuple(address for address, _ in bare), channels_by_key=channels_by_key)

    def _streams(self, size: int) -> Iterator[tuple[Iterator[Any], Narrowing]]:
        queries = [(get_users_in_groups(groups), narrowing) for narrowing, groups in self._groups.items()]
        for queryset, narrowing in [*self._queries, *queries]:
            yield iterate_sorted(queryset, "pk", size), narrowing
        for narrowing, topics in self._topics.items():
            yield iterate_sorted(TopicSubscription.objects.to(topics, self.cluster), "user_id", size), narrowing
        for narrowing, ids in self._ids.items():
            yield iter(sorted(ids)), narrowing

    def _take_all(self, recipients: Any, narrowing: Narrowing) -> None:
        for recipient in _as_iterable(recipients):
            if not isinstance(recipient, To):
                self._take(recipient, narrowing)
            elif narrowing is None:
                self.requested_channels.update(recipient.channels)
                self._take_all(recipient.recipients, recipient.narrowed(self.channels))
            else:
                raise InvalidRecipient("A To(…) cannot stand inside another.")

    def _take(self, recipient: Any, narrowing: Narrowing) -> None:
        if isinstance(recipient, Address):
            _, before = self._addresses.get(recipient.key, (recipient, frozenset()))
            self._addresses[recipient.key] = recipient, union([before, narrowing])
        elif isinstance(recipient, Members):
            self._queries.append((_members(recipient.cluster), narrowing))
        elif isinstance(recipient, Topic):
            self._topics[narrowing].add(recipient.key)
        elif isinstance(recipient, GroupNamed):
            self._groups[narrowing].add(get_group_pk(recipient.name))
        elif isinstance(recipient, QuerySet):
            self._queries.append((_users(recipient), narrowing))
        elif isinstance(recipient, group_model()):
            self._groups[narrowing].add(_saved(recipient))
        else:
            self._ids[narrowing].add(_user_id(recipient))


def _members(cluster: Any) -> QuerySet[Any]:
    model = cluster_model()
    if cluster is not None and (not isinstance(cluster, model) or cluster.pk is None):
        raise InvalidRecipient(f"Members(…) takes a saved {model.__name__}, or None, not {cluster!r:.80}.")
    return get_members(cluster)


def _users(queryset: QuerySet[Any]) -> QuerySet[Any]:
    if issubclass(queryset.model, get_user_model()):
        return queryset
    if issubclass(queryset.model, group_model()):
        return get_users_in_groups(queryset)
    why = explain_unusable_group(queryset.model)
    raise InvalidRecipient(why or f"A queryset of {queryset.model.__name__} cannot be notified; pass users or groups.")


def _as_iterable(recipients: Any) -> Iterable[Any]:
    alone = Address | GroupNamed | Members | Topic | To | QuerySet | get_user_model() | group_model()
    if isinstance(recipients, alone):
        return [recipients]
    if isinstance(recipients, str | bytes) or not isinstance(recipients, Iterable):
        raise _no_recipient(recipients)
    return recipients


def _no_recipient(given: Any) -> InvalidRecipient:
    return InvalidRecipient(
        explain_unusable_group(type(given)) or f"{given!r:.80} is not a recipient. {_suggest_fix(given)}{ACCEPTED}"
    )


def _suggest_fix(given: Any) -> str:
    """What to write instead, for things that are nearly recipients."""
    if isinstance(given, str) and "@" in given:
        return f"Write Address(email={given!r:.80}) for somebody without an account. "
    if isinstance(given, str | int | UUID | BaseManager | ModelBase) and not isinstance(given, bool):
        return f"Look the users up, as by {get_user_model().__name__}.objects.filter(…). "
    return ""


def _user_id(recipient: Any) -> Any:
    if not isinstance(recipient, get_user_model()):
        raise _no_recipient(recipient)
    return _saved(recipient)


def _saved(recipient: Any) -> Any:
    if recipient.pk is None:
        raise InvalidRecipient(f"The {recipient._meta.verbose_name} {recipient!r:.80} is not saved yet.")
    key = recipient.pk
    # Whoever made the object may have written a number as text.
    try:
        return key if type(key) is int else recipient._meta.pk.to_python(key)
    except ValidationError as error:
        raise InvalidRecipient(f"{key!r:.80} is no primary key of a {recipient._meta.verbose_name}.") from error
