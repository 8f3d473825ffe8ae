"""Messages of chat services, from ``send()`` to the service."""

import pytest
from django.core.management import call_command

from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, UserSettings
from notifications.recipients import Address
from notifications.testing import temporary_events
from tests.channels.chat_services import (
    DISCORD_PATH,
    PUSHOVER_TOKEN,
    PUSHOVER_USER,
    SLACK_PATH,
    TEAMS_PATH,
    answer_as_discord,
    answer_as_pushover,
    answer_as_slack,
    answer_as_teams,
    chat_service,
)
from tests.channels.http_services import Answer
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.needs("requests", "apprise", "cryptography"), pytest.mark.django_db]
SITE = "https://shop.example.com"


def options_of(name, service):
    paths = {"slack": SLACK_PATH, "discord": DISCORD_PATH, "teams": TEAMS_PATH}
    if name == "pushover":
        return {"token": PUSHOVER_TOKEN, "url": service.url}
    url = f"json://127.0.0.1:{service.port}/x" if name == "apprise" else service.url + paths[name]
    return {"urls": {"ops": url}, "timeout": 2}


SERVICES = {
    "slack": answer_as_slack,
    "discord": answer_as_discord,
    "teams": answer_as_teams,
    "pushover": answer_as_pushover,
    "apprise": lambda received: Answer(200),
}


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("level", ["critical", "info"])
def test_free_text_arrives(name, level, settings):
    with chat_service(SERVICES[name]) as service:
        settings.NOTIFICATIONS = {"CHANNELS": {name: {"OPTIONS": options_of(name, service)}}}
        address = Address(**{name: PUSHOVER_USER if name == "pushover" else "ops"})
        result = NotificationManager.send_notification("The disk is full.", level, [name], recipients=address)
        assert result.queued == 1
        call_command("dispatch_notifications")
        [received] = service.received
    assert Delivery.objects.get().state == "sent"
    assert "The disk is full." in received.body.decode().replace("+", " ")


@pytest.fixture
def service():
    with chat_service(answer_as_slack) as service:
        yield service


@pytest.fixture
def deliver(settings, tmp_path, service):
    """Return a function that sends an event to a user with a webhook and returns the payload."""
    folder = tmp_path / "notifications" / "order_shipped"
    folder.mkdir(parents=True)
    (folder / "slack.txt").write_text("Order {{ number }} has left.")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    user = UserFactory()
    url = service.url + SLACK_PATH
    UserSettings.objects.create(user=user, cluster=Cluster.objects.default(), addresses={"slack": url})

    def deliver(context, base_url=SITE, **declared):
        site = {"CHANNELS": {"slack": {"OPTIONS": {"hosts": [service.url]}}}, "BASE_URL": base_url}
        if declared.get("sensitive"):
            from cryptography.fernet import Fernet

            site["ENCRYPTION_KEYS"] = [Fernet.generate_key().decode()]
        settings.NOTIFICATIONS = site
        with temporary_events() as events:
            events[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
                "order_shipped", NotificationPriority.HIGH, ["slack"], **declared
            )
            NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, context)
            call_command("dispatch_notifications")
        assert Delivery.objects.get().state == "sent"
        return service.received[-1].json

    return deliver


def buttons_of(payload):
    blocks = payload["attachments"][0]["blocks"]
    return [block["elements"][0] for block in blocks if block["type"] == "actions"]


def test_a_path_leads_to_the_site(deliver):
    payload = deliver({"number": "<!channel>", "action_url": "/orders/7/", "action_label": "Track it"})
    [button] = buttons_of(payload)
    assert (button["url"], button["text"]["text"]) == (f"{SITE}/orders/7/", "Track it")
    assert "Order &lt;!channel&gt; has left." in payload["attachments"][0]["blocks"][0]["text"]["text"]
    assert payload["blocks"][0]["text"]["text"] == "Order shipped"


def test_without_an_address_of_the_site_a_path_leads_nowhere(deliver):
    assert buttons_of(deliver({"number": "7", "action_url": "/orders/7/"}, base_url="")) == []


def test_a_url_with_a_line_break_is_one_line(deliver):
    [button] = buttons_of(deliver({"number": "7", "action_url": "https://a.example/\nx|y"}))
    assert button["url"] == "https://a.example/x%7Cy"


def test_a_sensitive_event_has_only_a_link(deliver, service):
    payload = deliver({"number": "4711-secret"}, sensitive=True, url="/orders/")
    [button] = buttons_of(payload)
    assert button["url"].startswith(f"{SITE}/notifications/sensitive/")
    assert "4711-secret" not in service.received[-1].body.decode()
