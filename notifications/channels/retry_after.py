"""The header ``Retry-After`` of RFC 9110, section 10.2.3."""

import time
from collections.abc import Mapping

from django.utils.http import parse_http_date_safe


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how long a service over HTTP asks to be left alone.

    :param headers: of its answer, such as those of ``requests`` or ``urllib``.
    :returns: seconds from now, whether the service wrote a number or a date in any of the three formats; 0 for a date
        that has passed; None if there is no such header or it holds neither. There is no upper bound: a worker waits
        for a day at most.
    """
    asked = str(headers.get("Retry-After", "")).strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    until = parse_http_date_safe(asked)
    if until is None:
        return None
    # The date is by the clock of the service, which may be wrong; the header Date says what that clock shows.
    now = parse_http_date_safe(str(headers.get("Date", "")).strip())
    return max(0.0, until - (time.time() if now is None else now))
