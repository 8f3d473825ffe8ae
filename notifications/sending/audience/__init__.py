"""Turn recipients of any kind into chunks of user ids and addresses, each once, in a fixed order.

The order is the same in every ``send()``, so that two of them that lock the same rows cannot deadlock.
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
from notifications.models import TopicSubscription, get_cluster_model, get_members
from notifications.recipients import Address, GroupNamed, Members, To, Topic, user_key
from notifications.sending.audience.groups import (
    explain_unusable_group,
    get_group_model,
    get_group_pk,
    get_users_in_groups,
)
from notifications.sending.audience.order import ChannelFilter, combine_filters, iterate_sorted, merge_sorted
from notifications.storage.insert import MAX_INSERT_ROWS

ACCEPTED_TYPES = "Pass users, groups, querysets of these, Members(cluster), Topic(…), Address(…) or To(…)."


@dataclass(frozen=True)
class Chunk:
    """Some of the recipients: either ids of users, or addresses."""

    user_ids: tuple[Any, ...] = ()
    addresses: tuple[Address, ...] = ()
    # By recipient key, for recipients who do not get all channels of the call.
    channels_by_key: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def is_for(self, key: str, channel: str) -> bool:
        """Return whether the recipient with this key gets the channel."""
        channels = self.channels_by_key.get(key)
        return channels is None or channel in channels


class Audience:
    """The recipients of a call.

    It evaluates querysets, members, groups and topics only in :meth:`chunks`. Of other users it keeps the ids.

    :param recipients: as for ``send()``.
    :param cluster: the cluster of the subscriptions to topics.
    :param channels: the channels of the call, which a ``To`` may narrow.
    :raises InvalidRecipient: if something is not a recipient.
    :raises InvalidOption: if a ``To`` names a channel that the call does not have.
    """

    def __init__(self, recipients: Any, cluster: Any = None, channels: Iterable[str] = ()) -> None:
        self.cluster = cluster
        self.channels = tuple(channels)
        self.requested_channels: set[str] = set()
        self._queries: list[tuple[QuerySet[Any], ChannelFilter]] = []
        self._topics: defaultdict[ChannelFilter, set[str]] = defaultdict(set)
        self._groups: defaultdict[ChannelFilter, set[Any]] = defaultdict(set)
        self._ids: defaultdict[ChannelFilter, set[Any]] = defaultdict(set)
        self._addresses: dict[str, tuple[Address, ChannelFilter]] = {}
        self._add_all(recipients, None)

    @property
    def fits_one_statement(self) -> bool:
        """Whether no query is needed to find the recipients, and one statement can insert all of them."""
        queries = self._queries or self._topics or self._groups
        return not queries and sum(map(len, self._ids.values())) + len(self._addresses) <= MAX_INSERT_ROWS

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield the recipients in chunks of at most ``size``: first users, by id, then addresses, by key."""
        users = merge_sorted(self._streams(size))
        while part := tuple(islice(users, size)):
            channels_by_key = {user_key(pk): channels for pk, channels in part if channels is not None}
            yield Chunk(user_ids=tuple(pk for pk, _ in part), channels_by_key=channels_by_key)
        ordered = iter(sorted(self._addresses))
        while keys := tuple(islice(ordered, size)):
            filtered = [self._addresses[key] for key in keys]
            channels_by_key = {address.key: channels for address, channels in filtered if channels is not None}
            yield Chunk(addresses=tuple(address for address, _ in filtered), channels_by_key=channels_by_key)

    def _streams(self, size: int) -> Iterator[tuple[Iterator[Any], ChannelFilter]]:
        queries = [(get_users_in_groups(groups), channel_filter) for channel_filter, groups in self._groups.items()]
        for queryset, channel_filter in [*self._queries, *queries]:
            yield iterate_sorted(queryset, "pk", size), channel_filter
        for channel_filter, topics in self._topics.items():
            subscriptions = TopicSubscription.objects.for_topics(topics, self.cluster)
            yield iterate_sorted(subscriptions, "user_id", size), channel_filter
        for channel_filter, ids in self._ids.items():
            yield iter(sorted(ids)), channel_filter

    def _add_all(self, recipients: Any, channel_filter: ChannelFilter) -> None:
        for recipient in _as_iterable(recipients):
            if not isinstance(recipient, To):
                self._add(recipient, channel_filter)
            elif channel_filter is None:
                self.requested_channels.update(recipient.channels)
                self._add_all(recipient.recipients, recipient.narrowed(self.channels))
            else:
                raise InvalidRecipient("A To(…) cannot stand inside another.")

    def _add(self, recipient: Any, channel_filter: ChannelFilter) -> None:
        if isinstance(recipient, Address):
            _, known = self._addresses.get(recipient.key, (recipient, frozenset()))
            self._addresses[recipient.key] = recipient, combine_filters([known, channel_filter])
        elif isinstance(recipient, Members):
            self._queries.append((_query_members(recipient.cluster), channel_filter))
        elif isinstance(recipient, Topic):
            self._topics[channel_filter].add(recipient.key)
        elif isinstance(recipient, GroupNamed):
            self._groups[channel_filter].add(get_group_pk(recipient.name))
        elif isinstance(recipient, QuerySet):
            self._queries.append((_query_users(recipient), channel_filter))
        elif isinstance(recipient, get_group_model()):
            self._groups[channel_filter].add(_get_primary_key(recipient))
        else:
            self._ids[channel_filter].add(_get_user_id(recipient))


