"""What users and endpoints do wrong, or at the wrong moment."""

import sys

import pytest
from django.contrib.auth.models import Permission
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.translation import override
from django.views.debug import ExceptionReporter

from notifications.channels.webhook import WebhookChannel
from notifications.exceptions import AddressForbidden, InvalidOption
from notifications.models import Delivery, WebhookAttempt, WebhookEndpoint
from notifications.models.webhook_endpoint import WebhookEndpointQuerySet
from notifications.testing.travel import travelling
from notifications.webhooks import create_endpoint, rotate_secret, send_test_message, update_endpoint
from tests.channels.http_services import Answer
from tests.factories import UserFactory
from tests.webhooks.conftest import OPTIONS, send, work

pytestmark = [pytest.mark.django_db, pytest.mark.needs("requests_hardened", "standardwebhooks")]
LIST = "/notifications/webhooks/"


@pytest.fixture
def manager(client, owner):
    owner.user_permissions.add(Permission.objects.get(codename="manage_webhooks"))
    client.force_login(owner)
    return client


@pytest.fixture
def page(endpoint):
    return f"{LIST}{endpoint.uid}/"


def test_test_messages_that_still_wait_count_too(service, endpoint, cluster):
    other = create_endpoint(None, f"{service.url}/other").endpoint
    with travelling() as clock:
        for _ in range(20):
            send_test_message(endpoint)
        with pytest.raises(InvalidOption, match="too many"):
            send_test_message(endpoint)
        assert send_test_message(other).queued == 1
        clock.forward(hours=1, seconds=1)
        assert send_test_message(endpoint).queued == 1


def test_the_answer_of_an_old_url_says_nothing_about_the_new_one(service, endpoint):
    channel = WebhookChannel(**OPTIONS)
    request = channel._request

    def change_after(*args):
        attempt = request(*args)
        update_endpoint(endpoint, url=f"{service.url}/new/{len(service.received)}")
        return attempt

    channel._request = change_after
    for answer in (Answer(410), Answer(429), Answer(500)):
        service.answers = [answer]
        send()
        delivery = Delivery.objects.select_related("notification").latest("pk")
        list(channel.send([channel.prepare(delivery, None)]))
        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.failing_since, endpoint.slowed_until) == (True, None, None)
    assert WebhookAttempt.objects.count() == 3


def test_two_bad_moments_with_a_week_in_between_do_not_disable(service, endpoint, settings):
    channels = {"webhook": {"OPTIONS": OPTIONS, "RETRY_DELAYS": []}}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": channels}
    service.default = Answer(500)
    with travelling() as clock:
        for number in range(5):
            endpoint.refresh_from_db()
            assert endpoint.enabled, number
            send()
            work()
            clock.forward(days=6)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "failing")


@pytest.mark.parametrize("operators", [True, False])
def test_an_owner_without_an_address_is_not_the_only_one_who_is_warned(
    service, endpoint, owner, settings, caplog, operators
):
    type(owner).objects.filter(pk=owner.pk).update(email="")
    other = UserFactory(username="operator")
    settings.NOTIFICATIONS = {
        **settings.NOTIFICATIONS,
        "CHANNELS": {**settings.NOTIFICATIONS["CHANNELS"], "app": {"ENABLED": False}},
        "MESSAGE_RECIPIENTS": "tests.webhooks.test_life.get_operators" if operators else "",
    }
    service.default = Answer(410)
    send()
    work()
    endpoint.refresh_from_db()
    assert not endpoint.enabled
    warned = Delivery.objects.filter(notification__event="webhook_disabled")
    assert {row.recipient for row in warned} == ({other} if operators else set())
    assert ("nobody is informed" in caplog.text) is not operators


def fail_to_find_anybody(cluster):
    raise RuntimeError("the list of people is broken")


@pytest.mark.parametrize("setting", ["no.such.callable", f"{__name__}.fail_to_find_anybody"])
def test_a_broken_callable_does_not_keep_the_endpoint_enabled(service, endpoint, owner, settings, caplog, setting):
    owner.delete()
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MESSAGE_RECIPIENTS": setting}
    service.default = Answer(410)
    send()
    work()
    endpoint.refresh_from_db()
    assert not endpoint.enabled
    assert "Nobody could be informed" in caplog.text


def test_a_report_of_an_error_contains_no_secret(created, monkeypatch, rf):
    def fail(*args, **kwargs):
        raise OperationalError("the disk is full")

    monkeypatch.setattr("notifications.webhooks.endpoints.make_secret", lambda kind: "whsec_" + "c2VjcmV0" * 5)
    for name, call in (
        ("update", lambda: rotate_secret(created.endpoint)),
        ("create", lambda: create_endpoint(None, f"{created.endpoint.url}/2")),
    ):
        monkeypatch.setattr(WebhookEndpointQuerySet, name, fail)
        with pytest.raises(OperationalError) as raised:
            call()
        report = ExceptionReporter(rf.get("/"), raised.type, raised.value, raised.tb)
        text = report.get_traceback_html() + report.get_traceback_text()
        assert created.secret.removeprefix("whsec_") not in text
        assert "c2VjcmV0" * 5 not in text


