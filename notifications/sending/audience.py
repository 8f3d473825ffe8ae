"""Turn recipients of any kind into chunks of user ids and addresses, each once, in a fixed order.

The order is the same in every ``send()``, so that two of them that lock the same rows cannot deadlock.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, islice, repeat
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import CharField, QuerySet, TextField
from django.db.models.base import ModelBase
from django.db.models.manager import BaseManager

from notifications.conf import get_address_kind, get_channel_class, has_subscribers
from notifications.core.addresses import user_key
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.models import TopicSubscription, get_cluster_model, get_members
from notifications.recipients import Address, GroupNamed, Members, To, Topic
from notifications.storage.engine import get_engine
from notifications.storage.insert import MAX_INSERT_ROWS

# The channels that a To names; None means all channels of the call.
ChannelFilter = frozenset[str] | None
# Sorted keys of users, and the channels that they get.
Stream = tuple[Iterator[Any], ChannelFilter]
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
    :param event_name: the event whose subscribers are added, on the channels that have subscribers of their own.
    :raises InvalidRecipient: if something is not a recipient.
    :raises InvalidOption: if a ``To`` names a channel that the call does not have.
    """

    def __init__(
        self, recipients: Any, cluster: Any = None, channels: Iterable[str] = (), event_name: str = ""
    ) -> None:
        self.cluster = cluster
        self.channels = tuple(channels)
        self.event_name = event_name
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
        users = merge_sorted(self._list_streams(size))
        while part := [*islice(users, size)]:
            user_ids, channels_by_key = [], {}
            for pk, channels in part:
                user_ids.append(pk)
                if channels is not None:
                    channels_by_key[user_key(pk)] = channels
            yield Chunk(user_ids=tuple(user_ids), channels_by_key=channels_by_key)
        addresses = {**self._find_subscribers(), **self._addresses}
        ordered = iter(sorted(addresses))
        while keys := tuple(islice(ordered, size)):
            filtered = [addresses[key] for key in keys]
            channels_by_key = {address.key: channels for address, channels in filtered if channels is not None}
            yield Chunk(addresses=tuple(address for address, _ in filtered), channels_by_key=channels_by_key)

    def _find_subscribers(self) -> dict[str, tuple[Address, ChannelFilter]]:
        """Return the subscribers of the channels that have subscribers of their own, by key. A query for each."""
        found: dict[str, tuple[Address, ChannelFilter]] = {}
        for channel in self.channels if self.event_name else ():
            if has_subscribers(channel):
                for value in get_channel_class(channel).find_subscribers(self.cluster, self.event_name):
                    address = Address.stored({get_address_kind(channel): value})
                    found[address.key] = address, frozenset({channel})
        return found

    def _list_streams(self, size: int) -> list[Stream]:
        streams: list[Stream] = []
        for queryset, channel_filter in self._queries:
            streams.append((iterate_sorted(queryset, "pk", size), channel_filter))
        for channel_filter, groups in self._groups.items():
            streams.append((iterate_sorted(get_users_in_groups(groups), "pk", size), channel_filter))
        for channel_filter, topics in self._topics.items():
            subscriptions = TopicSubscription.objects.for_topics(topics, self.cluster)
            streams.append((iterate_sorted(subscriptions, "user_id", size), channel_filter))
        for channel_filter, ids in self._ids.items():
            streams.append((iter(sorted(ids)), channel_filter))
        return streams

    def _add_all(self, recipients: Any, channel_filter: ChannelFilter) -> None:
        is_plain = isinstance(recipients, list | tuple | set | frozenset)
        for recipient in recipients if is_plain else _as_iterable(recipients):
            if not isinstance(recipient, To):
                self._add(recipient, channel_filter)
            elif channel_filter is None:
                self.requested_channels.update(recipient.channels)
                self._add_all(recipient.recipients, recipient.narrowed(self.channels))
            else:
                raise InvalidRecipient("A To(…) cannot stand inside another.")

    def _add(self, recipient: Any, channel_filter: ChannelFilter) -> None:
        if isinstance(recipient, get_user_model()):
            self._ids[channel_filter].add(_get_primary_key(recipient))
        elif isinstance(recipient, Address):
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
            raise _build_error(recipient)


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


