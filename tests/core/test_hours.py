"""Recurring hours, the first instant at which sending is allowed, and the instants of local times."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from notifications.core.hours import (
    SEARCH_PERIOD,
    Hours,
    Timetable,
    first_instant,
    get_zone,
    last_instant,
    parse_time_of_day,
    parse_windows,
)

BERLIN, LORD_HOWE, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/Havana")
NIGHT = Hours(time(22), time(7))


def berlin(month, day, hour, minute=0, fold=0):
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN, fold=fold).astimezone(UTC)


def find_opening(moment, quiet=None, windows=()):
    table = Timetable(BERLIN, quiet, parse_windows(windows))
    return table.find_opening(moment, moment + SEARCH_PERIOD)


class TestQuietHours:
    @pytest.mark.parametrize(
        ("moment", "opening"),
        [
            (berlin(11, 20, 21, 59), berlin(11, 20, 21, 59)),
            (berlin(11, 20, 22), berlin(11, 21, 7)),
            (berlin(11, 21, 6, 59), berlin(11, 21, 7)),
            (berlin(11, 21, 7), berlin(11, 21, 7)),
            # The nights with a change of the clocks also end at seven.
            (berlin(3, 28, 23), berlin(3, 29, 7)),
            (berlin(10, 24, 23), berlin(10, 25, 7)),
            (berlin(10, 25, 2, 30, fold=1), berlin(10, 25, 7)),
        ],
    )
    def test_they_wrap_over_midnight(self, moment, opening):
        assert find_opening(moment, NIGHT) == opening

    def test_a_skipped_end_is_the_change_of_the_clocks(self):
        assert find_opening(berlin(3, 29, 0), Hours(time(22), time(2, 30))) == berlin(3, 29, 3)

    def test_a_repeated_end_is_the_second(self):
        until_half_past = Hours(time(22), time(2, 30))
        assert find_opening(berlin(10, 25, 0), until_half_past) == berlin(10, 25, 2, 30, fold=1)
        assert find_opening(berlin(10, 25, 2, 45), until_half_past) == berlin(10, 25, 2, 30, fold=1)

    def test_a_repeated_start_is_the_first(self):
        assert find_opening(berlin(10, 25, 2, 10, fold=1), Hours(time(2, 30), time(5))) == berlin(10, 25, 5)

    def test_skipped_quiet_hours_do_not_occur(self):
        assert find_opening(berlin(3, 29, 3), Hours(time(2, 10), time(2, 40))) == berlin(3, 29, 3)


class TestWindows:
    OFFICE = [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue", "wed", "thu", "fri"]]]

    @pytest.mark.parametrize(
        ("moment", "opening"),
        [
            (berlin(11, 20, 7), berlin(11, 20, 8)),
            (berlin(11, 20, 9), berlin(11, 20, 9)),
            (berlin(11, 20, 12), berlin(11, 20, 14)),
            (berlin(11, 20, 18), berlin(11, 21, 8)),
            (berlin(11, 21, 12), berlin(11, 22, 8)),  # a Saturday
        ],
    )
    def test_the_next_window_is_found(self, moment, opening):
        assert find_opening(moment, windows=self.OFFICE) == opening

    def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(self):
        windows = [["22:00", "02:00", ["fri"]]]
        assert find_opening(berlin(11, 21, 1), windows=windows) == berlin(11, 21, 1)
        assert find_opening(berlin(11, 20, 1), windows=windows) == berlin(11, 20, 22)

    def test_equal_times_are_a_full_day(self):
        assert find_opening(berlin(11, 20, 9), windows=[["00:00", "24:00", ["sun"]]]) == berlin(11, 22, 0)

    def test_a_skipped_window_opens_on_the_next_day(self):
        assert find_opening(berlin(3, 29, 0), windows=[["02:10", "02:40"]]) == berlin(3, 30, 2, 10)

    def test_a_window_within_the_repeated_hour_opens_the_first_time(self):
        windows = [["02:10", "02:40"]]
        assert find_opening(berlin(10, 25, 0), windows=windows) == berlin(10, 25, 2, 10)
        assert find_opening(berlin(10, 25, 2, 40), windows=windows) == berlin(10, 26, 2, 10)

    def test_a_window_that_begins_in_the_repeated_hour_opens_the_second_time(self):
        windows, second = [["02:30", "12:00"]], berlin(10, 25, 2, 30, fold=1)
        moments = [berlin(10, 25, 0), berlin(10, 25, 2, 45), berlin(10, 25, 2, 10, fold=1), second]
        assert [find_opening(moment, windows=windows) for moment in moments] == [second] * 4

    def test_a_window_that_ends_in_the_repeated_hour_closes_the_first_time(self):
        windows, evening = [["22:00", "02:30"]], berlin(10, 25, 22)
        assert find_opening(berlin(10, 25, 2, 29), windows=windows) == berlin(10, 25, 2, 29)
        assert find_opening(berlin(10, 25, 2, 30), windows=windows) == evening
        assert find_opening(berlin(10, 25, 2, 10, fold=1), windows=windows) == evening

    def test_a_window_is_found_in_a_week_with_an_extra_hour(self):
        assert find_opening(berlin(10, 18, 2, 1), windows=[["02:00", "02:01", ["sun"]]]) == berlin(10, 25, 2)


class TestBoth:
    def test_both_must_be_open(self):
        assert find_opening(berlin(11, 20, 23), NIGHT, [["06:00", "08:00"]]) == berlin(11, 21, 7)
        assert find_opening(berlin(11, 20, 23), NIGHT, [["05:00", "06:00"], ["18:00", "23:00"]]) == berlin(11, 21, 18)

    def test_a_window_inside_the_quiet_hours_is_ignored_after_the_search_period(self):
        moment = berlin(11, 20, 12)
        assert find_opening(moment, NIGHT, [["23:00", "23:30"]]) == moment + SEARCH_PERIOD
        assert find_opening(berlin(11, 20, 23, 10), NIGHT, [["23:00", "23:30"]]) == berlin(11, 29, 7)

    def test_it_is_usable_if_it_is_open_for_a_quarter_of_an_hour(self):
        def is_usable(*windows):
            return Timetable(BERLIN, NIGHT, parse_windows(windows)).is_usable()

        assert is_usable(["21:45", "23:00", ["sun"]])
        assert not is_usable(["21:50", "23:00"])
        assert not is_usable(["23:00", "05:00"])
        assert Timetable(BERLIN, NIGHT).is_usable()
        assert not Timetable(BERLIN, Hours(time(0), time(23, 50))).is_usable()


@pytest.mark.parametrize(
    "wrong",
    ["08:00", [["08:00"]], [["8", "12:00"]], [["08:00", "25:00"]], [["08:00", 12]], [["08:00", "09:00", []]],
     [["08:00", "09:00", ["monday"]]], [["08:00", "09:00", "mon"]], [["08:00+01:00", "09:00"]], [7]],
)  # fmt: skip
def test_any_other_form_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="is not|Invalid|has a time zone|must be"):
        parse_windows(wrong)


def test_midnight_may_be_written_as_twenty_four():
    assert parse_time_of_day("24:00") == time(0)


def test_hours_as_text():
    assert [*map(str, parse_windows(TestWindows.OFFICE))] == ["08:00–12:00", "mon tue wed thu fri 14:00–18:00"]


def test_the_search_period_includes_any_week():
    assert timedelta(days=7, hours=3) < SEARCH_PERIOD


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
