"""Taking tokens: which deliveries may be sent now, and how long the others wait."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from notifications.delivering.limits.level import Level
from notifications.delivering.limits.token_requests import TokenRequest
from notifications.events import NotificationEvent
from notifications.models import Bucket
from notifications.outcomes import Drop, Hold, Reason, Rule, RuleKind


class TokenGrant(NamedTuple):
    """The deliveries that may be sent; for the others, the seconds to wait and the request that was refused."""

    ids: set[int]
    waits: dict[int, float]
    refused: dict[int, TokenRequest]


def take_tokens(requests: Mapping[int, Sequence[TokenRequest]], using: str, now: datetime) -> TokenGrant:
    """Take the tokens of each delivery, in the given order: from all its buckets, or from none.

    Runs one short transaction of at most three statements, or none if no delivery is limited. It is exact with any
    number of concurrent callers: in no period does a bucket grant more than its burst and its new tokens.
    """
    keys = {request.key for several in requests.values() for request in several}
    if not keys:
        return TokenGrant(set(requests), {}, {})
    buckets = Bucket.objects.using(using)
    with transaction.atomic(using=using):
        levels = {key: Level(bucket, now) for key, bucket in buckets.lock(keys, now).items()}
        grant = decide_grant(requests, levels, now)
        buckets.write([level.to_bucket() for level in levels.values() if level.is_changed])
    return grant


def decide_grant(
    requests: Mapping[int, Sequence[TokenRequest]], levels: Mapping[str, Level], now: datetime
) -> TokenGrant:
    """Decide without the database, and take the tokens from ``levels``."""
    grant = TokenGrant(set(), {}, {})
    for id, several in requests.items():
        by_bucket = {request.key: request for request in several}.values()
        refused = [request for request in by_bucket if not levels[request.key].allows(request)]
        if refused:
            times = {request: levels[request.key].promise(request) for request in refused}
            grant.waits[id] = (max(times.values()) - now).total_seconds()
            grant.refused[id] = _strictest(refused)
            continue
        for request in by_bucket:
            levels[request.key].take(request)
        grant.ids.add(id)
    return grant


def _strictest(refused: Iterable[TokenRequest]) -> TokenRequest:
    """Return the refused request that decides: one that can drop a delivery before one that can only hold it."""
    return min(refused, key=lambda request: request.is_for_provider)


def decide_refused(event: NotificationEvent, request: TokenRequest, wait: float, now: datetime) -> Hold | Drop:
    """Decide about a delivery whose ``request`` was refused: it is held, or dropped if its event says so.

    A provider's limit never drops a delivery.
    """
    if event.over_limit == "drop" and not request.is_for_provider:
        detail = {"limit": request.key.partition(":")[0], "rate": str(request.rate)}
        return Drop(Reason.OVER_LIMIT, Rule(RuleKind.LIMIT, "site", detail))
    return Hold(now + timedelta(seconds=wait), Reason.OVER_LIMIT)
