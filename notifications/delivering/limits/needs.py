"""Which buckets a delivery draws from."""

import hashlib
from dataclasses import dataclass

from notifications import conf
from notifications.core.rates import Rate, parse_rate
from notifications.events import NotificationEvent, NotificationPriority, key_of
from notifications.models import Delivery

PROVIDER = "provider:"
LONGEST_KEY = 200
# In seconds: how much longer than until the next token one may be told to wait, because others wait already.
PATIENCE = {
    NotificationPriority.CRITICAL: 1.0,
    NotificationPriority.HIGH: 5.0,
    NotificationPriority.MEDIUM: 30.0,
    NotificationPriority.LOW: 300.0,
}


@dataclass(frozen=True)
class Need:
    """One token of one bucket.

    :param critical: it is counted but never refused; it may draw the bucket below zero, down to minus the burst.
    :param patience: seconds that it may be put behind others who wait for this bucket, beyond the next token.
    """

    key: str
    rate: Rate
    critical: bool = False
    patience: float = PATIENCE[NotificationPriority.MEDIUM]

    @property
    def is_of_provider(self) -> bool:
        return self.key.startswith(PROVIDER)


def needs_of(delivery: Delivery, event: NotificationEvent) -> list[Need]:
    """The buckets that this delivery draws from, by settings and event; none where nothing is limited.

    Its notification must be attached. A CRITICAL event passes every limit but ``CRITICAL_LIMIT``, which always holds.
    """
    configured = conf.current()
    # Only the declared priority passes a limit; how long it waits is a matter of the order of sending.
    critical = event.priority == NotificationPriority.CRITICAL
    if not configured.limits and event.limit is None and not critical:
        return []
    cluster = delivery.notification.cluster_id
    # A user is counted in each cluster apart: one tenant's noise must not use up what another's users may get.
    who = f"{cluster}:{delivery.recipient_key}"
    wanted = {
        f"user:{who}": configured.limit("user"),
        f"user_event:{who}:{key_of(event.name)}": event.limit or configured.limit("user_event"),
        f"user_channel:{who}:{delivery.channel}": configured.limit("user_channel", delivery.channel),
        f"cluster:{cluster}": configured.limit("cluster"),
        "global": configured.limit("global"),
    }
    patience = PATIENCE[NotificationPriority(delivery.notification.priority)]
    needs = [Need(key, parse_rate(text), critical, patience) for key, text in wanted.items() if text]
    if critical:
        needs.append(Need(f"critical:{who}", parse_rate(configured.critical_limit), patience=patience))
    return needs


def provider_need(key: str, rate: Rate, priority: NotificationPriority | int = NotificationPriority.MEDIUM) -> Need:
    """The bucket of a provider or endpoint. It holds for CRITICAL events too: the provider would refuse them.

    :param key: a name for it, such as ``"email:smtp.example.com"``. It is stored and shown; name no secret.
    :param priority: of the event; what is urgent is not put behind what is not.
    """
    name = key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()
    return Need(PROVIDER + name, rate, patience=PATIENCE[NotificationPriority(priority)])
