"""The tables of the programme's design document, as numbers: how long repeats fold, how long others are waited for,
and how much anybody gets."""

from dataclasses import dataclass

MINUTE, HOUR = 60, 60 * 60


@dataclass(frozen=True)
class Windows:
    """
    :param dedup: seconds in which a repeat is folded.
    :param batch: seconds to wait for others of the kind.
    """

    dedup: int = 0
    batch: int = 0
    limit: str | None = None


ACGME = Windows(dedup=4 * HOUR, limit="20/h")
"""Ten notifications an hour: limits count deliveries, and each of these goes to the app and by email."""
SCHEDULE = Windows(dedup=24 * HOUR)
ASSIGNMENT = Windows(dedup=1 * HOUR, batch=15 * MINUTE)
REMINDERS = Windows(dedup=0, batch=1 * HOUR)
ABSENCES = Windows(batch=30 * MINUTE)

LIMITS = {"user_channel": {"app": "100/h", "sms": "100/h", "webhook": "100/h", "email": "50/h"}}
"""For ``NOTIFICATIONS["LIMITS"]``: a hundred notifications an hour. Each comes once by a channel, so a channel's
deliveries are as many as the notifications."""
