"""Limits: how often something may be sent. Pure decisions, and one short transaction that takes the tokens."""

from notifications.limits.flood import is_flooded
from notifications.limits.needs import Need, needs_of, provider_need
from notifications.limits.tokens import Granted, answer_to, take
from notifications.rates import Rate, rate

__all__ = ["Granted", "Need", "Rate", "answer_to", "is_flooded", "needs_of", "provider_need", "rate", "take"]
