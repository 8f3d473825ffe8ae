"""What messages of chat services say, and how texts are shortened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.channels.content import (
    COLORS,
    build_content,
    clean_url,
    find_urls,
    shorten,
    shorten_written,
)
from notifications.events import NotificationEvent, NotificationPriority
from notifications.mail.theme import compute_contrast
from notifications.testing import temporary_events
from tests.channels.chat_services import make_delivery, make_rendered
from tests.shop.notification_events import ShopEvents

BACKGROUNDS = ["#ffffff", "#1a1d21", "#313338"]
"""Slack and Discord, light and dark."""
CLUSTERS = ["e\u0301", "👩🏽‍🚒", "🇩🇪", "❤️", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "क्षि"]


def describe(rendered=None, **values):
    return build_content(make_delivery(**values), rendered or make_rendered())


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("color", COLORS.values())
def test_colors_stand_out_from_light_and_dark_backgrounds(color, background):
    assert compute_contrast(color, background) >= 3


@pytest.mark.parametrize("subject", ["", "   ", "\u200b", "\u00a0\u2003"])
def test_a_title_is_never_empty(subject):
    assert describe(make_rendered(subject=subject, label="Messages")).title == "Messages"
    assert describe(make_rendered(subject=subject)).title == "message"


def test_a_text_of_invisible_characters_is_empty():
    assert describe(make_rendered(text=" \u200b\n")).text == ""


def test_a_text_that_is_the_title_is_shown_once():
    assert describe(make_rendered(subject="Full", text="Full\n")).text == ""
    # A service can cut a long title.
    assert describe(make_rendered(subject="x" * 200, text="x" * 200)).text == "x" * 200


def test_the_link_is_that_of_the_templates():
    found = describe(make_rendered(action_url="https://shop.example.com/orders/7/", action_label="See\nit"))
    assert (found.url, found.url_label) == ("https://shop.example.com/orders/7/", "See it")


def test_without_one_it_is_that_of_the_event_on_the_site(settings):
    event = NotificationEvent("order_shipped", NotificationPriority.HIGH, ["slack"], url="/orders/{number}/")
    with temporary_events() as events:
        events[ShopEvents.ORDER_SHIPPED] = event
        found = describe(event="order_shipped", context={"number": "a b"})
        assert (found.url, found.url_label) == ("https://shop.example.com/orders/a%20b/", "Open")
        assert describe(make_rendered(is_sensitive=True), event="order_shipped", context={"number": "7"}).url == ""
        assert describe(event="order_shipped", context={}, digest_kind="batch").url == ""
        settings.NOTIFICATIONS = {}
        assert describe(event="order_shipped", context={"number": "7"}).url == ""


@pytest.mark.parametrize(
    "url",
    ["", "/orders/7/", "mailto:a@example.com", "javascript:alert(1)", "https://a.example/\nb", "https://a.example/ b",
     "https://[::1", "https://", "https://a.example/" + "x" * 2048],
)  # fmt: skip
def test_a_url_that_services_cannot_open_is_no_link(url):
    assert clean_url(url) == ""


def test_a_url_contains_no_markup():
    assert clean_url("https://a.example/<b>|`x`?q={1}") == "https://a.example/%3Cb%3E%7C%60x%60?q=%7B1%7D"


@given(st.lists(st.sampled_from([*CLUSTERS, "a", " "]), max_size=40), st.integers(2, 60))
def test_no_character_is_cut(parts, length):
    text = "".join(parts)
    short = shorten(text, length)
    assert len(short) <= length
    if short != text:
        kept = short.removesuffix("…")
        whole = {"".join(parts[:count]).rstrip() for count in range(len(parts) + 1)}
        assert kept in whole


def test_a_pile_of_marks_is_cut_anyway():
    assert len(shorten("a" + "\u0301" * 500, 100)) == 100


def test_no_url_is_cut():
    text = " ".join(f"https://shop.example.com/orders/{number}/" for number in range(200))
    for length in range(60, 160):
        short = shorten(text, length)
        assert len(short) <= length
        assert set(short.removesuffix("…").split()) <= set(text.split())
    assert shorten("https://shop.example.com/orders/", 12) == "https://sho…"


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("See https://a.example/x.", ["https://a.example/x"]),
        ("(https://a.example/x)", ["https://a.example/x"]),
        ("https://a.example/x_(y), z", ["https://a.example/x_(y)"]),
        ("<https://a.example|https://b.example>", ["https://a.example", "https://b.example"]),
        ("https:// and ftp://a.example", []),
    ],
)
def test_urls_are_found(text, urls):
    assert [text[start:stop] for start, stop in find_urls(text)] == urls


@given(st.text("a&<> é", max_size=300), st.integers(20, 100))
def test_a_text_is_short_enough_after_it_is_escaped(text, length):
    written = shorten_written(text, length, lambda value: value.replace("&", "&amp;"))
    assert len(written) <= length
    assert written == text.replace("&", "&amp;") or written.endswith("…")


def test_the_representation_of_rendered_parts_shows_nothing():
    rendered = make_rendered(subject="a secret", text="a secret", action_url="https://a.example/secret")
    assert "secret" not in repr(rendered)


def test_its_representation_shows_nothing():
    assert repr(describe()) == "Content(priority=HIGH)"
