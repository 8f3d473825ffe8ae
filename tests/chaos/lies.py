"""Engines that are broken on purpose, to see whether the oracle finds them out. Told in a worker, never in the parent.

A story that is played with a lie is the same story: only its workers are others.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from notifications.dispatch.rescue import Rescuer
from notifications.models.delivery import DeliveryQuerySet

HELD = ("claimed", "sending")


def grabbing() -> None:
    """Claims what others hold as well: whatever is called for twice is sent twice."""
    claim = DeliveryQuerySet.claim

    def grab(
        self: Any, owner: str, now: datetime, lease: datetime, limit: int, ids: Sequence[int] = (), *others: Any
    ) -> Any:
        self.model.objects.filter(notification_id__in=ids, state__in=HELD).update(state="ready")
        return claim(self, owner, now, lease, limit, ids, *others)

    DeliveryQuerySet.claim = grab


def heartless() -> None:
    """Takes nothing back from the lost."""
    Rescuer.look = lambda self, now: Counter()


def honest() -> None:
    """Nothing is broken."""


# The blind do nothing but what they are called for: their story starts none that looks for itself.
LIES: dict[str, Callable[[], None]] = {"": honest, "blind": honest, "grabbing": grabbing, "heartless": heartless}


def tell(name: str) -> None:
    """Break the engine of this process; nothing is broken by no name."""
    LIES[name]()
