"""Draw how services show a message: ``python -m tests.channels.pictures`` writes docs/channels/images/.

The payloads are those that the channels make. Only the frame around them is drawn, after the design of each service.
"""

import html
import os
import re
import shutil
from pathlib import Path

import django
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parents[2] / "docs/channels/images"
WIDTH = 560
STYLE = """
* { box-sizing: border-box; margin: 0 } a { text-decoration: none }
body { font: 15px/1.45 "DejaVu Sans", Arial, sans-serif; width: 560px; padding: 14px 16px }
.row { display: flex; gap: 10px } .who { font-weight: bold } .time { font-size: 12px; opacity: .65; margin-left: 6px }
.icon { width: 36px; height: 36px; border-radius: 6px; flex: none; color: #fff; font-weight: bold; text-align: center;
  line-height: 36px; background: #003366 }
.app { font-size: 10px; padding: 0 4px; border-radius: 3px; margin-left: 6px; vertical-align: 1px }
.grow { flex: 1; min-width: 0 } p { white-space: pre-wrap }
"""
SLACK = """
body { background: #fff; color: #1d1c1d } .app { background: #e8e8e8 } h1 { font-size: 18px; margin: 2px 0 6px }
.bar { border-left: 4px solid; border-radius: 4px; padding-left: 12px } a { color: #1264a3 }
.button { display: inline-block; border: 1px solid #bbb; border-radius: 4px; padding: 4px 12px; font-weight: bold;
  margin: 8px 0 6px; font-size: 14px } .context { font-size: 12px; color: #616061 }
"""
DISCORD = """
body { background: #313338; color: #dbdee1 } .icon { border-radius: 50% } .app { background: #5865f2; color: #fff }
.who { color: #f2f3f5 } .embed { background: #2b2d31; border-left: 4px solid; border-radius: 4px; padding: 10px 14px;
  margin-top: 4px; max-width: 432px } a, h1 { color: #00a8fc; font-size: 15px } h1 { margin-bottom: 6px }
.foot { font-size: 12px; margin-top: 8px } p { font-size: 14px } .button { display: inline-block; background: #4e5058;
  color: #fff; border-radius: 4px; padding: 5px 14px; margin-top: 6px; font-size: 14px }
"""
TEAMS = """
body { background: #f5f5f5; color: #242424 } .icon { border-radius: 50% } .card { background: #fff; border: 1px solid
  #e0e0e0; border-radius: 6px; margin-top: 6px; overflow: hidden; padding: 0 14px 12px } .head { margin: 0 -14px 10px;
  padding: 10px 14px; font-weight: bold; font-size: 17px } .attention { background: #fdf3f4 } .warning { background:
  #fff9f5 } .accent { background: #ebf3fc } .emphasis { background: #f5f5f5 } a { color: #5b5fc7 } .subtle { color:
  #616161; font-size: 12px; border-top: 1px solid #e0e0e0; padding-top: 8px; margin-top: 8px } .gap { margin-top: 8px }
.button { display: inline-block; border: 1px solid #d1d1d1; border-radius: 4px; padding: 4px 12px; font-weight: bold;
  margin-top: 10px; font-size: 14px; color: #242424 }
"""
PUSHOVER = """
body { background: #f2f4f7; color: #1c1c1e } .card { background: #fff; border-radius: 14px; padding: 12px 14px;
  box-shadow: 0 1px 3px #0002 } .title { font-weight: bold } a { color: #249df1; display: block; margin-top: 6px }
.high { color: #c62828; font-size: 12px; font-weight: bold } .button { display: inline-block; background: #249df1;
  color: #fff; border-radius: 8px; padding: 6px 14px; margin-top: 10px }
"""


def escape(text):
    return html.escape(text, quote=False)


def frame(style, name, body, app="APP"):
    head = f'<span class="who">{name}</span><span class="app">{app}</span><span class="time">12:00</span>'
    icon = '<div class="icon">S</div>'
    return f'<style>{STYLE}{style}</style><div class="row">{icon}<div class="grow">{head}{body}</div></div>'


def draw_slack(payload):
    def write(mrkdwn):
        return re.sub(r"<(https?://[^>]+)>", r"<a>\1</a>", mrkdwn)

    [attachment] = payload["attachments"]
    section, actions, context = attachment["blocks"]
    button = actions["elements"][0]["text"]["text"]
    body = (
        f"<h1>{escape(payload['blocks'][0]['text']['text'])}</h1>"
        f'<div class="bar" style="border-color:{attachment["color"]}"><p>{write(section["text"]["text"])}</p>'
        f'<span class="button">{escape(button)}</span>'
        f'<div class="context">{escape(context["elements"][0]["text"])}</div></div>'
    )
    return frame(SLACK, "Site alerts", body)