def _query_members(cluster: Any) -> QuerySet[Any]:
    model = get_cluster_model()
    if cluster is not None and (not isinstance(cluster, model) or cluster.pk is None):
        raise InvalidRecipient(f"Members(…) takes a saved {model.__name__}, or None, not {cluster!r:.80}.")
    return get_members(cluster)


def _query_users(queryset: QuerySet[Any]) -> QuerySet[Any]:
    if issubclass(queryset.model, get_user_model()):
        return queryset
    if issubclass(queryset.model, get_group_model()):
        return get_users_in_groups(queryset)
    why = explain_unusable_group(queryset.model)
    raise InvalidRecipient(why or f"A queryset of {queryset.model.__name__} cannot be notified; pass users or groups.")


def _as_iterable(recipients: Any) -> Iterable[Any]:
    single = Address | GroupNamed | Members | Topic | To | QuerySet | get_user_model() | get_group_model()
    if isinstance(recipients, single):
        return [recipients]
    if isinstance(recipients, str | bytes) or not isinstance(recipients, Iterable):
        raise _build_error(recipients)
    return recipients


def _build_error(value: Any) -> InvalidRecipient:
    return InvalidRecipient(
        explain_unusable_group(type(value))
        or f"{value!r:.80} is not a recipient. {_suggest_fix(value)}{ACCEPTED_TYPES}"
    )


def _suggest_fix(value: Any) -> str:
    """Return what to write instead, for values that are nearly recipients."""
    if isinstance(value, str) and "@" in value:
        return f"Write Address(email={value!r:.80}) for somebody without an account. "
    if isinstance(value, str | int | UUID | BaseManager | ModelBase) and not isinstance(value, bool):
        return f"Look up the users, for example with {get_user_model().__name__}.objects.filter(…). "
    return ""


def _get_user_id(recipient: Any) -> Any:
    if not isinstance(recipient, get_user_model()):
        raise _build_error(recipient)
    return _get_primary_key(recipient)


def _get_primary_key(recipient: Any) -> Any:
    if recipient.pk is None:
        raise InvalidRecipient(f"The {recipient._meta.verbose_name} {recipient!r:.80} is not saved yet.")
    key = recipient.pk
    # An unsaved object may have its primary key as text.
    try:
        return key if type(key) is int else recipient._meta.pk.to_python(key)
    except ValidationError as error:
        raise InvalidRecipient(f"{key!r:.80} is not a primary key of a {recipient._meta.verbose_name}.") from error
