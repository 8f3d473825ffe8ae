"""Taking tokens of one bucket as fast as can be."""

from datetime import datetime

from notifications.delivering.limits import TokenRequest, parse_rate, take_tokens


def take_many(key: str, text: str, now: datetime, times: int) -> int:
    """How many passed; one at a time, so that others come in between."""
    need = TokenRequest(key, parse_rate(text))
    return sum(len(take_tokens({1: [need]}, "default", now).ids) for _ in range(times))
