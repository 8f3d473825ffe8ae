from dataclasses import dataclass

from notifications.models import Delivery
from notifications.outcomes import Receipt


@dataclass(frozen=True)
class Attempted:
    """One try and what was said to it. ``duration`` is in seconds; ``carrier`` is the provider's name."""

    delivery: Delivery
    receipt: Receipt
    duration: float
    carrier: str = ""

    @property
    def provider(self) -> str:
        return (self.carrier or self.receipt.provider)[:100]
