"""The token requests of a delivery: one for each of its buckets."""

import hashlib
from dataclasses import dataclass

from notifications import conf
from notifications.core.rates import Rate, parse_rate
from notifications.events import NotificationEvent, NotificationPriority, key_of
from notifications.models import Delivery

PROVIDER_PREFIX = "provider:"
MAX_KEY_LENGTH = 200
# The seconds that a request may wait after the next token, because others wait already.
MAX_EXTRA_WAITS = {
    NotificationPriority.CRITICAL: 1.0,
    NotificationPriority.HIGH: 5.0,
    NotificationPriority.MEDIUM: 30.0,
    NotificationPriority.LOW: 300.0,
}


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
    limits = {
        f"user:{recipient}": configured.limit("user"),
        f"user_event:{recipient}:{key_of(event.name)}": event.limit or configured.limit("user_event"),
        f"user_channel:{recipient}:{delivery.channel}": configured.limit("user_channel", delivery.channel),
        f"cluster:{cluster}": configured.limit("cluster"),
        "global": configured.limit("global"),
    }
    max_extra_wait = MAX_EXTRA_WAITS[NotificationPriority(delivery.notification.priority)]
    requests = [
        TokenRequest(key, parse_rate(text), is_critical, max_extra_wait) for key, text in limits.items() if text
    ]
    if is_critical:
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