def _get_primary_key(recipient: Any) -> Any:
    if recipient.pk is None:
        raise InvalidRecipient(f"The {recipient._meta.verbose_name} {recipient!r:.80} is not saved yet.")
    key = recipient.pk
    # An unsaved object may have its primary key as text.
    try:
        return key if type(key) is int else recipient._meta.pk.to_python(key)
    except ValidationError as error:
        raise InvalidRecipient(f"{key!r:.80} is not a primary key of a {recipient._meta.verbose_name}.") from error


class NoGroupModel:
    """Stands for the group model if the user model has no groups. No recipient is an instance of it."""


def get_group_model() -> type[Any]:
    """Return the model of the groups that users can be in."""
    try:
        field: Any = get_user_model()._meta.get_field("groups")
    except FieldDoesNotExist:
        return NoGroupModel
    return field.related_model if field.many_to_many else NoGroupModel


def explain_unusable_group(model: Any) -> str:
    """Return why groups of this model cannot be recipients; empty if it is not Django's ``Group``."""
    if getattr(getattr(model, "_meta", None), "label_lower", "") != "auth.group":
        return ""
    users, model_of_groups = get_user_model().__name__, get_group_model()
    if model_of_groups is NoGroupModel:
        return (
            f"The user model {users} has no groups, so a Group cannot be notified. Pass the users themselves, or a "
            "queryset of them."
        )
    return (
        f"The groups of {users} are of the model {model_of_groups.__name__}; a Group of django.contrib.auth has no "
        "users on this site."
    )


def get_group_pk(name: str) -> Any:
    """Return the primary key of the group with this name.

    :raises InvalidOption: if there is none.
    """
    model = get_group_model()
    group = None if model is NoGroupModel else model._default_manager.filter(name=name).first()
    if group is None:
        raise InvalidOption(
            f"There is no group named {name!r}. Create it, or let NOTIFICATIONS['MESSAGE_RECIPIENTS'] name another "
            "one, or the dotted path of a callable(cluster) that returns recipients."
        )
    return group.pk


def get_users_in_groups(groups: QuerySet[Any] | Collection[Any]) -> QuerySet[Any]:
    """Return the users in these groups.

    :param groups: a queryset of groups, or their primary keys.
    """
    if isinstance(groups, QuerySet):
        keys = groups.values_list("pk", flat=True)
        # If the host has chosen a database, it may differ from that of the users, so there can be no subquery.
        groups = keys.order_by() if can_reorder(groups) and getattr(groups, "_db", None) is None else list(keys)
    return get_user_model()._default_manager.filter(groups__in=groups)


def iterate_sorted(queryset: QuerySet[Any], column: str, size: int) -> Iterator[Any]:
    """Return the distinct keys of a column in Python's sort order. Read ``size`` rows at a time."""
    keys = queryset.values_list(column, flat=True)
    if not can_reorder(queryset):
        return iter(sorted(set(keys)))
    return keys.order_by(_get_python_order(queryset, column)).distinct().iterator(chunk_size=size)


def can_reorder(queryset: QuerySet[Any]) -> bool:
    """Return whether another order is allowed and does not select other rows."""
    query = queryset.query
    return not (query.is_sliced or query.combinator or query.distinct_fields or query.select_for_update)


def _get_python_order(queryset: QuerySet[Any], column: str) -> Any:
    """Return an ordering that agrees with Python, for which texts may need another collation than the default."""
    field: Any = queryset.model._meta.pk if column == "pk" else queryset.model._meta.get_field(column)
    while field.remote_field:
        field = field.target_field
    is_text = isinstance(field, CharField | TextField)
    return get_engine(queryset.db).python_order(column) if is_text else column


def merge_sorted(streams: Collection[Stream]) -> Iterator[tuple[Any, ChannelFilter]]:
    """Merge sorted streams of distinct keys. Yield each key with the channels of all streams that have it."""
    if len(streams) == 1:
        [(keys, channel_filter)] = streams
        yield from zip(keys, repeat(channel_filter))
        return
    tagged = [zip(keys, repeat(channel_filter)) for keys, channel_filter in streams]
    for key, same_key in groupby(merge(*tagged, key=itemgetter(0)), key=itemgetter(0)):
        yield key, combine_filters(channel_filter for _key, channel_filter in same_key)


def combine_filters(filters: Iterable[ChannelFilter]) -> ChannelFilter:
    """Return the channels of all filters. If one of them is None, this is None: all channels of the call."""
    channels: frozenset[str] = frozenset()
    for channel_filter in filters:
        if channel_filter is None:
            return None
        channels |= channel_filter
    return channels
