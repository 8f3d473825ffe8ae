"""Pictures of all pages: ``python -m tests.browser.gallery FOLDER``.

It makes an SQLite database of its own, serves the host of ``tests.live_site``, and takes a picture of each page at 360
and 1280 pixels, light and dark, in German and Arabic. ``--pages``, ``--languages`` and ``--schemes`` choose some.
"""

import argparse
import json
import os
import shutil
import tempfile
from itertools import product
from pathlib import Path

WIDTHS = (360, 1280)
SCHEMES = ("light", "dark")
LANGUAGES = ("de", "ar")
HEIGHTS = {360: 800, 1280: 900}
# The placeholder of a key, so that the pages about the browser exist.
PUSH = {"private_key": "aG5tZqB6XlU2sQfYV8k1cU2cXh2dZ0f8Q0xwWq8r1nQ", "subject": "mailto:admin@example.com"}
KEY = "a2V5IG9mIHRoZSBkb2N1bWVudGF0aW9uIG9ubHkhISE="
# No request is made: there is no worker, and the endpoints have addresses without names.
HOOK = "https://93.184.215.14/klaxon"
OPTIONS = {
    "CHANNELS": {"log": {}, "push": {"OPTIONS": PUSH}, "webhook": {}},
    "MAGIC_LINKS": True,
    "ENCRYPTION_KEYS": [KEY],
}
ENVIRONMENT = {"KLAXON_NOTIFICATIONS": json.dumps(OPTIONS)}
BODY = "It arrives on Tuesday between nine and twelve. Somebody should be at home to sign for it."


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.browser.gallery", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", default="")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.live_site.settings",
            "KLAXON_TEST_DB": "sqlite",
            "KLAXON_DATABASE_NAME": f"{folder}/gallery.sqlite3",
            "KLAXON_CSP_REPORTS": f"{folder}/reports",
            **ENVIRONMENT,
        }
        take_pictures(options)


def take_pictures(options):
    import django

    django.setup()
    from django.core.management import call_command
    from playwright.sync_api import sync_playwright

    call_command("migrate", verbosity=0)
    user, pages = fill()
    from tests.live.site import running_site, sign_in

    cookie = sign_in(user)
    names = options.pages.split(",") if options.pages else list(pages)
    chosen = {name: pages[name] for name in names}
    with running_site() as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for language, scheme, width in product(options.languages.split(","), options.schemes.split(","), WIDTHS):
            viewport = {"width": width, "height": HEIGHTS[width]}
            context = browser.new_context(
                base_url=site.url, locale=language, color_scheme=scheme, viewport=viewport, timezone_id="Europe/Berlin"
            )
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": site.url}])
            page = context.new_page()
            for name, (path, prepare) in chosen.items():
                open_page(page, path, prepare)
                take_picture(page, options.folder / f"{name}-{width}-{scheme}-{language}.png")
            context.close()
        browser.close()


def open_page(page, path, prepare):
    page.goto(path)
    # The stream stays open, so the network is never idle.
    page.wait_for_function("() => (document.querySelector('notification-bell') ?? { total: 0 }).total !== undefined")
    if prepare:
        prepare(page)
    page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")


def take_picture(page, target):
    is_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    height = page.evaluate("document.documentElement.scrollHeight")
    page.screenshot(path=target, full_page=True)
    print(target.name, f"{height} px high", "SCROLLS SIDEWAYS" if is_wide else "", flush=True)


def open_bell(page):
    page.locator("notification-bell button.bell").click()
    page.locator("notification-bell .list li").first.wait_for()


def open_filters(page):
    page.locator(".more > summary").click()


def open_menu(page):
    page.locator("[data-item] .menu > summary:visible").nth(1).click()


def select_items(page):
    page.locator("[data-item] input[type=checkbox]:visible").nth(1).check()


def add_endpoint(page):
    page.locator("#id_url").fill(f"{HOOK}/new-{page.viewport_size['width']}-{page.evaluate('Math.random()')}")
    page.locator("main form button").click()
    page.locator("main code").wait_for()


def enter_wrong_url(page):
    page.locator("#id_url").fill("https://10.0.0.1/")
    page.locator("main form button").click()
    page.locator(".error").wait_for()


def open_link(user, cluster, purpose):
    """Return a function that opens a new link and presses its button. A link works once."""
    from django.urls import reverse

    def prepare(page):
        page.goto(reverse("notifications:magic-link", args=[store_link(user, cluster, purpose)]))
        press_button(page)

    return prepare


