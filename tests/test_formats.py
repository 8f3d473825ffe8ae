"""Formatting in the active language and time zone."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils import timezone, translation
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.formats import clock_time, long_date, money, short_date, short_money

LATE = datetime(2024, 2, 15, 23, 30, tzinfo=UTC)
LANGUAGES = ["en", "de", "de-at", "fr", "pt-br", "zh-hans", "ar", "hi", "ja"]


@pytest.mark.parametrize(
    ("language", "amount", "currency", "long", "short"),
    [
        ("en", Decimal("150"), "USD", "$150.00", "$150"),
        ("en", Decimal("150.50"), "USD", "$150.50", "$150.50"),
        ("en", 1234567, "EUR", "€1,234,567.00", "€1,234,567"),
        ("de", Decimal("1234.50"), "EUR", "1.234,50\xa0€", "1.234,50\xa0€"),
        ("de", Decimal("1234"), "EUR", "1.234,00\xa0€", "1.234\xa0€"),
        ("en", Decimal("-5"), "USD", "-$5.00", "-$5"),
        ("en", 1500, "JPY", "¥1,500", "¥1,500"),
    ],
)
def test_money_in_a_language(language, amount, currency, long, short):
    with translation.override(language):
        assert (money(amount, currency), short_money(amount, currency)) == (long, short)


@pytest.mark.parametrize(
    ("language", "long", "short"),
    [
        ("en", "February 15, 2024", "Feb 15"),
        ("de", "15. Februar 2024", "15. Feb."),
        ("de-at", "15. Februar 2024", "15. Feb."),
        ("fr", "15 février 2024", "15 févr."),
    ],
)
def test_dates_in_a_language(language, long, short):
    with translation.override(language):
        assert (long_date(date(2024, 2, 15)), short_date(date(2024, 2, 15))) == (long, short)


def test_a_time_is_formatted_in_the_active_time_zone():
    with translation.override("en"), timezone.override("Asia/Kathmandu"):
        assert clock_time(LATE) == "05:15"
        assert long_date(LATE) == "February 16, 2024"
        assert short_date(LATE) == "Feb 16"


def test_a_naive_time_and_a_date_are_not_converted():
    with translation.override("en"), timezone.override("Asia/Kathmandu"):
        assert clock_time(datetime(2024, 2, 15, 14, 30)) == "14:30"
        assert short_date(date(2024, 2, 15)) == "Feb 15"


@pytest.mark.parametrize("language", ["xx", None])
def test_the_language_of_the_site_replaces_an_unknown_one(language, settings):
    settings.LANGUAGE_CODE = "de"
    with translation.override(language):
        assert money(1, "EUR") == "1,00\xa0€"


@settings(deadline=None)
@given(
    st.sampled_from(LANGUAGES), st.decimals(-(10**9), 10**9, places=2), st.sampled_from(["USD", "EUR", "JPY", "KWD"])
)
def test_the_short_form_is_never_longer(language, amount, currency):
    with translation.override(language):
        assert len(short_money(amount, currency)) <= len(money(amount, currency))
