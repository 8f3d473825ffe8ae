"""Limits: how many messages may be sent in a period. Decisions are pure, and a short transaction takes the tokens."""

from notifications.core.rates import Rate, parse_rate
from notifications.delivering.limits.flood import is_flooded
from notifications.delivering.limits.token_requests import TokenRequest, build_provider_request, build_requests
from notifications.delivering.limits.tokens import TokenGrant, decide_refused, take_tokens

__all__ = [
    "Rate",
    "TokenGrant",
    "TokenRequest",
    "build_provider_request",
    "build_requests",
    "decide_refused",
    "is_flooded",
    "parse_rate",
    "take_tokens",
]
