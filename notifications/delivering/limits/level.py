"""The level of a bucket while it is locked. It calculates in whole microseconds, so nothing is rounded up."""

from datetime import datetime, timedelta

from notifications.delivering.limits.token_requests import TokenRequest
from notifications.models.bucket import MAX_CLOCK_DIFFERENCE, Bucket

NO_DEBT = timedelta(0)


class Level:
    """The level of a bucket. ``debt`` is the time until the bucket is full; a full bucket has none.

    If the clock goes backwards, the time here stands still until the clock has caught up. If it went back by more than
    ``MAX_CLOCK_DIFFERENCE``, it was set. Then the time continues from the new value, and the debt stays the same.
    """

    def __init__(self, bucket: Bucket, now: datetime) -> None:
        was_set_back = bucket.seen_at - now > MAX_CLOCK_DIFFERENCE
        self.bucket = bucket
        self.now = now if was_set_back else max(now, bucket.seen_at)
        self.debt = max(bucket.full_at - (bucket.seen_at if was_set_back else self.now), NO_DEBT)
        self.promised_at = now if was_set_back else bucket.promised_at
        self.is_changed = False

    def allows(self, request: TokenRequest) -> bool:
        return request.is_critical or self._debt_after(request) <= request.rate.time_to_fill

    def take(self, request: TokenRequest) -> None:
        """Take a token. If none is left, take a future one, but at most a burst of those."""
        self.debt = min(self._debt_after(request), request.rate.time_to_fill * 2)
        self.is_changed = True

    def promise(self, request: TokenRequest) -> datetime:
        """Return when to ask again. Each caller gets another time, or all would ask for the first new token.

        No token is reserved for the promised time. An urgent request waits only a little longer because of others.
        """
        self.debt = self._debt_before(request)
        token_at = self.now + self._debt_after(request) - request.rate.time_to_fill
        latest = self.now + timedelta(seconds=request.max_extra_wait)
        next_at = max(token_at, min(self.promised_at + request.rate.interval, latest))
        self.promised_at = max(self.promised_at, next_at)
        self.is_changed = True
        return next_at

    def to_bucket(self) -> Bucket:
        """Return the bucket as it must be stored."""
        self.bucket.full_at = self.now + self.debt
        self.bucket.seen_at, self.bucket.promised_at = self.now, self.promised_at
        return self.bucket

    def _debt_before(self, request: TokenRequest) -> timedelta:
        # After a limit was changed, the debt must not be larger than the new limit allows.
        return min(self.debt, request.rate.time_to_fill * 2)

    def _debt_after(self, request: TokenRequest) -> timedelta:
        return self._debt_before(request) + request.rate.interval
