"""Time zones by name, and the instants of local times.

When clocks change, a local time occurs twice or not at all. These functions decide which instant it means.
"""

import logging
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil, floor
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone

logger = logging.getLogger("notifications.zones")

# The recipients of one send() share a few time zones and hours, so the same instants are computed often.
cached = lru_cache(maxsize=10_000)


def get_zone(name: str) -> ZoneInfo:
    """Return the time zone of this name, or the site's if the name is empty or unknown.

    An unknown name in a user's settings is logged, and does not stop the user's notifications.
    """
    site = timezone.get_default_timezone_name()
    try:
        return ZoneInfo(name or site)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("The time zone %r in a user's settings is unknown, so %s is used.", name, site)
        return ZoneInfo(site)


@cached
def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant, in UTC, at which the clocks show the naive time ``wall`` or have skipped it."""
    first, second = _get_both_instants(wall, zone)
    return _find_clock_change(second, first, zone) if first > second else first


@cached
def last_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, from which the clocks never again show a time before the naive time ``wall``."""
    first, second = _get_both_instants(wall, zone)
    if first >= second:
        return _find_clock_change(second, first, zone) if first > second else first
    just_before = (second - datetime.resolution).astimezone(zone).replace(tzinfo=None)
    # If the clocks are set back exactly to this time, they show nothing earlier after its first occurrence.
    return second if just_before < wall else first


def _get_both_instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the instants by the UTC offsets before and after a change of the clocks."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _find_clock_change(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """Return the second at which the clocks are set forward."""
    low, high = floor(earlier.timestamp()), ceil(later.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
