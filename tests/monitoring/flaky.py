"""A channel that refuses some recipients, and settings for workers that use it."""

import json
import os
import time

from notifications.channels import BaseChannel
from notifications.outcomes import Receipt, Verdict

NOTIFICATIONS = {
    "CHANNELS": {"log": {"BACKEND": "tests.monitoring.flaky.FlakyChannel"}},
    "LEASE_SECONDS": 2,
    "BEAT_SECONDS": 0.5,
    "RETRY_DELAYS": [0.2],
    "RETRY_JITTER": 0,
    "BREAKER_FAILURES": 1_000_000,
    "STOP_SECONDS": 5,
}


def environment() -> dict[str, str]:
    return {"KLAXON_NOTIFICATIONS": json.dumps(NOTIFICATIONS), "KLAXON_CALL_SECONDS": "0.01"}


class FlakyChannel(BaseChannel):
    """Fails with each seventh recipient temporarily, and with each eleventh permanently."""

    def prepare(self, delivery, rendered):
        return delivery.recipient_id

    def send(self, messages):
        time.sleep(float(os.environ.get("KLAXON_CALL_SECONDS", "0")))
        for number in messages:
            verdict = Verdict.ACCEPTED
            if number % 7 == 0:
                verdict = Verdict.TEMPORARY
            elif number % 11 == 0:
                verdict = Verdict.PERMANENT
            yield Receipt(number, verdict, provider="flaky", code=str(number))