def draw_discord(payload):
    def write(markdown):
        text = escape(re.sub(r"\\([^\w\s])", r"\1", markdown))
        return re.sub(r"(https?://\S+[^\s.])", r"<a>\1</a>", text)

    [embed] = payload["embeds"]
    button = payload["components"][0]["components"][0]["label"]
    body = (
        f'<div class="embed" style="border-color:#{embed["color"]:06x}"><h1>{write(embed["title"])}</h1>'
        f"<p>{write(embed['description'])}</p>"
        f'<div class="foot">{escape(embed["footer"]["text"])} • Today at 12:00</div>'
        f'</div><span class="button">{escape(button)} ↗</span>'
    )
    return frame(DISCORD, "Site alerts", body)


def draw_teams(payload):
    def write(block):
        return "".join(
            f"<a>{escape(run['text'])}</a>" if "selectAction" in run else escape(run["text"])
            for run in block["inlines"]
        )

    card = payload["attachments"][0]["content"]
    head, *lines, sender = card["body"]
    text = "".join(f'<div class="{"" if "spacing" in line else "gap"}">{write(line)}</div>' for line in lines)
    body = (
        f'<div class="card"><div class="head {head["style"]}">{write(head["items"][0])}</div>{text}'
        f'<div class="subtle">{write(sender)}</div>'
        f'<span class="button">{escape(card["actions"][0]["title"])}</span></div>'
    )
    return frame(TEAMS, "Workflows", body, "")


def draw_pushover(fields):
    high = '<div class="high">EMERGENCY</div>' if fields["priority"] == "2" else ""
    button = '<span class="button">Acknowledge</span>' if high else ""
    body = (
        f'<div class="card">{high}<div class="title">{escape(fields["title"])}</div><p>{escape(fields["message"])}</p>'
        f"<a>{escape(fields['url_title'])}</a>{button}</div>"
    )
    return frame(PUSHOVER, "Shop", body, "")


def draw_apprise(message):
    text = f"{escape(message.text)}\n\n{escape(message.link)}"
    body = f'<div class="card"><div class="title">{escape(message.title)}</div><p>{text}</p></div>'
    return frame(PUSHOVER, "Shop", body, "")


def make_pages():
    """Return the page of each service by its name."""
    from notifications.channels.apprise import AppriseChannel
    from notifications.channels.discord import DiscordChannel
    from notifications.channels.pushover import PushoverChannel
    from notifications.channels.slack import SlackChannel
    from notifications.channels.teams import TeamsChannel
    from notifications.events import NotificationEvent, NotificationPriority
    from notifications.testing import temporary_events
    from tests.channels.chat_services import PUSHOVER_TOKEN, PUSHOVER_USER, make_content, make_delivery, make_rendered
    from tests.shop.notification_events import ShopEvents

    text = (
        "The pressure fell below 2 bar at 12:00 & the pump has been switched off.\n\n"
        "Manual: https://shop.example.com/manuals/pump_3/"
    )
    content = make_content(text=text, priority=NotificationPriority.CRITICAL, url_label="Open the pump")
    rendered = make_rendered(text, content.title, action_url=content.url, action_label=content.url_label)
    critical = {"priority": NotificationPriority.CRITICAL}
    with temporary_events() as events:
        events[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            priority=NotificationPriority.CRITICAL, supported_channels=["pushover"], actions=["acknowledge"]
        )
        delivery = make_delivery(PUSHOVER_USER, event="order_shipped", **critical)
        pushover = PushoverChannel(PUSHOVER_TOKEN).prepare(delivery, rendered)
    apprise = AppriseChannel(urls={"ops": "json://127.0.0.1"}).prepare(make_delivery("ops", **critical), rendered)
    return {
        "slack": draw_slack(SlackChannel().build_payload(content)),
        "discord": draw_discord(DiscordChannel().build_payload(content)),
        "teams": draw_teams(TeamsChannel().build_payload(content)),
        "pushover": draw_pushover(pushover.fields),
        "apprise": draw_apprise(apprise),
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 100})
        for name, text in make_pages().items():
            page.set_content(text)
            page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ.setdefault("KLAXON_TEST_DB", "sqlite")
    django.setup()
    main()
