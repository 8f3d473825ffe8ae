"""Time zones: which one holds, and which instants a time on the wall comes to.

When clocks are changed, a time on the wall comes twice or not at all. Whoever keeps hours must know which
instant is meant.
"""

import logging
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil, floor
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone

logger = logging.getLogger("notifications.zones")

# The recipients of one send() share a few zones and hours, so they all ask for the same instants.
cached = lru_cache(maxsize=10_000)


def get_zone(name: str) -> ZoneInfo:
    """A zone that this machine knows; a wrong one in somebody's settings must not keep their mail back."""
    site = timezone.get_default_timezone_name()
    try:
        return ZoneInfo(name or site)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("A user's time zone %r is unknown; %s is used.", name, site)
        return ZoneInfo(site)


@cached
def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the clocks show the naive time ``wall``, or have jumped over it; in UTC."""
    first, second = _get_both_instants(wall, zone)
    return _find_clock_change(second, first, zone) if first > second else first


@cached
def last_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant from which the clocks show nothing before the naive time ``wall`` any more; in UTC."""
    first, second = _get_both_instants(wall, zone)
    if first >= second:
        return _find_clock_change(second, first, zone) if first > second else first
    just_before = (second - datetime.resolution).astimezone(zone).replace(tzinfo=None)
    # Clocks that are put back exactly to this time have shown nothing earlier since it came first.
    return second if just_before < wall else first


def _get_both_instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """What it comes to by the offset before a change of clocks, and by that after it."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _find_clock_change(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """The second at which the clocks are put forward."""
    low, high = floor(earlier.timestamp()), ceil(later.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
