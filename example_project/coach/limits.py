"""The numbers of the coach's design document: how much it sends, how often the same, and how much may wait."""

MINUTE = 60

REPEATS = 15 * MINUTE
"""Seconds in which the same kind of fault is told once."""

LIMITS = {"user_channel": "10/m burst 100"}
"""For ``NOTIFICATIONS["LIMITS"]``: a hundred tokens, and ten new ones a minute. Limits count deliveries. A user
gets each notification once by a channel, so the hundred of a channel are a hundred notifications."""

QUEUE_LIMIT = 10_000
"""Deliveries that wait while the coach is out of reach."""