def store_link(user, cluster, purpose):
    """Store a link as it is sent, and return it."""
    from datetime import timedelta

    from django.utils import timezone

    from notifications.magic_links.send import hash_link, make_link
    from notifications.models import MagicLink

    link, now = make_link(purpose, cluster), timezone.now()
    times = {"created_at": now, "expires_at": now + timedelta(minutes=15)}
    MagicLink.objects.create(user=user, cluster=cluster, purpose=purpose, link_hash=hash_link(link), **times)
    return link


def press_button(page):
    page.locator("main button").click()
    page.wait_for_url("**/links/open/")


def fill_webhooks(user, cluster, now):
    """Add endpoints of each state, and attempts. Return the pages."""
    from datetime import timedelta

    from django.urls import reverse

    from notifications.models import Delivery, WebhookAttempt, WebhookEndpoint
    from notifications.webhooks import create_endpoint, rotate_secret, send_test_message

    names = ("The warehouse of the shop in Hamburg", "Accounting", "", "A program that nobody uses any more")
    shop, accounting, nameless, gone = (
        create_endpoint(cluster, f"{HOOK}/{number}?token=0123456789abcdef", owner=user, description=name).endpoint
        for number, name in enumerate(names)
    )
    rows = WebhookEndpoint.objects
    rows.filter(pk=shop.pk).update(succeeded_at=now, slowed_until=now + timedelta(days=1))
    rows.filter(pk=accounting.pk).update(failing_since=now - timedelta(days=2))
    rows.filter(pk=gone.pk).update(enabled=False, disabled_at=now, disabled_reason=WebhookEndpoint.Disabled.GONE)
    rotate_secret(shop)
    send_test_message(shop)
    delivery = Delivery.objects.get(channel="webhook")
    Delivery.objects.filter(pk=delivery.pk).update(state="dead", settled_at=now)
    request = {
        "message_id": "msg_2f1c5a9d3e7b40688d1f00aa55cc77ee",
        "url": "https://93.184.215.14/…",
        "request_headers": {
            "webhook-id": "msg_2f1c5a9d3e7b40688d1f00aa55cc77ee",
            "webhook-timestamp": "1790000000",
            "webhook-signature": "v1,C2FVsBQIhrscChlQIMV+b5sSYspob7oDTxXGpZJ4a0s= v1,aaaVsBQIhrscChlQIMV+b5sSYspob7oD=",
        },
        "request_body": '{"type":"order_shipped","timestamp":"2030-05-04T12:00:00Z","data":{"context":{"order":"7"}}}',
    }
    answers = [(204, ""), (None, "93.184.215.14 did not answer in time."), (500, "The endpoint answered 500: Oops")]
    for number in range(6):
        status, error = answers[number % 3]
        attempt = WebhookAttempt.objects.create(
            endpoint=shop,
            delivery=delivery if number % 3 else None,
            event="order_shipped",
            at=now - timedelta(hours=number),
            status=status,
            error=error,
            accepted=not error,
            response_headers={"Content-Type": "text/plain"} if status else {},
            response_body="Oops " * 40 if status == 500 else "",
            duration=0.25,
            **request,
        )
    return {
        "webhooks": (reverse("notifications:webhooks"), None),
        "webhooks-error": (reverse("notifications:webhooks"), enter_wrong_url),
        "webhook": (reverse("notifications:webhook", args=[shop.uid]), None),
        "webhook-disabled": (reverse("notifications:webhook", args=[gone.uid]), None),
        "webhook-attempt": (reverse("notifications:webhook-attempt", args=[shop.uid, attempt.pk]), None),
        "webhook-secret": (reverse("notifications:webhooks"), add_endpoint),
    }


