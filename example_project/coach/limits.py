"""Limits from the coach's design document: rates, the deduplication window and the size of the outbox."""

MINUTE = 60

REPEATS = 15 * MINUTE
"""Seconds within which the same kind of fault is sent only once."""

LIMITS = {"user_channel": "10/m burst 100"}
"""For ``NOTIFICATIONS["LIMITS"]``: 100 tokens, and 10 new ones a minute. Limits count deliveries. A user gets each
notification once on each channel, so the limit of a channel is 100 notifications."""

QUEUE_LIMIT = 10_000
"""The number of deliveries that can wait while the coach has no connection."""
