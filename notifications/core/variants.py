"""The variants of an A/B test. A recipient gets the same variant in every process and for every mail of a campaign."""

import hashlib
from collections.abc import Mapping
from typing import Any

MAX_VARIANT_LENGTH = 50


def choose_variant(variants: Mapping[str, float], campaign: str, recipient_key: str) -> str:
    """Return the variant of a recipient; empty if there are no variants. The function is pure.

    :param variants: the weight of each variant by its name.
    :param campaign: the name of the campaign. Two campaigns divide the recipients independently of each other.
    """
    if not variants:
        return ""
    digest = hashlib.sha256(f"{campaign}\0{recipient_key}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64 * sum(variants.values())
    for name, weight in variants.items():
        position -= weight
        if position < 0:
            return name
    return name


def find_variant(event: Any, delivery: Any) -> str:
    """Return the variant of a delivery; empty if its event has none.

    :param event: the declaration of the event, or None if it is no longer registered.
    """
    if event is None or not event.variants:
        return ""
    return choose_variant(event.variants, delivery.notification.campaign or event.name, delivery.recipient_key)
