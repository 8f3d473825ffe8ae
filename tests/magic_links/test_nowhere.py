"""The link is only in the email: not in the database, the log, the log files, the admin or the spool."""

import io
import logging
import re

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

from example_project.mail import make_email_settings
from notifications.magic_links import send_magic_link
from notifications.magic_links.send import hash_link
from notifications.models import Delivery, MagicLink, Notification, NotificationLog
from tests.factories import UserFactory
from tests.magic_links.conftest import get_link, press, read_form, read_mail
from tests.magic_links.refusing import seen
from tests.sensitive.test_nowhere import logged, merged_search_index, read_database  # noqa: F401 - fixtures

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db(transaction=True)]
OPEN = "/notifications/links/open/"


@pytest.fixture
def path(magic, reader):
    send_magic_link(reader, "settings_view")
    return read_mail()


def list_strings():
    """Return every string in the database: those of all rows of all tables as text, and their parts."""
    out = io.StringIO()
    call_command("dumpdata", stdout=out)
    with connection.cursor() as cursor:
        texts = [out.getvalue()]
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            texts += [str(value) for row in cursor.fetchall() for value in row]
    parts = {part for text in texts for part in re.split(r"[\s\"'{}\[\](),:]+", text)}
    return {text for text in {*texts, *parts} if 16 <= len(text) <= 2000}


def test_no_string_of_the_database_opens_anything(path):
    link = get_link(path)
    purpose, key, token = link.split("/")
    strings, [row] = list_strings(), MagicLink.objects.all()
    assert len(strings) > 20
    assert row.link_hash in strings
    tried = {text for string in strings for text in (string, f"{purpose}/{key}/{string}")}
    assert MagicLink.objects.filter(link_hash__in={hash_link(text) for text in tried}).count() == 0
    client = Client()
    form = read_form(client.get("/notifications/links/x/"))
    for text in (row.link_hash, str(row.pk), Notification.objects.get().context["$encrypted"]):
        for guess in (text, f"{purpose}/{key}/{text}"):
            assert client.post(OPEN, {**form, "link": guess}).status_code == 404
    assert token.encode() not in read_database()
    assert press(Client(), path).status_code == 200
    assert token.encode() not in read_database()


def test_the_link_is_in_no_log(magic, reader, caplog):
    """Every statement is logged, and what Django logs about refused requests."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="django.db.backends")
    magic.DEBUG = True
    send_magic_link(reader, "settings_view")
    path = read_mail()
    link = get_link(path)
    token = link.rpartition("/")[2]
    broken = (f"{path}%0A", f"{path[:-9]}%0D%0A{path[-9:]}")
    client, strange = Client(), Client(enforce_csrf_checks=True, raise_request_exception=False)
    for method in ("get", "head", "post", "put", "delete", "options"):
        for changed in (path, f"{path}.", path.rstrip("/"), path.replace("settings_view", "admin"), *broken):
            getattr(strange, method)(changed)
    strange.post(OPEN, {"link": link})
    strange.put(OPEN, {"link": link})
    client.post(OPEN, {**read_form(client.get(path)), "link": f"{link}."})
    assert press(client, path).status_code == 200
    assert press(client, path).status_code == 404
    assert "Not Found: /notifications/links/open/" in caplog.text
    assert caplog.text.count(hash_link(link)) >= 3
    assert token not in caplog.text


def test_the_report_of_an_error_does_not_contain_the_link(path, monkeypatch):
    """As it would be sent to ADMINS."""

    def fail(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("notifications.magic_links.views.find_person", fail)
    token = get_link(path).rpartition("/")[2]
    report, reports = logging.Handler(), []

    def emit(record):
        reports.append(ExceptionReporter(record.request, *record.exc_info, is_email=True).get_traceback_text())

    report.emit = emit
    logger = logging.getLogger("django.request")
    logger.addHandler(report)
    try:
        assert press(Client(raise_request_exception=False), path).status_code == 500
    finally:
        logger.removeHandler(report)
    [text] = reports
    assert "RuntimeError" in text
    assert token not in text


def test_a_failed_delivery_leaves_no_link_in_the_log(magic, reader, settings, logged):  # noqa: F811
    for name, value in make_email_settings({"EMAIL_BACKEND": "tests.magic_links.refusing.EmailBackend"}).items():
        setattr(settings, name, value)
    send_magic_link(reader, "settings_view")
    call_command("dispatch_notifications")
    assert "is not recorded" in NotificationLog.objects.latest("pk").error_message
    token = re.search(r"/links/settings_view/\d+/([^/\s]+)/", seen[-1])[1]
    assert token.encode() not in logged()
    assert token.encode() not in read_database()


def test_the_admin_does_not_show_the_link(path, reader):
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    pages = [
        reverse("admin:klaxon_notification_change", args=[Notification.objects.get().pk]),
        reverse("admin:klaxon_delivery_change", args=[Delivery.objects.get().pk]),
        reverse("admin:klaxon_notificationlog_changelist"),
    ]
    token = get_link(path).rpartition("/")[2]
    texts = [client.get(page).content.decode() for page in pages]
    assert "Hidden, because the event is sensitive." in texts[0]
    assert [text for text in texts if token in text] == []
    assert "magiclink" not in client.get(reverse("admin:index")).content.decode()


def test_the_page_of_sensitive_content_does_not_show_the_link(path, reader):
    client = Client()
    client.force_login(reader)
    response = client.get(reverse("notifications:sensitive", args=[Notification.objects.get().pk]))
    assert response.status_code == 200
    assert "was sent to you by email" in response.content.decode()
    assert get_link(path).rpartition("/")[2] not in response.content.decode()
