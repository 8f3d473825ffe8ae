"""The header ``Retry-After`` in every format of RFC 9110."""

import time

import pytest

from notifications.channels import retry_after

DATE = "Sun, 06 Nov 1994 08:48:37 GMT"
IN_A_MINUTE = {
    "RFC 5322": "Sun, 06 Nov 1994 08:49:37 GMT",
    "RFC 850": "Sunday, 06-Nov-94 08:49:37 GMT",
    "asctime": "Sun Nov  6 08:49:37 1994",
}


@pytest.mark.parametrize("written", IN_A_MINUTE.values(), ids=IN_A_MINUTE)
def test_a_date_is_parsed_in_each_of_the_three_formats(written):
    assert retry_after({"Retry-After": written, "Date": DATE}) == 60


def test_without_a_date_header_the_local_clock_is_used(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 784111717.0)
    assert retry_after({"Retry-After": IN_A_MINUTE["asctime"]}) == 60


@pytest.mark.parametrize("written", IN_A_MINUTE.values(), ids=IN_A_MINUTE)
def test_a_date_that_has_passed_means_now(written):
    assert retry_after({"Retry-After": written}) == 0


@pytest.mark.parametrize(("written", "seconds"), [("0", 0), ("120", 120), (" 7 ", 7), ("9" * 400, float("inf"))])
def test_seconds_must_be_an_integer(written, seconds):
    assert retry_after({"Retry-After": written}) == seconds


@pytest.mark.parametrize(
    "written", ["", "soon", "-5", "1.5", "\xb2", "1e3", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37"]
)
def test_other_values_are_ignored(written):
    assert retry_after({"Retry-After": written}) is None


def test_a_missing_header_is_none():
    assert retry_after({}) is None