def fill_rotas(user, cluster, now):
    """Store a rota with a gap and an override, and return its pages and those of the link that acknowledges."""
    from datetime import time, timedelta

    from django.contrib.auth import get_user_model
    from django.urls import reverse

    from notifications.core.tokens import make_token
    from notifications.escalation.pages.links import PURPOSE
    from notifications.models import Delivery, Rota

    people = [user, *(get_user_model().objects.create_user(name) for name in ("benedict-cumber-patch", "cara"))]
    rota = Rota.objects.create(cluster=cluster, key="surgery", name="Surgery", time_zone="Europe/Berlin")
    layer = rota.layers.create(starts_on=now.date().replace(day=3), hand_over=time(8), turn_days=3)
    for order, member in enumerate(people):
        layer.members.create(user=member, order=order)
    rota.overrides.create(user=people[2], starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=1, hours=5))
    token = make_token(PURPOSE, Delivery.objects.filter(recipient=user).latest("pk").pk)
    return {
        "rotas": (reverse("notifications:rotas"), None),
        "rota": (f"{reverse('notifications:rota', args=[rota.pk])}?month={now:%Y-%m}", None),
        "acknowledge": (reverse("notifications:acknowledge", args=[token]), None),
        "acknowledge-invalid": (reverse("notifications:acknowledge", args=["unknown"]), None),
        "admin-unreachable": (reverse("admin:klaxon_escalation_unreachable"), None),
    }


def fill_overview(user, cluster, now):
    """Store what goes wrong on a bad day, and return the overview of the admin."""
    from datetime import timedelta

    from django.urls import reverse

    from notifications.models import Bucket, Circuit, Delivery, Heartbeat, Notification, NotificationLog, Pause

    later = now + timedelta(minutes=4)
    notification = Notification.objects.create(
        event="order_shipped", cluster=cluster, priority=3, context={}, created_at=now - timedelta(minutes=3)
    )
    shared = {"notification": notification, "recipient": user, "recipient_key": f"u:{user.pk}", "channel": "email"}
    states = [
        ("ready", "", None),
        ("held", "quiet_hours", later),
        ("held", "digest", later),
        ("dead", "permanent", None),
    ]
    Delivery.objects.bulk_create(
        Delivery(
            **shared, state=state, reason=reason, due_at=due_at, settled_at=now if state == "dead" else None,
            address=f"{state}{reason}{number}@example.com", address_hash=f"{state}{reason}{number}", score=20 * number,
        )
        for state, reason, due_at in states
        for number in range(5)
    )  # fmt: skip
    Pause.objects.create(channel="sms", since=now - timedelta(hours=5), note="The invoice of the provider is disputed")
    Circuit.objects.create(
        key="email/smtp-relay-of-the-provider",
        failures=7,
        opened_at=now,
        open_until=later,
        error="535 Authentication failed",
    )
    Circuit.objects.create(key="push", failures=5, opened_at=now, open_until=now, error="The service answered 503")
    workers = (("web-1.internal.example.com", 9, 0), ("web-2.internal.example.com", 50, 0), ("web-3", 90, 10))
    for number, (host, hours, silent) in enumerate(workers):
        Heartbeat.objects.create(
            pk=f"{host}:{number}", host=host, pid=4711 + number, started_at=now - timedelta(hours=hours),
            beat_at=now - timedelta(minutes=silent),
        )  # fmt: skip
    Bucket.objects.create(key="channel:email", full_at=later, seen_at=now, promised_at=now)
    NotificationLog.objects.append(
        NotificationLog(
            kind="attempt", event="order_shipped", recipient_key="u:1", channel=channel, success=success,
            sent_at=now - timedelta(minutes=5),
        )
        for channel, success, number in (("email", True, 60), ("email", False, 20), ("push", False, 6))
        for _index in range(number)
    )  # fmt: skip
    return {"admin-overview": (reverse("admin:app_list", args=["klaxon"]), None)}


def fill_analytics(cluster, now):
    """Store figures, and return the pages of the charts."""
    from django.urls import reverse

    from tests.monitoring.analytics_data import fill_figures

    fill_figures(cluster, now, days=3, minutes=15)
    return {"admin-analytics": (reverse("admin:klaxon_analytics"), open_table)}


def open_table(page):
    page.locator(".klaxon-card summary").nth(2).click()


