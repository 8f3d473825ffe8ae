"""The layout of emails, from the event to the mail."""

import logging
import re
from enum import Enum
from html.parser import HTMLParser

import pytest

from notifications.events import NotificationEvent, NotificationPriority
from notifications.mail import register_footer_source
from notifications.mail.footer import FOOTER_SOURCES
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery
from notifications.testing import capture_notifications, temporary_events
from tests.factories import UserFactory, UserSettingsFactory

pytestmark = pytest.mark.django_db

MAIL = "notifications/door_opened/email"
CONTENT = '{% extends "notifications/email/base.html" %}{% block content %}<p>The {{ door }} door.</p>{% endblock %}'


class Door(Enum):
    OPENED = "door_opened"


class Page(HTMLParser):
    """Collects the attributes of each tag and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._silent = [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent += tag in ("style", "title")

    def handle_endtag(self, tag):
        self._silent -= tag in ("style", "title")

    def handle_data(self, data):
        if not self._silent:
            self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)

    def find(self, tag, **wanted):
        wanted = {name.rstrip("_"): value for name, value in wanted.items()}
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]


@pytest.fixture
def arrive(templates, mailoutbox):
    """Send, deliver, and return the mail; its attribute ``page`` is its HTML."""

    def arrive(files, context=None, user=None, priority=NotificationPriority.MEDIUM, layout_files=None, **event):
        own = {f"{MAIL}.{part}": text for part, text in {"subject.txt": "Door <1>", **files}.items()}
        templates(own | {f"notifications/email/{name}": text for name, text in (layout_files or {}).items()})
        with temporary_events() as events, capture_notifications() as captured:
            events[Door.OPENED] = NotificationEvent("door_opened", priority, ["email"], **event)
            NotificationManager.send(Door.OPENED, user or UserFactory(), None, context or {})
            captured.deliver()
        [mail] = mailoutbox
        mail.page = Page(mail.alternatives[0][0]) if mail.alternatives else None
        return mail

    return arrive


@pytest.fixture(autouse=True)
def footer():
    """Replace the sources of the footer by one that knows the given fields; by default, none."""
    known = dict(FOOTER_SOURCES)
    FOOTER_SOURCES.clear()

    def footer(**fields):
        register_footer_source("test", lambda delivery, event, person: fields)

    yield footer
    FOOTER_SOURCES.clear()
    FOOTER_SOURCES.update(known)


def test_an_event_extends_the_layout(arrive):
    mail = arrive({"txt": "Text.", "html": CONTENT}, {"door": "<front>"})
    assert "shop.example.com Door <1> The <front> door." in mail.page.text
    [page] = mail.page.find("html")
    assert (page["lang"], page["dir"]) == ("en", "ltr")
    assert mail.page.find("h1")
    assert mail.body == "Text.\n"


def test_an_event_with_text_only_gets_html(arrive):
    mail = arrive({"txt": "Hello <b>you</b>.\n\nSee it."})
    assert "Hello <b>you</b>. See it." in mail.page.text
    assert mail.page.find("b") == []
    assert len(mail.page.find("p")) >= 2


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("See https://shop.example.com/a?b=1&c=2.", "https://shop.example.com/a?b=1&c=2"),
        ("(https://shop.example.com/a)", "https://shop.example.com/a"),
        ("At https://shop.example.com, always", "https://shop.example.com"),
        ("(See https://shop.example.com).", "https://shop.example.com"),
        ("At https://shop.example.com:\nhere", "https://shop.example.com"),
        ('x="https://shop.example.com/a"', "https://shop.example.com/a"),
        ("https://shop.example.com/a<b>", "https://shop.example.com/a"),
    ],
)
def test_addresses_of_the_site_become_links_in_a_text(arrive, text, link):
    mail = arrive({"txt": text})
    assert [found["href"] for found in mail.page.find("a") if "class" not in found] == [link]
    assert "".join(text.split()) in "".join(mail.page.words)


@pytest.mark.parametrize(
    "text",
    [
        "https://eve.example/",
        "https://shop.example.com@eve.example",
        "https://shop.example.community/",
        "https://shop.example.com.eve.example/",
        "https://shop.example.com:8443/",
        "https://shop.example.com:secret@eve.example/",
        "javascript:x",
    ],
)
def test_other_addresses_stay_text(arrive, text):
    assert [found for found in arrive({"txt": text}).page.find("a") if "class" not in found] == []


def test_html_from_text_can_be_switched_off(arrive, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"OPTIONS": {"html_from_text": False}}}}
    assert arrive({"txt": "Hello."}).page is None


@pytest.mark.needs("inscriptis")
def test_an_event_with_html_only_gets_text(arrive):
    mail = arrive({"html": CONTENT.replace("</p>", ' <a href="https://example.com/x">See it</a></p>')}, {"door": "red"})
    assert "The red door. [See it](https://example.com/x)" in mail.body
    assert "{" not in mail.body


def test_without_text_and_html_the_delivery_is_dead(templates, mailoutbox):
    templates({f"{MAIL}.subject.txt": "Door"})
    with temporary_events() as events, capture_notifications() as captured:
        events[Door.OPENED] = NotificationEvent("door_opened", NotificationPriority.LOW, ["email"])
        NotificationManager.send(Door.OPENED, UserFactory(), None, {})
        captured.deliver()
    assert Delivery.objects.get().state == "dead"


def test_the_action_is_a_button_and_in_the_text(arrive, settings):
    settings.NOTIFICATIONS = {"BASE_URL": "https://shop.example.com"}
    mail = arrive({"txt": "Text."}, {"action_url": "/doors/1/", "action_label": "Close it"})
    [button] = mail.page.find("a", class_="button-link")
    assert button["href"] == "https://shop.example.com/doors/1/"
    assert "Close it" in mail.page.text
    assert "Close it: https://shop.example.com/doors/1/" in mail.body


def test_the_action_can_come_from_a_transform(arrive):
    transform = {"email": lambda context: {"action_url": f"https://example.com/{context['id']}"}}
    mail = arrive({"txt": "https://example.com/7"}, {"id": 7}, transforms=transform)
    assert mail.page.find("a", class_="button-link", href="https://example.com/7")
    assert mail.body.count("https://example.com/7") == 1


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "https://[", "/relative"])
def test_an_action_that_is_unsafe_or_has_no_site_is_no_button(arrive, settings, url):
    settings.NOTIFICATIONS = {"BASE_URL": ""}
    mail = arrive({"txt": "Text."}, {"action_url": url})
    assert mail.page.find("a", class_="button-link") == []
    assert url not in mail.body


def test_the_theme_colors_the_header_and_the_button(arrive, settings):
    settings.NOTIFICATIONS = {"THEME": {"name": "Shop", "color": "#ffcc00", "logo_url": "https://example.com/l.png"}}
    mail = arrive({"txt": "Text."}, {"action_url": "https://example.com"})
    assert {cell["class"] for cell in mail.page.find("td", bgcolor="#ffcc00")} == {"header", "bar", "button"}
    [logo] = mail.page.find("img")
    assert (logo["src"], logo["alt"], logo["height"]) == ("https://example.com/l.png", "Shop", "40")


@pytest.mark.parametrize(
    ("priority", "word", "color"),
    [
        (NotificationPriority.CRITICAL, "Critical", "#b42318"),
        (NotificationPriority.HIGH, "Important", "#b54708"),
        (NotificationPriority.MEDIUM, "", "#003366"),
        (NotificationPriority.LOW, "", "#52606d"),
    ],
)
def test_the_priority_is_a_word_and_a_color(arrive, priority, word, color):
    mail = arrive({"txt": "Text."}, priority=priority)
    assert mail.page.find("td", class_="bar", bgcolor=color)
    assert word in mail.page.text
    assert ("Critical" in mail.page.text, "Important" in mail.page.text) == (word == "Critical", word == "Important")


def test_the_footer_is_in_html_and_text(arrive, settings, footer):
    settings.NOTIFICATIONS = {"THEME": {"name": "Shop", "postal_address": "1 Mill\nTown"}}
    links = {"preferences_url": "https://example.com/p", "unsubscribe_url": "https://example.com/u"}
    footer(reason="You get this because you <follow> it.", **links)
    mail = arrive({"txt": "Text."})
    assert mail.page.text.endswith(
        "You get this because you <follow> it. Choose what you get Unsubscribe Shop 1 Mill Town"
    )
    assert mail.page.find("a", href="https://example.com/u")
    assert mail.body == (
        "Text.\n\n-- \nYou get this because you <follow> it.\nChoose what you get: https://example.com/p\n"
        "Unsubscribe: https://example.com/u\nShop\n1 Mill\nTown\n"
    )


def test_one_link_leads_to_the_page_of_both(arrive, footer):
    footer(preferences_url="https://example.com/p", unsubscribe_url="https://example.com/p")
    mail = arrive({"txt": "Text."})
    assert len(mail.page.find("a", href="https://example.com/p")) == 1
    assert "Unsubscribe or choose what you get" in mail.page.text
    assert mail.body == "Text.\n\n-- \nUnsubscribe or choose what you get: https://example.com/p\n"


def test_recipients_with_other_links_do_not_share_the_footer(arrive, mailoutbox, footer):
    footer(reason="You follow it.")
    assert arrive({"txt": "Text."}).body == "Text.\n\n-- \nYou follow it.\n"
    mailoutbox.clear()
    footer(unsubscribe_url="https://example.com/u")
    assert arrive({"txt": "Text."}).body == "Text.\n\n-- \nUnsubscribe: https://example.com/u\n"


def test_a_layout_with_a_reason_of_its_own_still_gives_the_text_the_address(arrive, settings, footer):
    settings.NOTIFICATIONS = {"THEME": {"name": "Shop", "postal_address": "1 Mill"}}
    html = f"{CONTENT}{{% block reason %}}<p>You bought a door.</p>{{% endblock %}}"
    assert arrive({"txt": "Text.", "html": html}, {"door": "red"}).body == "Text.\n\n-- \nShop\n1 Mill\n"


def test_a_footer_of_the_site_can_use_filters_and_other_tags(arrive, footer):
    footer(reason="You follow it.", unsubscribe_url="https://example.com/u")
    file = "{{ layout.reason|upper }} {{ footer.unsubscribe_url }}{% if footer.reason %}!{% endif %}"
    assert (
        arrive({"txt": "Text."}, layout_files={"footer.txt": file}).body
        == "Text.\n\nYOU FOLLOW IT. https://example.com/u!\n"
    )


def test_mailboxes_show_the_beginning_of_a_long_text(arrive):
    mail = arrive({"txt": "The first words.\n\nMore." + " and more" * 30, "html": CONTENT}, {"door": "red"})
    assert mail.page.find("div", class_="preview")
    assert mail.page.text.startswith("The first words. More. and more")
    assert len(mail.page.text.partition("shop.example.com")[0]) <= 121


def test_the_words_of_a_short_text_are_not_repeated(arrive):
    assert arrive({"txt": "The first words."}).page.text.count("first") == 1


def test_an_event_can_give_its_own_preview(arrive):
    assert arrive({"txt": "Text."}, {"preheader": "Look here"}).page.text.startswith("Look here")


def test_a_language_that_is_written_from_right_to_left_has_that_direction(arrive):
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), language="ar")
    [page] = arrive({"txt": "Text."}, user=user).page.find("html")
    assert (page["lang"], page["dir"]) == ("ar", "rtl")


def test_two_languages_do_not_share_the_layout(arrive, mailoutbox):
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), language="de")
    assert arrive({"txt": "Text."}, priority=NotificationPriority.HIGH).page.find("html")[0]["lang"] == "en"
    mailoutbox.clear()
    assert arrive({"txt": "Text."}, user=user, priority=NotificationPriority.HIGH).page.find("html")[0]["lang"] == "de"


def test_values_of_the_context_cannot_replace_the_layout(arrive):
    mail = arrive({"txt": "{{ original.layout }}"}, {"layout": "own"})
    assert "own" in mail.page.text


@pytest.mark.needs("css_inline")
def test_every_rule_of_the_layout_is_inlined(arrive):
    mail = arrive({"txt": "Text.", "html": CONTENT}, {"door": "red"})
    html = mail.alternatives[0][0]
    assert re.search(r'<p style="margin: 0 0 16px">The red door\.</p>', html)
    assert 'data-css-inline="remove"' not in html


def test_html_that_gmail_would_cut_is_logged(arrive, caplog):
    with caplog.at_level(logging.WARNING, "notifications.rendering"):
        arrive({"txt": "x" * 103_000})
    assert "Gmail shows only the first 104448" in caplog.text


def test_a_page_without_the_layout_has_its_own_footer_and_so_has_its_text(arrive, footer):
    footer(unsubscribe_url="https://example.com/u")
    files = {"txt": "Text.", "html": "<p>Page</p>"}
    mail = arrive(files, {"action_url": "https://example.com/x"})
    assert (mail.body, mail.alternatives[0][0]) == ("Text.\n", "<p>Page</p>\n")
