"""Who is meant: recipients of any kind as chunks of user ids and bare addresses, each once, in a fixed order.

The order is the same for every ``send()``, so that two of them that touch the same rows cannot wait for each other.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from notifications.exceptions import InvalidRecipient
from notifications.models import membership
from notifications.recipients import Address, Members


@dataclass(frozen=True)
class Chunk:
    """A handful of recipients: either users by id, or bare addresses."""

    user_ids: tuple[Any, ...] = ()
    addresses: tuple[Address, ...] = ()


def chunks(recipients: Any, size: int) -> Iterator[Chunk]:
    """Recipients in chunks of at most ``size``; users first, by id.

    A queryset (or ``Members``) alone is streamed; in any mixture only ids are kept in memory.

    :raises InvalidRecipient: naming what is neither a user, a queryset of users, ``Members`` nor an ``Address``.
    """
    source = _as_queryset(recipients)
    if source is not None:
        user_ids: Iterator[Any] = _ids(source, size)
        addresses: dict[str, Address] = {}
    else:
        collected, addresses = _collected(_as_iterable(recipients), size)
        user_ids = iter(sorted(collected))
    while part := tuple(islice(user_ids, size)):
        yield Chunk(user_ids=part)
    ordered = iter(sorted(addresses.values(), key=lambda address: address.key))
    while bare := tuple(islice(ordered, size)):
        yield Chunk(addresses=bare)


def _collected(recipients: Iterable[Any], size: int) -> tuple[set[Any], dict[str, Address]]:
    user_ids: set[Any] = set()
    addresses: dict[str, Address] = {}
    for recipient in recipients:
        queryset = _as_queryset(recipient)
        if queryset is not None:
            user_ids.update(_ids(queryset, size))
        elif isinstance(recipient, Address):
            addresses[recipient.key] = recipient
        else:
            user_ids.add(_user_id(recipient))
    return user_ids, addresses


def _as_queryset(recipients: Any) -> QuerySet[Any] | None:
    if isinstance(recipients, Members):
        return membership(recipients.cluster)
    if not isinstance(recipients, QuerySet):
        return None
    if not issubclass(recipients.model, get_user_model()):
        raise InvalidRecipient(f"A queryset of {recipients.model.__name__} cannot be notified; pass users.")
    return recipients


def _ids(queryset: QuerySet[Any], size: int) -> Iterator[Any]:
    query = queryset.query
    if query.is_sliced or query.combinator or query.distinct_fields or query.select_for_update:
        # Another order would mean other users, or is not allowed.
        return iter(sorted(set(queryset.values_list("pk", flat=True))))
    return queryset.order_by("pk").values_list("pk", flat=True).distinct().iterator(chunk_size=size)


def _as_iterable(recipients: Any) -> Iterable[Any]:
    if isinstance(recipients, Address | get_user_model()):
        return [recipients]
    if isinstance(recipients, str | bytes) or not isinstance(recipients, Iterable):
        raise InvalidRecipient(f"{recipients!r:.80} is not a recipient. Pass users, Members(cluster) or Address(…).")
    return recipients


def _user_id(recipient: Any) -> Any:
    if not isinstance(recipient, get_user_model()):
        raise InvalidRecipient(
            f"{recipient!r:.80} is not a recipient. Pass users, querysets of users, Members(cluster) or Address(…)."
        )
    if recipient.pk is None:
        raise InvalidRecipient(f"The user {recipient!r:.80} is not saved yet.")
    return recipient.pk