def fill():
    """Fill the database; return a user, and for each page its path and what to do there before the picture."""
    from datetime import timedelta

    from django.contrib.auth import get_user_model
    from django.urls import reverse
    from django.utils import timezone

    from notifications.core.tokens import make_token as make_short_token
    from notifications.magic_links import Purpose
    from notifications.manager import NotificationManager
    from notifications.models import (
        AddressConfirmation,
        Cluster,
        Delivery,
        InboxItem,
        Mute,
        PushSubscription,
        SharedPreference,
        UserSettings,
    )
    from notifications.preference_centre.addresses import PURPOSE
    from notifications.unsubscribe.links import LinkTarget, make_token

    user = get_user_model().objects.create_user("ann", "ann@example.com", "secret", is_superuser=True, is_staff=True)
    cluster, now = Cluster.objects.default(), timezone.now()
    shared = {"recipient": user, "cluster": cluster}
    samples = [
        ("The cellar is on fire", 1, "store_on_fire", "🔥", {}),
        ("Order 1017 was refused by the bank", 2, "order_refused", "", {"actions": ["acknowledge", "dismiss"]}),
        *((f"Order {1018 + number} is on its way", 3, "order_shipped", "📦", {}) for number in range(30)),
    ]
    rows = []
    for at, (title, priority, event, icon, more) in enumerate(samples):
        created = now - timedelta(minutes=3 + 170 * at)
        read = created if at % 3 == 2 else None
        rows.append(
            InboxItem(
                title=title,
                priority=priority,
                event=event,
                icon=icon,
                body=BODY,
                created_at=created,
                read_at=read,
                url="/orders/7/" if at % 2 else "",
                **shared,
                **more,
            )
        )
    changes = {"event": "order_shipped", "priority": 3, "group_key": "week", "body": "Your shift has moved."}
    rows += [
        InboxItem(
            title=f"Shift {number} has changed", created_at=now - timedelta(minutes=20 + number), **changes, **shared
        )
        for number in range(5)
    ]
    InboxItem.objects.add_items(rows)
    InboxItem.objects.filter(title="Order 1020 is on its way").archive(now)
    InboxItem.objects.filter(title="Order 1021 is on its way").snooze(now + timedelta(hours=3), now)
    UserSettings(
        user=user,
        cluster=cluster,
        events={"order_shipped": {"email": False}},
        delivery_windows={"email": [["08:00", "12:00", ["mon", "tue"]]]},
    ).save()
    SharedPreference(cluster=cluster, channels={"app": False}).save()
    Mute(user=user, cluster=cluster, kind="event", value="order_shipped", until=now + timedelta(days=1)).save()
    keys = {"p256dh": "", "auth": "", "server_key": "", "browser": "Firefox"}
    PushSubscription.objects.store(user, "https://push.example.com/1", keys, now)
    asked = {"channel": "email", "address": "new@example.com", "requested_at": now}
    confirmation = AddressConfirmation.objects.create(user=user, cluster=cluster, **asked)
    token = make_token(LinkTarget(str(user.pk), str(cluster.pk), 7, "order_shipped", "email"))
    item = InboxItem.objects.get(title="Order 1017 was refused by the bank")
    inbox, preferences = reverse("notifications:inbox"), reverse("notifications:preferences")
    for text in ("The cellar is on fire", "The cellar is dry again"):
        NotificationManager.send_notification(text, recipients=[user], cluster=cluster, channels=["email", "app"])
    Delivery.objects.filter(channel="app").update(state="sent", settled_at=now)
    ask, link = reverse("notifications:ask-for-link"), reverse("notifications:magic-link", args=["unknown"])
    settings = reverse("admin:klaxon_usersettings_change", args=[UserSettings.objects.get().pk])
    return user, {
        "bell": ("/", open_bell),
        "inbox": (inbox, None),
        "inbox-filters": (inbox, open_filters),
        "inbox-menu": (inbox, open_menu),
        "inbox-selected": (inbox, select_items),
        "inbox-snoozed": (f"{inbox}?show=snoozed", None),
        "inbox-empty": (f"{inbox}?q=nowhere", None),
        "item": (reverse("notifications:inbox-item", args=[item.pk]), None),
        "preferences": (preferences, None),
        "preferences-link": (reverse("notifications:preferences-link", args=[token]), None),
        "push": (reverse("notifications:push"), None),
        "unsubscribe": (reverse("notifications:unsubscribe", args=[token]), None),
        "address": (reverse("notifications:confirm-address", args=[make_short_token(PURPOSE, confirmation.pk)]), None),
        "address-invalid": (reverse("notifications:confirm-address", args=["unknown"]), None),
        "admin-settings": (settings, None),
        "link": (link, None),
        "link-ask": (ask, None),
        "link-asked": (f"{ask}?sent", None),
        "link-invalid": (link, press_button),
        "link-status": (ask, open_link(user, cluster, Purpose.NOTIFICATION_STATUS)),
        "link-settings": (ask, open_link(user, cluster, Purpose.SETTINGS_VIEW)),
        **fill_webhooks(user, cluster, now),
        **fill_rotas(user, cluster, now),
        **fill_overview(user, cluster, now),
        **fill_analytics(cluster, now),
    }


if __name__ == "__main__":
    main()
