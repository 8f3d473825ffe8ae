"""Engines that are broken on purpose, to see whether the oracle finds them out. Told in a worker, never in the parent.

A story that is played with a lie is the same story: only its workers are others.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from notifications.delivering.providers import choice as providers
from notifications.delivering.providers.breaker import CircuitBreaker
from notifications.delivering.workers.rescue import Rescuer
from notifications.models import Circuit
from notifications.models.delivery import DeliveryQuerySet
from notifications.outcomes import Verdict
from tests.chaos.channel import ChaosChannel

HELD = ("claimed", "sending")


def lying() -> None:
    """Says *accepted* without handing over."""
    ChaosChannel.hand_over = lambda self, parcel: Verdict.ACCEPTED


def stuttering() -> None:
    """Hands everything over twice."""
    once = ChaosChannel.hand_over
    ChaosChannel.hand_over = lambda self, parcel: [once(self, parcel) for _ in range(2)][0]


def grabbing() -> None:
    """Claims what others hold as well: whatever is called for twice is sent twice."""
    claim = DeliveryQuerySet.claim

    def grab(self: Any, owner: str, lease: datetime, limit: int, ids: Sequence[int] = (), *others: Any) -> Any:
        self.model.objects.filter(notification_id__in=ids, state__in=HELD).update(state="ready")
        return claim(self, owner, lease, limit, ids, *others)

    DeliveryQuerySet.claim = grab


def heartless() -> None:
    """Takes nothing back from the lost."""
    Rescuer.rescue = lambda self, now: Counter()


def tireless() -> None:
    """Learns nothing from a provider's failures, so its circuit never opens."""
    CircuitBreaker.observe = lambda self, *answers: None


def crowding() -> None:
    """Whoever wants to may probe, and all at once."""
    CircuitBreaker.win_probe = lambda self, key, now, timeout: True
    Circuit.may_be_probed = lambda self, now: True


def headlong() -> None:
    """Gives a provider that is back everything at once."""
    providers.ramp_rate = lambda closed_at, now: None


def messy() -> None:
    """Keeps a few pages of text, and leaves a file open, for each message that it prepares."""
    kept: list[Any] = []
    prepare = ChaosChannel.prepare

    def hoard(self: Any, *args: Any) -> Any:
        kept.extend([os.urandom(20_000), open(os.devnull)])  # noqa: SIM115
        return prepare(self, *args)

    ChaosChannel.prepare = hoard


def honest() -> None:
    """Nothing is broken."""


LIES: dict[str, Callable[[], None]] = {
    "": honest,
    # It does nothing but what it is called for: its story starts nobody that looks for himself.
    "blind": honest,
    "crowding": crowding,
    "grabbing": grabbing,
    "headlong": headlong,
    "heartless": heartless,
    "lying": lying,
    "messy": messy,
    "stuttering": stuttering,
    "tireless": tireless,
}


def tell(name: str) -> None:
    """Break the engine of this process; nothing is broken by no name."""
    LIES[name]()
