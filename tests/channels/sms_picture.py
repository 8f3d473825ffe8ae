"""``python -m tests.channels.sms_picture``: draw the pictures of an SMS and of a call in docs/channels/images/.

They show what the channels hand to Twilio.
"""

import os
import shutil
from html import escape
from pathlib import Path
from urllib.parse import parse_qs
from xml.etree import ElementTree

import django

FOLDER = Path(__file__).resolve().parents[2] / "docs/channels/images"
ACCOUNT = {"account_sid": "AC1", "auth_token": "placeholder", "sender": "+15005550006", "callbacks": True}
ORDER = "Order 1017 has left our warehouse. It arrives on Friday.\nhttps://shop.example.com/orders/1017\n"
FIRE = "Fire in hall 3. Leave the building.\n"
STYLE = """body { margin: 0; padding: 12px; background: #f2f2f7; font: 15px/1.35 sans-serif; color: #111 }
header { color: #555; font-size: 12px; text-align: center; margin-bottom: 8px }
p { margin: 0; padding: 9px 13px; border-radius: 17px 17px 17px 4px; background: #fff; border: 1px solid #d8d8de;
    max-width: 300px; white-space: pre-line; overflow-wrap: anywhere }
.link { color: #0645ad; text-decoration: underline }
.call { background: #1c1c1e; color: #fff; text-align: center } .call header { color: #ccc }
.call p { background: none; border: 0; max-width: none; font-size: 16px } .call b { font-size: 20px; display: block }
.key { display: inline-block; width: 40px; line-height: 40px; border-radius: 20px; background: #3a3a3c;
    margin-top: 4px }"""


def write_texts():
    """Return the text of the SMS and what the call says."""
    from notifications.channels.base import Rendered
    from notifications.channels.twilio_sms import TwilioSMSChannel
    from notifications.channels.twilio_voice import TwilioVoiceChannel
    from notifications.models import Delivery, Notification

    forms = []
    for kind, text in ((TwilioSMSChannel, ORDER), (TwilioVoiceChannel, FIRE)):
        channel = kind(**ACCOUNT)
        delivery = Delivery(pk=1, recipient_id=1, address="+4915112345678", notification=Notification(pk=1))
        message = channel.prepare(delivery, Rendered({"txt": text}, "en"))
        forms.append(parse_qs(message.request.body.decode()))
        channel.close()
    said = ElementTree.fromstring(forms[1]["Twiml"][0])[0][0].text
    return forms[0]["Body"][0], said


def build_sms(text):
    words, _gap, link = text.rpartition("\n")
    shown = f'{escape(words)}\n<span class="link">{escape(link)}</span>'
    return f'<style>{STYLE}</style><header>+1 500 555 0006 · 09:41</header><p dir="auto">{shown}</p>'


def build_call(said):
    head = "<header>Incoming call</header><b>+1 500 555 0006</b>"
    return f'<style>{STYLE}</style><body class="call">{head}<p>“{escape(said)}”</p><span class="key">1</span>'


def draw(html, name):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 350, "height": 60})
        page.set_content(f'<!doctype html><meta charset="utf-8">{html}')
        page.screenshot(path=FOLDER / name, full_page=True)
        browser.close()


def main():
    FOLDER.mkdir(exist_ok=True)
    sms, said = write_texts()
    draw(build_sms(sms), "sms.png")
    draw(build_call(said), "voice.png")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    main()