def test_a_channel_of_the_site_itself_has_no_pages(manager, page, settings, admin_client):
    own = {"webhook": {"BACKEND": "notifications.channels.log.LogChannel"}}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": own}
    assert manager.get(LIST).status_code == 404
    assert manager.post(LIST, {"url": "https://shop.example/", "kind": "v1"}).status_code == 404
    assert manager.post(page, {"do": "test"}).status_code == 404
    assert admin_client.get(reverse("admin:klaxon_webhookendpoint_add")).status_code == 403


@pytest.mark.parametrize("since", ["0001-01-01T00:00", "9999-12-31T23:59", "9000-01-01T00:00"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.one_database
def test_no_date_breaks_the_replay(manager, page, since, zone, settings):
    settings.TIME_ZONE = zone
    response = manager.post(page, {"do": "replay", "since": since})
    assert response.status_code == 200
    assert "Enter a valid date/time." in response.content.decode()


@pytest.mark.one_database
def test_no_number_breaks_a_page(manager, page):
    for digits in (19, 50, 5000):
        number = "9" * digits
        assert manager.get(f"{page}?before={number}").status_code == 200
        assert manager.post(page, {"do": "again", "delivery": number}).status_code == 400
        assert manager.get(f"{page}attempts/{number}/").status_code == 404
        assert manager.get(f"{LIST}?cluster={number}").status_code == 404
    assert manager.post(page, {"do": "again", "delivery": "9" * 18}, follow=True).status_code == 200


def test_an_attempt_is_shown_after_its_delivery_was_deleted(manager, service, endpoint, page):
    send()
    work()
    Delivery.objects.all().delete()
    assert manager.get(f"{page}attempts/{WebhookAttempt.objects.get().pk}/").status_code == 200
    assert "order_shipped" in manager.get(page).content.decode()


def test_the_number_of_queries_does_not_depend_on_the_number_of_endpoints(manager, service, cluster):
    counts = []
    for number in (60, 35):
        for one in range(number):
            create_endpoint(None, f"{service.url}/{number}/{one}")
        with CaptureQueriesContext(connection) as page:
            manager.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            send()
        counts.append((len(page), len(queries)))
    assert counts[0][0] == counts[1][0]
    # Deliveries are written in chunks.
    assert counts[1][1] - counts[0][1] <= 1


@pytest.mark.one_database
def test_errors_on_pages_are_translatable_and_logs_are_in_english(service, endpoint, monkeypatch):
    catalogue = {
        "{host} is not an address in the public internet.": "{host} liegt nicht im öffentlichen Internet.",
        "The endpoint is disabled. Enable it first.": "Der Endpunkt ist deaktiviert.",
    }
    translation = sys.modules["django.utils.translation"]._trans
    monkeypatch.setattr(
        translation, "gettext", lambda text: catalogue.get(text, text) if translation.get_language() == "de" else text
    )
    with override("de"):
        with pytest.raises(AddressForbidden) as refused:
            create_endpoint(None, "http://10.0.0.1/")
        assert str(refused.value) == "10.0.0.1 liegt nicht im öffentlichen Internet."
        WebhookEndpoint.objects.update(enabled=False)
        with pytest.raises(InvalidOption, match="deaktiviert"):
            send_test_message(endpoint)
        WebhookEndpoint.objects.update(enabled=True, url="http://10.0.0.1/")
        send()
        work()
    assert WebhookAttempt.objects.get().error == "10.0.0.1 is not an address in the public internet."


class TestLink:
    """The link to the pages, on the other pages of Klaxon."""

    PAGES = ("/notifications/inbox/", "/notifications/preferences/")

    def test_those_who_may_manage_endpoints_get_it(self, client, manager, owner):
        for path in self.PAGES:
            assert f'href="{LIST}"' in manager.get(path).content.decode()
        owner.user_permissions.clear()
        for path in self.PAGES:
            assert LIST not in client.get(path).content.decode()

    def test_a_site_without_webhooks_has_none_and_needs_no_query(self, manager, settings, cluster):
        asked = []
        for channels in ({"webhook": {"OPTIONS": OPTIONS}}, {}):
            settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": channels}
            # The first page of a process also asks for what it then keeps.
            manager.get(self.PAGES[0])
            with CaptureQueriesContext(connection) as queries:
                text = manager.get(self.PAGES[0]).content.decode()
            assert (LIST in text) is bool(channels)
            asked.append([query["sql"] for query in queries.captured_queries])
        # The permissions of the user and of the user's groups.
        assert len(asked[0]) - len(asked[1]) <= 2, asked
