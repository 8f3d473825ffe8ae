"""Functions that record more about outcomes, in the transaction that writes them.

Features register them when Django starts, so the delivering wing does not import them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from notifications.models import Delivery
from notifications.storage.outbox import StateChange

OutcomeHook = Callable[[Sequence[tuple[Delivery, StateChange]], str, datetime], None]
"""A function that gets deliveries with their state changes, the alias of their database and the time.

An exception prevents the outcomes from being written.
"""
OUTCOME_HOOKS: dict[str, OutcomeHook] = {}


def register_outcome_hook(name: str, hook: OutcomeHook) -> None:
    """Register a hook. Hooks are called in the order in which they were registered."""
    OUTCOME_HOOKS[name] = hook


def call_outcome_hooks(outcomes: Sequence[tuple[Delivery, StateChange]], using: str, at: datetime) -> None:
    """Call the hooks. Call this in the transaction that writes the outcomes."""
    for hook in OUTCOME_HOOKS.values():
        hook(outcomes, using, at)
