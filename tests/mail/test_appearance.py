"""Every email of Klaxon and of the examples in a browser: it is readable and whole, in every width and color scheme."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest
from django.template import Engine
from django.template.base import Variable

from notifications.channels.base import HTML
from notifications.delivering.rendering import render
from notifications.delivering.rendering.frame import Frame
from notifications.delivering.rendering.layout import Layout
from notifications.delivering.rendering.undeclared_variables import walk_variables
from notifications.events import NotificationPriority
from notifications.mail import Footer, Theme

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or "chromium"
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
# Judges each text by its own color and the nearest background; "inverted" is what a client makes of both that inverts.
SCRIPT = """
const parse = color => (color.match(/[\\d.]+/g) || []).map(Number);
const channel = share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
const luminance = rgb => rgb.slice(0, 3).map(value => channel(value / 255))
  .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const invert = rgb => rgb.slice(0, 3).map(value => 255 - value);
function background(element, view) {
  for (let node = element; node; node = node.parentElement) {
    const color = parse(view.getComputedStyle(node).backgroundColor);
    if (color.length === 3 || color[3] > 0) return color;
  }
  return [255, 255, 255];
}
addEventListener('load', () => {
  const found = [];
  for (const frame of document.querySelectorAll('iframe')) {
    const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
    let worst = 21, inverted = 21, words = 0;
    const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !element.getClientRects().length || element.closest('style')) continue;
      const color = parse(view.getComputedStyle(element).color), behind = background(element, view);
      worst = Math.min(worst, contrast(color, behind));
      inverted = Math.min(inverted, contrast(invert(color), invert(behind)));
      words += 1;
    }
    found.push({name: frame.title, worst, inverted, words, overflow: root.scrollWidth - root.clientWidth});
  }
  document.getElementById('found').textContent = JSON.stringify(found);
});
"""


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
    "figures": {"sent": 5, "received": 4, "opened": 1, "waiting": 2},
}


def _render(places, theme, priority, **values):
    layout = Layout(Frame(theme, priority, "en", "ltr"), FOOTER, "Your orders")
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
def test_every_text_can_be_read_and_nothing_is_cut(tmp_path, width, is_dark):
    mails = make_mails()
    assert len(mails) > 50
    frames = "".join(
        f'<iframe title="{escape(name)}" style="border: 0; width: {width}px; height: 900px" srcdoc="{escape(html)}">'
        "</iframe>"
        for name, html in mails.items()
    )
    page = tmp_path / "mails.html"
    page.write_text(f'<meta charset="utf-8"><pre id="found"></pre>{frames}<script>{SCRIPT}</script>')
    scheme = ["--blink-settings=preferredColorScheme=0"] if is_dark else []
    command = [CHROMIUM, "--headless", "--no-sandbox", *scheme, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    output = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', output, re.DOTALL)[1]))
    assert len(found) == len(mails)
    unreadable = [item for item in found if item["worst"] < 4.5 or item["inverted"] < 4.5 or item["words"] < 5]
    assert unreadable == []
    assert [item for item in found if item["overflow"] > 0] == []
