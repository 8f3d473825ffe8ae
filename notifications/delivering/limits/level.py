"""The level of one bucket while it is locked: arithmetic in whole microseconds, so that nothing is ever rounded up."""

from datetime import datetime, timedelta

from notifications.delivering.limits.needs import Need
from notifications.models.bucket import CLOCKS_DIFFER, Bucket

NOTHING = timedelta(0)


class Level:
    """What is missing is kept as ``debt``, the time that it takes to come; a full bucket has none.

    A clock that goes backwards stands still here until it is back where it was. If it went back by more than clocks
    differ, it was set; then time goes on from where it is now, and what was missing is missing still.
    """

    def __init__(self, bucket: Bucket, now: datetime) -> None:
        was_set_back = bucket.seen_at - now > CLOCKS_DIFFER
        self.bucket = bucket
        self.moment = now if was_set_back else max(now, bucket.seen_at)
        self.debt = max(bucket.full_at - (bucket.seen_at if was_set_back else self.moment), NOTHING)
        self.promised_at = now if was_set_back else bucket.promised_at
        self.is_touched = False

    def lets_through(self, need: Need) -> bool:
        return need.critical or self._debt_after(need) <= need.rate.time_to_fill

    def draw(self, need: Need) -> None:
        """Take a token; where none is left, one that is still to come, but never more than the burst of those."""
        self.debt = min(self._debt_after(need), need.rate.time_to_fill * 2)
        self.is_touched = True

    def promise(self, need: Need) -> datetime:
        """When to come again: one after the other, as tokens come, or all who wait would come for the first of them.

        Nothing is set aside for the promised time. Who is urgent is put behind others only a little.
        """
        self.debt = self._debt_before(need)
        token_at = self.moment + self._debt_after(need) - need.rate.time_to_fill
        patience = timedelta(seconds=need.patience)
        turn_at = max(token_at, min(self.promised_at + need.rate.interval, self.moment + patience))
        self.promised_at = max(self.promised_at, turn_at)
        self.is_touched = True
        return turn_at

    def row(self) -> Bucket:
        """The bucket as it is to be stored."""
        self.bucket.full_at = self.moment + self.debt
        self.bucket.seen_at, self.bucket.promised_at = self.moment, self.promised_at
        return self.bucket

    def _debt_before(self, need: Need) -> timedelta:
        # A limit that was changed in the meantime must not leave more debt than it knows itself.
        return min(self.debt, need.rate.time_to_fill * 2)

    def _debt_after(self, need: Need) -> timedelta:
        return self._debt_before(need) + need.rate.interval
