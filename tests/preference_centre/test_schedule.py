"""Hours, windows, digest and language."""

from datetime import time

import pytest

from notifications.models import UserSettings
from tests.preference_centre.conftest import PREFERENCES, find_settings, put_schedule

pytestmark = pytest.mark.django_db


def test_everything_is_saved(browser, ann):
    response = put_schedule(
        browser,
        language="en",
        time_zone="Europe/Berlin",
        quiet_from="22:00",
        quiet_until="07:00",
        digest="weekly",
        digest_hour="17",
        digest_day="4",
        **{"delivery_windows-0-channel": "email", "delivery_windows-0-start": "08:00"},
        **{"delivery_windows-0-end": "12:00", "delivery_windows-0-days": ["tue", "mon"]},
    )
    assert response.status_code == 302
    settings = find_settings(ann)
    assert (settings.language, settings.time_zone) == ("en", "Europe/Berlin")
    assert (settings.quiet_from, settings.quiet_until) == (time(22), time(7))
    assert (settings.digest, settings.digest_hour, settings.digest_day) == ("weekly", 17, 4)
    assert settings.delivery_windows == {"email": [["08:00", "12:00", ["mon", "tue"]]]}


def test_what_is_saved_is_shown(browser, ann, cluster):
    windows = {"email": [["08:00", "24:00", ["sun"]], ["14:00", "18:00"]], "*": [["09:00", "17:00"]]}
    UserSettings(
        user=ann, cluster=cluster, quiet_from=time(22), quiet_until=time(7), delivery_windows=windows, language="de-at"
    ).save()
    page = browser.get(PREFERENCES).content.decode()
    for field in (
        '<input type="time" name="quiet_from" value="22:00"',
        '<input type="time" name="delivery_windows-0-start" value="08:00">',
        '<input type="time" name="delivery_windows-0-end" value="00:00">',
        'name="delivery_windows-0-days" value="sun" checked',
        '<input type="time" name="delivery_windows-2-start" value="09:00">',
        '<option value="de-at" selected>',
        '<option value="Europe/Berlin">',
    ):
        assert field in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"quiet_from": "22:00"}, "both a beginning and an end"),
        ({"quiet_from": "00:00", "quiet_until": "23:55"}, "less than 15 minutes"),
        ({"time_zone": "Europe/Berln"}, "Did you mean Europe/Berlin?"),
        ({"language": "xx"}, "Select a valid choice"),
        ({"digest_hour": "24"}, "Select a valid choice"),
        (
            {
                **{"delivery_windows-0-channel": "fax", "delivery_windows-0-start": "08:00"},
                **{"delivery_windows-0-end": "09:00"},
            },
            "",
        ),
        ({"delivery_windows-0-channel": "email", "delivery_windows-0-start": "08:00"}, "both a beginning and an end"),
        (
            {
                **{"delivery_windows-0-channel": "email", "delivery_windows-0-start": "22:30"},
                **{"delivery_windows-0-end": "23:30", "quiet_from": "22:00", "quiet_until": "07:00"},
            },
            "no delivery window of email",
        ),
    ],
)
def test_invalid_hours_are_refused_and_stay_in_the_form(values, words, browser):
    response = put_schedule(browser, **values)
    if words:
        assert response.status_code == 200
        page = response.content.decode()
        assert words in page
        for name, value in values.items():
            if name.startswith("quiet") or name.endswith("start"):
                assert f'name="{name}" value="{value}"' in page
    assert not UserSettings.objects.exclude(delivery_windows={}).exists()


def test_empty_hours_remove_a_window(browser, ann, cluster):
    UserSettings(user=ann, cluster=cluster, delivery_windows={"email": [["08:00", "12:00"]]}).save()
    row = {"channel": "email", "start": "", "end": ""}
    put_schedule(browser, **{f"delivery_windows-0-{name}": value for name, value in row.items()})
    assert find_settings(ann).delivery_windows == {}


def test_malformed_windows_that_are_stored_do_not_break_the_page(browser, ann, cluster):
    UserSettings.objects.bulk_create([UserSettings(user=ann, cluster=cluster, delivery_windows={"email": "mornings"})])
    assert browser.get(PREFERENCES).status_code == 200
