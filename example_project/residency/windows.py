"""Numbers from the programme's design document: deduplication windows, batch windows and limits."""

from dataclasses import dataclass

MINUTE, HOUR = 60, 60 * 60


@dataclass(frozen=True)
class Windows:
    """The windows and the limit of an event.

    :param dedup: the deduplication window in seconds.
    :param batch: the batch window in seconds.
    :param limit: the rate, such as ``"20/h"``.
    """

    dedup: int = 0
    batch: int = 0
    limit: str | None = None


ACGME = Windows(dedup=4 * HOUR, limit="20/h")
"""Ten notifications an hour: limits count deliveries, and each notification is sent in the app and by email."""
SCHEDULE = Windows(dedup=24 * HOUR)
ASSIGNMENT = Windows(dedup=1 * HOUR, batch=15 * MINUTE)
REMINDERS = Windows(dedup=0, batch=1 * HOUR)
ABSENCES = Windows(batch=30 * MINUTE)

LIMITS = {"user_channel": {"app": "100/h", "sms": "100/h", "webhook": "100/h", "email": "50/h"}}
"""For ``NOTIFICATIONS["LIMITS"]``: 100 notifications an hour. Each is sent once on a channel, so the number of
deliveries on a channel is the number of notifications."""
