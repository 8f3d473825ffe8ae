"""Limits: how often something may be sent. Pure decisions, and one short transaction that takes the tokens."""

from notifications.core.rates import Rate, parse_rate
from notifications.delivering.limits.flood import is_flooded
from notifications.delivering.limits.needs import Need, needs_of, provider_need
from notifications.delivering.limits.tokens import Granted, answer_to, take

__all__ = ["Granted", "Need", "Rate", "answer_to", "is_flooded", "needs_of", "provider_need", "parse_rate", "take"]
