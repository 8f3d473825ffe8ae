"""The page with the content: for the recipient only, after log-in, and never stored by a browser or proxy."""

import pytest
from django.core.management import call_command
from django.urls import reverse

from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, Notification, UserSettings
from tests.factories import UserFactory
from tests.sensitive.conftest import CODE, CONTEXT, LabEvents, make_key
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db]


def send(*recipients, cluster=None, dispatch=True, **options):
    NotificationManager.send(LabEvents.RESULT, recipients, cluster, CONTEXT, **options)
    if dispatch:
        call_command("dispatch_notifications")
    return reverse("notifications:sensitive", args=[Notification.objects.latest("pk").pk])


def test_the_recipient_reads_the_content(site, reader, client):
    url = send(reader)
    client.force_login(reader)
    response = client.get(url)
    assert response.status_code == 200
    assert '<h1 lang="en" dir="ltr">Your result, Ada Zebrowska</h1>' in response.content.decode()
    assert f"The code is {CODE}." in response.content.decode()


def test_nothing_stores_the_page(site, reader, client):
    client.force_login(reader)
    response = client.get(send(reader))
    assert "no-store" in response["Cache-Control"]
    assert (response["Referrer-Policy"], response["X-Robots-Tag"]) == ("no-referrer", "noindex, nofollow")


def test_who_is_not_logged_in_is_asked_to(site, reader, client):
    url = send(reader)
    response = client.get(url)
    assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={url}")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("staff", [False, True])
def test_nobody_else_can_read_it(site, reader, client, staff):
    url = send(reader)
    client.force_login(UserFactory(is_staff=staff, is_superuser=staff))
    assert client.get(url).status_code == 404


def test_another_recipient_reads_the_same_page(site, reader, client):
    other = UserFactory()
    url = send(reader, other, channels=["email"])
    client.force_login(other)
    assert client.get(url).status_code == 200


def test_who_left_the_cluster_can_no_longer_read_it(site, settings, reader, client):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MEMBERS_OF": f"{__name__}.members_of"}
    cluster = Cluster.objects.create(name="Lab", slug="lab")
    cluster.members.add(reader)
    url = send(reader, cluster=cluster)
    client.force_login(reader)
    assert client.get(url).status_code == 200
    cluster.members.remove(reader)
    assert client.get(url).status_code == 404


def members_of(cluster):
    return cluster.members.all()


def test_it_changes_nothing_and_allows_only_reading(site, reader, client):
    url = send(reader)
    client.force_login(reader)
    client.get(url)
    assert client.head(url).status_code == 200
    assert client.post(url).status_code == 405
    assert InboxItem.objects.get().read_at is None


def test_an_ordinary_notification_has_no_such_page(site, reader, client):
    context = {"order_number": "1017", "eta": None}
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, reader, context=context)
    client.force_login(reader)
    assert client.get(reverse("notifications:sensitive", args=[Notification.objects.get().pk])).status_code == 404


def test_it_cannot_be_read_before_its_time(site, reader, client):
    from datetime import timedelta

    from django.utils import timezone

    url = send(reader, send_at=timezone.now() + timedelta(hours=1))
    client.force_login(reader)
    assert client.get(url).status_code == 404


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**200])
def test_a_number_that_no_notification_has_is_not_found(number, site, reader, client):
    client.force_login(reader)
    assert client.get(reverse("notifications:sensitive", args=[number])).status_code == 404


@pytest.mark.parametrize("is_sent", [False, True])
def test_it_cannot_be_read_after_a_cancellation(is_sent, site, reader, client):
    url = send(reader, dispatch=is_sent, cancel_key="1")
    NotificationManager.cancel(None, "1")
    client.force_login(reader)
    assert client.get(url).status_code == 404


def test_the_page_is_in_the_language_of_the_recipient(site, templates, reader, client):
    templates["notifications/test_result/email.de.txt"] = "Der Code ist {{ code }}."
    UserSettings.objects.create(user=reader, cluster=Cluster.objects.default(), language="de")
    client.force_login(reader)
    assert f"Der Code ist {CODE}." in client.get(send(reader)).content.decode()


def test_the_tags_of_its_template_are_in_that_language_too(site, templates, reader, client):
    templates["notifications/test_result/email.txt"] = '{% load i18n %}{% translate "Yes" %}: {{ code }}'
    UserSettings.objects.create(user=reader, cluster=Cluster.objects.default(), language="de")
    client.force_login(reader)
    assert f"Ja: {CODE}" in client.get(send(reader)).content.decode()


def test_the_text_of_an_event_with_html_only_is_derived(site, templates, reader, client):
    del templates["notifications/test_result/email.txt"]
    client.force_login(reader)
    assert f"The code is {CODE}." in client.get(send(reader)).content.decode()


def test_values_are_escaped(site, templates, reader, client):
    templates["notifications/test_result/email.txt"] = "<script>alert(1)</script> {{ code }}"
    client.force_login(reader)
    assert "<script>alert" not in client.get(send(reader)).content.decode()


@pytest.mark.parametrize("page", ["page", "inbox item"])
def test_content_that_cannot_be_decrypted_is_not_shown(site, use_keys, reader, client, caplog, page):
    url = send(reader)
    use_keys(make_key())
    client.force_login(reader)
    if page == "inbox item":
        url = reverse("notifications:inbox-item", args=[InboxItem.objects.get().pk])
    response = client.get(url)
    assert response.status_code == 503
    assert "This message cannot be shown at the moment." in response.content.decode()
    assert "which NOTIFICATIONS['ENCRYPTION_KEYS'] does not contain" in caplog.text


def test_a_template_that_fails_is_logged_without_the_content(site, templates, reader, client, caplog):
    url = send(reader)
    templates["notifications/test_result/email.txt"] = "{% include code %}"
    client.force_login(reader)
    response = client.get(url)
    assert response.status_code == 503
    assert CODE not in response.content.decode() + caplog.text


def test_the_inbox_shows_the_name_in_its_list_and_the_content_on_its_page(site, reader, client):
    send(reader)
    client.force_login(reader)
    listed = client.get(reverse("notifications:inbox")).content.decode()
    assert "Test result" in listed
    assert CODE not in listed
    response = client.get(reverse("notifications:inbox-item", args=[InboxItem.objects.get().pk]))
    assert f'<h1 dir="auto">Result {CODE}</h1>' in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_the_admin_does_not_show_it(site, reader, client):
    send(reader)
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    item, notification, delivery = InboxItem.objects.get(), Notification.objects.get(), Delivery.objects.first()
    pages = [
        reverse("admin:klaxon_notification_change", args=[notification.pk]),
        reverse("admin:klaxon_inboxitem_change", args=[item.pk]),
        reverse("admin:klaxon_inboxitem_changelist"),
        reverse("admin:klaxon_delivery_change", args=[delivery.pk]),
        reverse("admin:klaxon_notificationlog_changelist"),
    ]
    texts = [client.get(page).content.decode() for page in pages]
    assert [text for text in texts if CODE in text or item.encrypted in text] == []
    assert "Hidden, because the event is sensitive." in texts[0]


def test_an_explanation_does_not_show_it(site, reader):
    send(reader)
    explanation = NotificationManager.explain(LabEvents.RESULT, reader, context=CONTEXT)
    assert CODE not in f"{explanation!r} {explanation}"
    for delivery in Delivery.objects.all():
        assert CODE not in str(NotificationManager.why(delivery))
