"""Every email of Klaxon and of the examples in a browser: it is readable and whole, in every width and color scheme."""

from pathlib import Path

import pytest
from django.template import Engine
from django.template.base import Variable

from notifications.channels.base import HTML
from notifications.delivering.rendering import render
from notifications.delivering.rendering.frame import Frame, get_words
from notifications.delivering.rendering.layout import Layout
from notifications.delivering.rendering.undeclared_variables import walk_variables
from notifications.events import NotificationPriority
from notifications.mail import Footer, Theme
from tests.mail.browser import measure

ROOT = Path(__file__).parents[2]
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"
THEMES = [
    Theme("Rosewood", postal_address="1 Mill Lane\nExampleton", base_url="https://example.com"),
    Theme(f"The {LONG_WORD}", "#ffcc00", base_url="https://example.com"),
    Theme("Rosewood", "#c0392b", base_url="https://example.com"),
]
FOOTER = Footer(
    "You get this because you follow road works.", "https://example.com/p", "https://example.com/u/" + "a" * 90
)
TEXT = f"Hello,\n\nsee https://example.com/{'x' * 90} for the {LONG_WORD * 2}."


def make_mails():
    """Return the HTML of emails by name: of each template, and of the layout for each priority and theme."""
    pages = ROOT.glob("example_project/*/templates/notifications/*/email.html")
    places = {path.parent.name: [(path.parent.name, "email")] for path in sorted(pages)}
    mails = {event: _render(place, THEMES[0], NotificationPriority.MEDIUM) for event, place in places.items()}
    for number, theme in enumerate(THEMES):
        for priority in NotificationPriority:
            mails[f"text {number} {priority.name}"] = _render([("email", "text")], theme, priority)
            mails[f"digest {number} {priority.name}"] = _render([("gathered", "email")], theme, priority, **DIGEST)
    return mails


ITEM = {"title": f"Order {LONG_WORD}", "at": None, "count": 3, "url": "https://example.com/1", "is_high": True}
DIGEST = {
    "sections": [{"title": "Your points", "lines": ["120 this week"]}],
    "groups": [{"label": "Your orders", "items": [ITEM, {**ITEM, "url": "", "is_high": False, "is_critical": True}]}],
    "urgent": [ITEM],
    "unshown": 2,
    "backlog": [{"label": "Your orders", "count": 2}],
    "figures": {"sent": 5, "received": 4, "opened": 1},
}


def _render(places, theme, priority, **values):
    layout = Layout(Frame(theme, priority, "en", "ltr", get_words("en")), FOOTER, "Your orders")
    layout.read_variables({"action_url": "/orders/1", "action_label": "See the order"})
    layout.add_part("subject.txt", f"Order 17 of {LONG_WORD}")
    layout.add_part("txt", TEXT)
    name = f"notifications/{places[0][0]}/{places[0][1]}.html"
    found = Engine.get_default().get_template(name)
    names = {item.lookups[0] for item in walk_variables(found.nodelist) if isinstance(item, Variable) and item.lookups}
    return render(
        places, [HTML], [], {**{name: f"the {name}" for name in names}, **values, "layout": layout}, ("en", "UTC")
    ).html


@pytest.mark.needs_program("chromium")
@pytest.mark.one_database
@pytest.mark.needs("css_inline")
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_text_can_be_read_and_nothing_is_cut(width, is_dark):
    mails = make_mails()
    assert len(mails) > 50
    found = measure(mails, width, is_dark)
    unreadable = [item for item in found if item["worst"] < 4.5 or item["inverted"] < 4.5 or item["words"] < 5]
    assert unreadable == []
    assert [item for item in found if item["overflow"] > 0] == []
