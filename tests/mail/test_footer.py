"""The sources of the footer of emails."""

import pytest

from notifications.mail import Footer, register_footer_source
from notifications.mail.footer import FOOTER_SOURCES, build_footer


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    for name in list(FOOTER_SOURCES):
        monkeypatch.delitem(FOOTER_SOURCES, name)
    yield
    FOOTER_SOURCES.clear()


def test_without_sources_the_footer_is_empty():
    assert build_footer(None, None, None) == Footer()


def test_each_source_adds_what_it_knows():
    register_footer_source("links", lambda delivery, event, person: {"unsubscribe_url": f"/{delivery}/{event}"})
    register_footer_source("reason", lambda delivery, event, person: {"reason": f"for {person}"})
    assert build_footer(7, "sale", "ann") == Footer("for ann", "", "/7/sale")


def test_one_link_is_enough_for_one_page():
    assert Footer("", "/p", "/p").shape == (False, False, True, True, False)
    assert Footer("why", "/p", "/u").shape == (True, True, True, False, False)
    assert Footer("", "/p", "").shape == (False, True, False, False, False)


def test_a_source_of_the_site_overrides_a_default_that_is_registered_later():
    register_footer_source("shop", lambda delivery, event, person: {"reason": "a customer"})
    register_footer_source("reason", lambda *_: {"reason": "a member", "preferences_url": "/p"}, is_default=True)
    assert build_footer(None, None, None) == Footer("a customer", "/p")
