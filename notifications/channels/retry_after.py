"""The HTTP header ``Retry-After`` (RFC 9110, 10.2.3)."""

import time
from collections.abc import Mapping

from django.utils.http import parse_http_date_safe


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long an HTTP service asks the client to wait.

    :param headers: the headers of its response, such as those of ``requests`` or ``urllib``.
    :returns: seconds from now, from a number or from a date in any of the three formats; 0 for a date in the past; None
        if the header is missing or invalid. There is no upper bound, but a worker waits for at most a day.
    """
    value = str(headers.get("Retry-After", "")).strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until = parse_http_date_safe(value)
    if until is None:
        return None
    # The clock of the service may be wrong. The header Date contains its current time.
    now = parse_http_date_safe(str(headers.get("Date", "")).strip())
    return max(0.0, until - (time.time() if now is None else now))
