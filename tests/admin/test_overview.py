"""The overview on the first page of Klaxon, in any admin site."""

from datetime import timedelta

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from notifications.core import clock
from notifications.models import (
    Bucket,
    Circuit,
    Cluster,
    Delivery,
    Heartbeat,
    Notification,
    NotificationLog,
    Pause,
)
from notifications.outcomes import Reason

pytestmark = pytest.mark.django_db
INDEX = "/admin/klaxon/"


class OtherSite(AdminSite):
    site_header = "The other site"


other_site = OtherSite(name="other")
other_site.register([Delivery, Pause])
urlpatterns = [
    path("other/", other_site.urls),
    path("notifications/", include("notifications.urls")),
]


@pytest.fixture
def boss():
    return User.objects.create_superuser("boss", "boss@example.com", "secret")


def sign_in(user):
    client = Client()
    client.force_login(user)
    return client


def fill(number):
    """Add so many rows of everything that the overview shows."""
    now, user = clock.now(), User.objects.get(username="boss")
    notification = Notification.objects.create(
        event="order_shipped", cluster=Cluster.objects.default(), priority=3, context={}, created_at=now
    )
    states = [("ready", ""), ("held", "scheduled"), ("held", "digest"), ("sending", ""), ("dead", "permanent")]
    Delivery.objects.bulk_create(
        Delivery(
            notification=notification, recipient=user, recipient_key=f"u:{user.pk}", channel="email", score=95,
            address=f"{state}{reason}{index}@example.com", address_hash=f"{state}{reason}{index}", state=state,
            reason=Reason(reason) if reason else "", due_at=now + timedelta(hours=1) if state == "held" else None,
        )
        for index in range(number)
        for state, reason in states
    )  # fmt: skip
    for index in range(number):
        later = now + timedelta(minutes=5)
        Pause.objects.create(channel=f"channel{index}", since=now - timedelta(hours=2), note="Invoice <b>")
        Circuit.objects.create(key=f"email/p{index}", opened_at=now, open_until=later, error="<i>refused</i>")
        Heartbeat.objects.create(
            pk=f"web{index}", host=f"web{index}", pid=4711, started_at=now - timedelta(hours=3), beat_at=now
        )
        Bucket.objects.create(key=f"channel:email{index}", full_at=later, seen_at=now, promised_at=now)
    NotificationLog.objects.append(
        NotificationLog(
            kind="attempt", event="order_shipped", recipient_key="u:1", channel="email", success=index < number,
            sent_at=now - timedelta(minutes=30),
        )
        for index in range(number + 1)
    )  # fmt: skip


def count_queries(client):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(INDEX).status_code == 200
    return queries


def test_an_empty_site(boss):
    page = sign_in(boss).get(INDEX).content.decode()
    assert "klaxon-overview" in page
    for text in ("Nothing is paused.", "All providers are used.", "No worker is registered.", "degraded"):
        assert text in page
    # The list of the tables is below.
    assert page.index("klaxon-overview") < page.index('href="/admin/klaxon/delivery/"')


def test_everything_is_shown_with_links(boss):
    fill(3)
    client = sign_in(boss)
    page = client.get(INDEX).content.decode()
    for text in (
        "Pause a channel", "Resume channel0", "Use email/p0 again", "is not used for", "process 4711, started 3 h ago",
        "75.0 %", "30 min ago", "channel:email2", "&lt;i&gt;refused&lt;/i&gt;", "Invoice &lt;b&gt;",
    ):  # fmt: skip
        assert text in page, text
    assert page.count("look here") == 2
    links = {part.split('"')[0].replace("&amp;", "&") for part in page.split('href="')[1:]}
    ours = [link for link in links if link.startswith("/admin/klaxon/") and ("?" in link or "/p" in link)]
    assert len(ours) > 10
    for link in ours:
        answer = client.get(link)
        # Django answers a filter that it does not know with a redirect.
        assert answer.status_code == 200, link


def test_the_links_to_deliveries_filter_them(boss):
    fill(2)
    client = sign_in(boss)
    context = client.get(INDEX).context
    for state in context["states"]:
        answer = client.get(state["url"])
        found = len(answer.context["cl"].result_list)
        # Deliveries that wait for a digest wait, too.
        assert (found, state["total"]) == (4 if state["name"] == "waiting" else 2, 2), state["name"]


def test_the_number_of_queries_is_constant_and_small(boss):
    client = sign_in(boss)
    few = count_queries(client)
    fill(4)
    many = count_queries(client)
    assert len(few) == len(many)
    # In addition to those of the session and the user.
    assert len([one for one in many if "klaxon_" in one["sql"]]) < 16


def test_staff_without_the_permission_do_not_see_it():
    user = User.objects.create_user("ben", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_pause"))
    page = sign_in(user).get(INDEX).content.decode()
    assert "klaxon-overview" not in page
    assert "/admin/klaxon/pause/" in page


def test_the_overview_leads_to_the_charts(boss):
    page = sign_in(boss).get(INDEX).content.decode()
    assert '<p><a href="/admin/klaxon/figure/">Analytics</a></p>' in page


def test_staff_see_the_links_that_they_may_follow():
    boss = User.objects.create_superuser("boss")
    fill(1)
    user = User.objects.create_user("ben", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    page = sign_in(user).get(INDEX).content.decode()
    assert "klaxon-overview" in page
    assert "/admin/klaxon/delivery/?state__exact=dead" in page
    for text in ("Pause a channel", "Resume channel0", "Use email/p0 again", "/admin/klaxon/heartbeat/"):
        assert text not in page
    assert boss.is_superuser


def test_another_admin_site_with_some_tables(boss, settings):
    settings.ROOT_URLCONF = __name__
    fill(1)
    page = sign_in(boss).get("/other/klaxon/").content.decode()
    assert "The other site" in page
    assert "/other/klaxon/delivery/?state__exact=dead" in page
    assert "/other/klaxon/pause/channel0/delete/" in page
    # It has no list of circuits.
    assert "All circuits" not in page


def test_a_page_of_one_model_does_not_show_it(boss):
    assert b"klaxon-overview" not in sign_in(boss).get("/admin/klaxon/delivery/").content
    assert b"klaxon-overview" not in sign_in(boss).get("/admin/").content
