"""The pages and the admin of endpoints: who sees what, and that a secret is shown once."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from standardwebhooks.webhooks import Webhook

from notifications.models import Delivery, WebhookAttempt, WebhookEndpoint
from notifications.webhooks import create_endpoint, set_enabled
from tests.channels.http_services import Answer
from tests.factories import ClusterFactory, UserFactory
from tests.webhooks.conftest import send, work

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


def do(client, page, action, **values):
    return client.post(page, {"do": action, **values}, follow=True)


def test_only_users_with_the_permission_see_them(client, owner, page):
    assert client.get(LIST).status_code == 302
    client.force_login(owner)
    for url in (LIST, page):
        assert client.get(url).status_code == 403
        assert client.post(url, {"do": "test"}).status_code == 403
    assert not Delivery.objects.exists()


def test_endpoints_of_other_clusters_are_not_found(manager, service):
    other = create_endpoint(ClusterFactory(), f"{service.url}/other").endpoint
    assert manager.get(f"{LIST}{other.uid}/").status_code == 404
    assert do(manager, f"{LIST}{other.uid}/", "delete").status_code == 404
    assert manager.get(f"{LIST}?cluster={other.cluster_id}").status_code == 404
    assert manager.post(f"{LIST}?cluster={other.cluster_id}", {"url": f"{service.url}/x"}).status_code == 404
    assert manager.get(f"{LIST}ep_unknown/").status_code == 404
    assert WebhookEndpoint.objects.count() == 1


def test_a_site_without_the_channel_has_no_pages(manager, settings, page):
    settings.NOTIFICATIONS = {}
    assert manager.get(LIST).status_code == 404
    assert manager.get(page).status_code == 404


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_an_endpoint_is_added_and_its_secret_shown_once(manager, service, owner, kind):
    form = {"url": f"{service.url}/new", "description": "My <shop>", "events": ["order_shipped"], "kind": kind}
    response = manager.post(LIST, form)
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.owner, endpoint.events, endpoint.kind) == (owner, ["order_shipped"], kind)
    assert response["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    [secret] = re.findall(r"<code dir=\"ltr\">(wh\w\w\w?_[^<]+)</code>", response.content.decode())
    page = manager.get(f"{LIST}{endpoint.uid}/").content.decode()
    assert "My &lt;shop&gt;" in page
    assert "<shop>" not in page
    # A public key is no secret.
    assert (secret in page) is (kind == "v1a")
    assert endpoint.secret not in page
    send()
    work()
    if kind == "v1":
        Webhook(secret).verify(service.received[0].body, dict(service.received[0].headers))
    assert secret.startswith("whsec_" if kind == "v1" else "whpk_")


def test_what_is_wrong_is_said_and_nothing_is_added(manager, service, endpoint):
    for url, text in ((f"{service.url}/hook", "already"), ("http://10.0.0.1/", "public internet"), ("x", "begin with")):
        response = manager.post(LIST, {"url": url, "kind": "v1"})
        assert text in response.content.decode()
    assert manager.post(LIST, {"url": "https://shop.example/", "kind": "v2"}).status_code == 200
    assert WebhookEndpoint.objects.count() == 1


def test_an_endpoint_is_changed(manager, service, endpoint, page):
    WebhookEndpoint.objects.update(events=["renamed"])
    assert 'value="renamed"' in manager.get(page).content.decode()
    response = do(
        manager, page, "save", url=f"{service.url}/2", description="New", events=["order_returned", "renamed"]
    )
    assert "The endpoint is saved." in response.content.decode()
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.events) == ("New", ["order_returned", "renamed"])
    response = do(manager, page, "save", url="ftp://shop.example")
    assert "must begin with" in response.content.decode()
    assert manager.post(page, {"do": "explode"}).status_code == 400


def test_the_secret_is_rotated_once_within_the_overlap(manager, page):
    response = do(manager, page, "rotate", overlap="24")
    assert "whsec_" in response.content.decode()
    response = do(manager, page, "rotate", overlap="24")
    assert "rotated already" in response.content.decode()
    assert "whsec_" not in response.content.decode()
    assert "whsec_" in do(manager, page, "rotate", overlap="0").content.decode()
    assert manager.post(page, {"do": "rotate", "overlap": "soon"}).status_code == 400


def test_a_test_message_its_attempt_and_sending_again(manager, service, endpoint, page):
    service.answers = [Answer(410, "<b>Go away</b>")]
    do(manager, page, "test")
    work()
    [attempt] = WebhookAttempt.objects.all()
    text = manager.get(page).content.decode()
    assert "test_message" in text
    assert "410" in text
    assert "Disabled since" in text
    assert "Send again" not in text
    detail = manager.get(f"{page}attempts/{attempt.pk}/").content.decode()
    assert "&lt;b&gt;Go away" in detail
    assert "webhook-id: msg_" in detail
    assert manager.get(f"{page}attempts/{attempt.pk + 1}/").status_code == 404
    assert "disabled. Enable it" in do(manager, page, "test").content.decode()
    do(manager, page, "enable")
    assert "Send again" in manager.get(page).content.decode()
    do(manager, page, "again", delivery=attempt.delivery_id)
    work()
    assert [received.headers["webhook-id"] for received in service.received] == [attempt.message_id] * 2
    assert "Works." in manager.get(page).content.decode()
    assert "only one that has failed" in do(manager, page, "again", delivery=attempt.delivery_id).content.decode()
    assert manager.post(page, {"do": "again", "delivery": "x"}).status_code == 400


def test_failed_messages_are_replayed(manager, endpoint, page):
    for _ in range(3):
        send()
    set_enabled(endpoint, False)
    work()
    do(manager, page, "enable")
    assert "3 messages are sent again" in do(manager, page, "replay", since="2020-01-01T00:00").content.decode()
    assert "0 messages" in do(manager, page, "replay", since="2020-01-01T00:00").content.decode()
    assert do(manager, page, "replay", since="yesterday").status_code == 200


def test_the_log_has_pages(manager, endpoint, page):
    now = endpoint.created_at
    WebhookAttempt.objects.bulk_create(
        WebhookAttempt(endpoint=endpoint, message_id=f"msg_{number}", event=f"event {number}", at=now, url="https://x")
        for number in range(60)
    )
    first = manager.get(page).content.decode()
    assert "event 59" in first
    assert "event 9<" not in first
    [older] = re.findall(r'href="\?before=(\d+)#', first)
    assert "event 9<" in manager.get(f"{page}?before={older}").content.decode()
    assert manager.get(f"{page}?before=x").status_code == 200


def test_an_endpoint_is_deleted(manager, page):
    do(manager, page, "delete")
    assert not WebhookEndpoint.objects.exists()


class TestAdmin:
    @pytest.fixture
    def boss(self, admin_client):
        return admin_client

    def test_an_endpoint_is_added_and_its_secret_shown_once(self, boss, service, cluster):
        form = {"cluster": cluster.pk, "url": f"{service.url}/new", "kind": "v1", "events": ["order_shipped"]}
        text = boss.post(reverse("admin:klaxon_webhookendpoint_add"), form).content.decode()
        endpoint = WebhookEndpoint.objects.get()
        [secret] = re.findall(r"whsec_[\w+/=]+", text)
        assert endpoint.secret == secret
        change = reverse("admin:klaxon_webhookendpoint_change", args=[endpoint.pk])
        shown = boss.get(change).content.decode() + boss.get(LIST_URL).content.decode()
        assert "whsec_" not in shown
        form |= {"description": "Changed", "url": f"{service.url}/other"}
        assert boss.post(change, form).status_code == 302
        endpoint.refresh_from_db()
        assert (endpoint.description, endpoint.url, endpoint.secret) == ("Changed", f"{service.url}/other", secret)

    def test_what_is_wrong_is_said(self, boss, service, cluster, endpoint):
        add = reverse("admin:klaxon_webhookendpoint_add")
        for url, text in ((endpoint.url, "already"), ("http://10.0.0.1/", "public internet")):
            form = {"cluster": cluster.pk, "url": url, "kind": "v1"}
            assert text in boss.post(add, form).content.decode()
        other = create_endpoint(None, f"{service.url}/other").endpoint
        change = reverse("admin:klaxon_webhookendpoint_change", args=[other.pk])
        assert "already" in boss.post(change, {"url": endpoint.url}).content.decode()

    def test_actions(self, boss, endpoint):
        def act(action):
            data = {"action": action, "_selected_action": [endpoint.pk]}
            return boss.post(LIST_URL, data, follow=True).content.decode()

        act("disable")
        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.disabled_reason) == (False, "person")
        act("enable")
        assert "whsec_" in act("rotate")
        assert "rotated already" in act("rotate")
        endpoint.refresh_from_db()
        assert endpoint.enabled

    def test_attempts_are_listed(self, boss, service, endpoint):
        service.default = Answer(500, "No")
        send()
        work()
        attempt = WebhookAttempt.objects.get()
        assert boss.get(f"{reverse('admin:klaxon_webhookattempt_changelist')}?q={endpoint.uid}").status_code == 200
        page = boss.get(reverse("admin:klaxon_webhookattempt_change", args=[attempt.pk])).content.decode()
        assert "webhook-signature" in page


LIST_URL = "/admin/klaxon/webhookendpoint/"


@pytest.mark.parametrize("action", ["enable", "disable"])
def test_the_admin_changes_many_endpoints_with_as_many_queries_as_one(admin_client, action):
    counts = []
    for number in (1, 5):
        cluster = ClusterFactory()
        for index in range(number):
            endpoint = create_endpoint(cluster, f"https://example.com/{number}/{index}").endpoint
            set_enabled(endpoint, action == "disable")
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(LIST_URL, {"action": action, "_selected_action": [endpoint.pk], "select_across": "1"})
        counts.append(len(queries))
        assert set(WebhookEndpoint.objects.values_list("enabled", flat=True)) == {action == "enable"}
    assert counts[0] == counts[1]
    # Those that had been changed before have no second entry.
    assert LogEntry.objects.filter(change_message=f"{action}d").count() == 6


def test_a_user_without_a_cluster(client):
    user = UserFactory()
    user.user_permissions.add(Permission.objects.get(codename="manage_webhooks"))
    ClusterFactory()
    client.force_login(user)
    assert client.get(LIST).status_code == 404
