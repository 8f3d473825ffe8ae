from dataclasses import dataclass

from notifications.models import Delivery
from notifications.outcomes import Receipt


@dataclass(frozen=True)
class AttemptResult:
    """An attempt and the receipt that it got. ``duration`` is in seconds."""

    delivery: Delivery
    receipt: Receipt
    duration: float
    provider_name: str = ""

    @property
    def provider(self) -> str:
        return (self.provider_name or self.receipt.provider)[:100]
