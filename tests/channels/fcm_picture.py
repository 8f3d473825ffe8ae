"""Draw the message of docs/channels/fcm.md as a phone shows it, from what the channel sends.

Run ``python -m tests.channels.fcm_picture`` after a change; it needs Chromium.
"""

# ruff: noqa: E402 - models can be imported only after the setup

import os
import shutil
from pathlib import Path

import django
from django.apps import apps
from django.utils.html import format_html
from playwright.sync_api import sync_playwright

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()

from notifications.channels.fcm import make_content
from notifications.events import NotificationPriority

PICTURE = Path(__file__).parents[2] / "docs/channels/images/fcm.png"
PAGE = """<!doctype html><html lang="en"><style>
body {{ margin: 0; width: 390px; font: 15px/1.35 sans-serif; color: #1b1b1f; }}
main {{ background: #35506b; padding: 14px 12px 22px; }}
header {{ display: flex; justify-content: space-between; color: #fff; font-weight: 600; padding: 0 8px 14px; }}
article {{ background: #f6f7fb; border-radius: 18px; padding: 12px 16px 14px; }}
small {{ display: flex; gap: 8px; align-items: center; color: #55575f; margin-bottom: 6px; }}
i {{ width: 18px; height: 18px; border-radius: 5px; background: #b3261e; }}
h1 {{ font-size: 16px; margin: 0 0 2px; }}
p {{ margin: 0; }}
</style><main><header><span>9:41</span><span>84 %</span></header>
<article><small><i></i><span>Shop · now</span></small><h1>{}</h1><p>{}</p></article></main></html>"""


def make_example():
    """Return the ``message`` of the picture, as Firebase gets it."""
    return make_content(
        title="Lamp 7 is broken",
        text="The lamp in the stairwell of building 3 went out at 21:30. An electrician comes tomorrow.",
        priority=NotificationPriority.HIGH,
        tag="0" * 32,
        data={"notification_id": "42"},
        destination=("https://shop.example.com/lamps/7/", ""),
    )


def draw(path):
    shown = make_example()["notification"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 200}, device_scale_factor=2)
        page.set_content(format_html(PAGE, shown["title"], shown["body"]))
        page.locator("main").screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    draw(PICTURE)
