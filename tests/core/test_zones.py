"""The instants of local times, with and without a change of the clocks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from notifications.core.zones import first_instant, get_zone, last_instant

BERLIN, LORD_HOWE, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/Havana")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "wall", "first", "last"),
    [
        (BERLIN, datetime(2026, 7, 1, 7), utc(2026, 7, 1, 5), utc(2026, 7, 1, 5)),
        # Skipped: 02:00 to 03:00 on 29 March 2026.
        (BERLIN, datetime(2026, 3, 29, 2, 30), utc(2026, 3, 29, 1), utc(2026, 3, 29, 1)),
        (BERLIN, datetime(2026, 3, 29, 3), utc(2026, 3, 29, 1), utc(2026, 3, 29, 1)),
        (BERLIN, datetime(2026, 3, 29, 3, 30), utc(2026, 3, 29, 1, 30), utc(2026, 3, 29, 1, 30)),
        # Repeated: 02:00 to 03:00 on 25 October 2026.
        (BERLIN, datetime(2026, 10, 25, 2, 30), utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)),
        (BERLIN, datetime(2026, 10, 25, 2), utc(2026, 10, 25, 0), utc(2026, 10, 25, 0)),
        (BERLIN, datetime(2026, 10, 25, 3), utc(2026, 10, 25, 2), utc(2026, 10, 25, 2)),
        # A change of half an hour, and one at midnight.
        (LORD_HOWE, datetime(2026, 10, 4, 2, 15), utc(2026, 10, 3, 15, 30), utc(2026, 10, 3, 15, 30)),
        (HAVANA, datetime(2026, 3, 8), utc(2026, 3, 8, 5), utc(2026, 3, 8, 5)),
        (HAVANA, datetime(2026, 11, 1, 0, 30), utc(2026, 11, 1, 4, 30), utc(2026, 11, 1, 5, 30)),
    ],
)
def test_the_first_and_the_last_instant_of_a_local_time(zone, wall, first, last):
    assert (first_instant(wall, zone), last_instant(wall, zone)) == (first, last)


def test_an_empty_name_is_the_zone_of_the_site(settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    assert get_zone("").key == "Asia/Kathmandu"


@pytest.mark.parametrize("wrong", ["Mars/Olympus", "Europe", "../UTC"])
def test_an_unknown_zone_is_logged_and_the_zone_of_the_site_is_used(wrong, settings, caplog):
    settings.TIME_ZONE = "Europe/Berlin"
    assert get_zone(wrong).key == "Europe/Berlin"
    assert wrong in caplog.text
