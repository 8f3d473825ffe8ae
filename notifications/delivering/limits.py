"""Limits: how many messages may be sent in a period. Decisions are pure, and a short transaction takes the tokens.

A delivery requests one token of each of its buckets. The level of a bucket is calculated in whole microseconds while
the bucket is locked, so nothing is rounded up.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from notifications import conf
from notifications.conf import has_subscribers
from notifications.core.rates import Rate, parse_rate
from notifications.events import NotificationEvent, NotificationPriority, key_of
from notifications.models import Bucket, Delivery
from notifications.models.bucket import MAX_CLOCK_DIFFERENCE
from notifications.outcomes import Drop, Hold, Reason, Rule, RuleKind

PROVIDER_PREFIX = "provider:"
MAX_KEY_LENGTH = 200
# The seconds that a request may wait after the next token, because others wait already.
MAX_EXTRA_WAITS = {
    NotificationPriority.CRITICAL: 1.0,
    NotificationPriority.HIGH: 5.0,
    NotificationPriority.MEDIUM: 30.0,
    NotificationPriority.LOW: 300.0,
}
NO_DEBT = timedelta(0)


@dataclass(frozen=True)
class TokenRequest:
    """A request for one token of one bucket.

    :param is_critical: whether it is counted but never refused. It may take the bucket below zero, to minus the burst.
    :param max_extra_wait: the seconds after the next token that it may wait for other requests of this bucket.
    """

    key: str
    rate: Rate
    is_critical: bool = False
    max_extra_wait: float = MAX_EXTRA_WAITS[NotificationPriority.MEDIUM]

    @property
    def is_for_provider(self) -> bool:
        return self.key.startswith(PROVIDER_PREFIX)


def build_requests(delivery: Delivery, event: NotificationEvent) -> list[TokenRequest]:
    """Return the requests of a delivery by settings and event. The list is empty if nothing is limited.

    The delivery's notification must be loaded. No limit except ``CRITICAL_LIMIT`` refuses a CRITICAL event.
    """
    configured = conf.current()
    # Only the declared priority passes a limit. The priority of the notification decides how long it waits.
    is_critical = event.priority == NotificationPriority.CRITICAL
    if not configured.limits and event.limit is None and not is_critical:
        return []
    cluster = delivery.notification.cluster_id
    # Users are counted separately in each cluster, so that one tenant cannot use up the limits of another.
    recipient = f"{cluster}:{delivery.recipient_key}"
    is_subscriber = has_subscribers(delivery.channel)
    per_user = {
        f"user:{recipient}": configured.limit("user"),
        f"user_event:{recipient}:{key_of(event.name)}": event.limit or configured.limit("user_event"),
    }
    limits = {
        # A subscriber, such as an endpoint of webhooks, gets what is sent to all users.
        **({} if is_subscriber else per_user),
        f"user_channel:{recipient}:{delivery.channel}": configured.limit("user_channel", delivery.channel),
        f"cluster:{cluster}": configured.limit("cluster"),
        "global": configured.limit("global"),
    }
    max_extra_wait = MAX_EXTRA_WAITS[NotificationPriority(delivery.notification.priority)]
    requests = [
        TokenRequest(key, parse_rate(text), is_critical, max_extra_wait) for key, text in limits.items() if text
    ]
    if is_critical and not is_subscriber:
        ceiling = parse_rate(configured.critical_limit)
        requests.append(TokenRequest(f"critical:{recipient}", ceiling, max_extra_wait=max_extra_wait))
    return requests


def build_provider_request(
    key: str, rate: Rate, priority: NotificationPriority | int = NotificationPriority.MEDIUM
) -> TokenRequest:
    """Return the request of a provider or endpoint. It also limits CRITICAL events: the provider would refuse them.

    :param key: the name of the bucket, such as ``"email:smtp.example.com"``. It is stored and shown, so it must not
        contain a secret.
    :param priority: the priority of the event. An urgent request waits less for others.
    """
    name = key if len(key) <= MAX_KEY_LENGTH else hashlib.sha256(key.encode()).hexdigest()
    return TokenRequest(PROVIDER_PREFIX + name, rate, max_extra_wait=MAX_EXTRA_WAITS[NotificationPriority(priority)])


class Level:
    """The level of a bucket. ``debt`` is the time until the bucket is full; a full bucket has none.

    If the clock goes backwards, the time here stands still until the clock has caught up. If it went back by more than
    ``MAX_CLOCK_DIFFERENCE``, it was set. Then the time continues from the new value, and the debt stays the same.
    """

    def __init__(self, bucket: Bucket, now: datetime) -> None:
        was_set_back = bucket.seen_at - now > MAX_CLOCK_DIFFERENCE
        self.bucket = bucket
        self.now = now if was_set_back else max(now, bucket.seen_at)
        self.debt = max(bucket.full_at - (bucket.seen_at if was_set_back else self.now), NO_DEBT)
        self.promised_at = now if was_set_back else bucket.promised_at
        self.is_changed = False

    def allows(self, request: TokenRequest) -> bool:
        return request.is_critical or self._debt_after(request) <= request.rate.time_to_fill

    def take(self, request: TokenRequest) -> None:
        """Take a token. If none is left, take a future one, but at most a burst of those."""
        self.debt = min(self._debt_after(request), request.rate.time_to_fill * 2)
        self.is_changed = True

    def promise(self, request: TokenRequest) -> datetime:
        """Return when to ask again. Each caller gets another time, or all would ask for the first new token.

        No token is reserved for the promised time. An urgent request waits only a little longer because of others.
        """
        self.debt = self._debt_before(request)
        token_at = self.now + self._debt_after(request) - request.rate.time_to_fill
        latest = self.now + timedelta(seconds=request.max_extra_wait)
        next_at = max(token_at, min(self.promised_at + request.rate.interval, latest))
        self.promised_at = max(self.promised_at, next_at)
        self.is_changed = True
        return next_at

    def to_bucket(self) -> Bucket:
        """Return the bucket as it must be stored."""
        self.bucket.full_at = self.now + self.debt
        self.bucket.seen_at, self.bucket.promised_at = self.now, self.promised_at
        return self.bucket

    def _debt_before(self, request: TokenRequest) -> timedelta:
        # After a limit was changed, the debt must not be larger than the new limit allows.
        return min(self.debt, request.rate.time_to_fill * 2)

    def _debt_after(self, request: TokenRequest) -> timedelta:
        return self._debt_before(request) + request.rate.interval


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
