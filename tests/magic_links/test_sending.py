"""Links are sent by email to members, as sensitive notifications; a page sends one to whoever asks."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core import mail
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client

from notifications import checks
from notifications.core import clock
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents, NotificationEvent, NotificationPriority
from notifications.exceptions import (
    EncryptionUnavailable,
    InvalidCluster,
    InvalidOption,
    InvalidRecipient,
    MagicLinksUnavailable,
)
from notifications.magic_links import Purpose, asking, send_magic_link
from notifications.magic_links.send import hash_link
from notifications.models import Cluster, Delivery, MagicLink, Notification
from notifications.outcomes import DeliveryState, Reason
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.magic_links.conftest import SITE, get_link, press, read_mail

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db]
ASK = "/notifications/links/"


def set_options(settings, **options):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **options}


def ask(email, client=None, **more):
    form = {"email": email, "purpose": "notification_status", "cluster": "", **more}
    return (client or Client()).post(ASK, form)


def test_a_link_is_sent_as_a_sensitive_notification(magic, reader):
    result = send_magic_link(reader, Purpose.SETTINGS_VIEW)
    assert result.queued == 1
    notification = Notification.objects.get()
    assert list(notification.context) == ["$encrypted"]
    assert notification.expires_at - notification.created_at <= timedelta(minutes=15)
    event = NOTIFICATION_EVENTS[BuiltInEvents.MAGIC_LINK]
    assert (event.sensitive, event.on_unknown, event.channels) == (True, "hold", ("email",))
    link = get_link(read_mail())
    row = MagicLink.objects.get()
    assert row.link_hash == hash_link(link)
    purpose, key, token = link.split("/")
    assert (purpose, key, len(token)) == ("settings_view", str(row.cluster_id), 43)
    [message] = mail.outbox
    assert (message.subject, message.to) == ("Your link", [reader.email])
    assert f"{SITE}/notifications/links/{link}/" in message.alternatives[0][0]


def test_the_email_has_no_other_link_that_works_without_a_log_in(magic, reader):
    """The footer of other emails leads to the preferences, which can be changed there."""
    send_magic_link(reader, "settings_view")
    path = read_mail()
    [message] = mail.outbox
    html = message.alternatives[0][0]
    links = {*re.findall(rf"{SITE}/\S+", message.body), *re.findall(r'href="([^"]+)"', html)}
    assert links == {f"{SITE}{path}", SITE}
    assert "List-Unsubscribe" not in message.extra_headers


def test_a_link_is_valid_for_the_time_of_the_setting(magic, reader):
    set_options(magic, MAGIC_LINK_SECONDS=60)
    for seconds, status in ((59, 200), (61, 404)):
        sent_at = clock.now() - timedelta(seconds=seconds)
        with travelling(sent_at):
            send_magic_link(reader, "settings_view")
            path = read_mail()
        assert press(Client(), path).status_code == status


def test_a_link_that_was_not_sent_in_time_is_not_sent(magic, reader):
    with travelling(clock.now() - timedelta(minutes=16)):
        send_magic_link(reader, "settings_view")
    call_command("dispatch_notifications")
    assert (mail.outbox, Delivery.objects.get().state) == ([], DeliveryState.EXPIRED)


@pytest.mark.parametrize(
    ("options", "error", "setting"),
    [
        ({"MAGIC_LINKS": False}, MagicLinksUnavailable, r"NOTIFICATIONS\['MAGIC_LINKS'\]"),
        ({"ENCRYPTION_KEYS": []}, EncryptionUnavailable, r"NOTIFICATIONS\['ENCRYPTION_KEYS'\]"),
        ({"BASE_URL": ""}, MagicLinksUnavailable, r"NOTIFICATIONS\['BASE_URL'\]"),
        ({"CHANNELS": {"email": {"ENABLED": False}}}, MagicLinksUnavailable, "email"),
    ],
)
def test_without_a_setting_the_error_names_it_and_nothing_is_stored(magic, reader, options, error, setting):
    set_options(magic, **options)
    with pytest.raises(error, match=setting):
        send_magic_link(reader, "settings_view")
    assert (MagicLink.objects.count(), Notification.objects.count()) == (0, 0)


def test_an_unknown_purpose_is_refused(magic, reader):
    with pytest.raises(InvalidOption, match="'notification_status', 'settings_view', not 'admin'"):
        send_magic_link(reader, "admin")


@pytest.mark.parametrize("wrong", [None, "ada@example.com", 1, AnonymousUser(), User()], ids=type)
def test_something_else_than_a_saved_user_is_refused(magic, wrong):
    with pytest.raises(InvalidRecipient, match="A link needs a saved User"):
        send_magic_link(wrong, "settings_view")


@pytest.mark.parametrize("wrong", ["shop", 1, Cluster()], ids=type)
def test_something_else_than_a_saved_cluster_is_refused(magic, reader, wrong):
    with pytest.raises(InvalidCluster):
        send_magic_link(reader, "settings_view", wrong)
    assert MagicLink.objects.count() == 0


def test_somebody_outside_of_the_cluster_gets_no_link(magic, reader):
    result = send_magic_link(reader, "settings_view", ClusterFactory())
    assert (result.queued, result.reasons) == (0, {Reason.NOT_MEMBER: 1})


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, []),
        ({"MAGIC_LINKS": False, "ENCRYPTION_KEYS": [], "BASE_URL": ""}, []),
        ({"ENCRYPTION_KEYS": []}, ["klaxon.E035"]),
        ({"BASE_URL": "", "CHANNELS": {"email": {"ENABLED": False}}}, ["klaxon.E035"] * 2),
    ],
)
def test_the_checks_report_what_magic_links_lack(magic, options, ids):
    set_options(magic, **options)
    assert [message.id for message in checks.check_magic_links()] == ids
    assert [message for message in checks.check_sensitive_events() if "magic_link" in message.msg] == []


def test_the_check_reports_that_the_urls_are_missing(magic):
    magic.ROOT_URLCONF = "tests.magic_links.no_urls"
    [message] = checks.check_magic_links()
    assert (message.id, "include" in message.hint) == ("klaxon.E035", True)


class TestPage:
    def test_whoever_asks_gets_a_link(self, magic, reader):
        response = ask(reader.email.upper())
        assert (response.status_code, response["Location"]) == (302, f"{ASK}?sent")
        text = Client().get(response["Location"]).content.decode()
        assert "works for 15 minutes" in text
        assert press(Client(), read_mail()).status_code == 200

    def test_the_answer_is_the_same_for_an_unknown_address(self, magic, reader):
        inactive = UserFactory(is_active=False)
        answers = {
            (r.status_code, r.content, str(r.headers)) for r in map(ask, [reader.email, inactive.email, "no@x.org"])
        }
        assert len(answers) == 1
        assert MagicLink.objects.count() == 1

    def test_the_answer_takes_the_same_time(self, magic, reader, monkeypatch):
        monkeypatch.setattr("notifications.magic_links.views.MIN_ANSWER_SECONDS", 0.4)
        times = []
        for email in (reader.email, "no@x.org"):
            started = time.monotonic()
            ask(email)
            times.append(time.monotonic() - started)
        assert abs(times[0] - times[1]) < 0.2
        assert min(times) >= 0.4

    def test_the_link_goes_to_the_address_that_notifications_use(self, magic, reader):
        own = {"email": "own@example.org"}
        UserSettingsFactory(user=reader, cluster=Cluster.objects.default(), addresses=own)
        ask(reader.email)
        read_mail()
        assert mail.outbox[-1].to == ["own@example.org"]

    def test_a_cluster_can_be_chosen_by_its_members_only(self, magic, reader):
        mine, other = ClusterFactory(members=[reader]), ClusterFactory()
        page = Client().get(f"{ASK}?cluster={mine.pk}").content.decode()
        assert f'name="cluster" value="{mine.pk}"' in page
        for key in (str(mine.pk), str(other.pk), "unknown", "9" * 30):
            assert ask(reader.email, cluster=key).status_code == 302
        assert [row.cluster for row in MagicLink.objects.all()] == [mine]

    def test_a_user_gets_at_most_five_links_an_hour(self, magic, reader):
        for _ in range(7):
            ask(reader.email)
        assert MagicLink.objects.count() == 5
        with travelling(clock.now() + timedelta(hours=1, minutes=1)):
            ask(reader.email)
        assert MagicLink.objects.count() == 6

    def test_a_client_can_ask_twenty_times_an_hour(self, magic, reader):
        statuses = [ask(f"user{number}@example.org").status_code for number in range(21)]
        assert statuses == [302] * 20 + [429]
        assert ask(reader.email).status_code == 429
        refused = Client(REMOTE_ADDR="192.0.2.7")
        assert ask(reader.email, refused).status_code == 302

    def test_a_network_of_ipv6_is_one_client(self, magic):
        assert asking._get_network("2001:db8::1") == asking._get_network("2001:db8::ffff:2")
        assert asking._get_network("2001:db8::1") != asking._get_network("2001:db8:0:1::1")
        assert asking._get_network("fe80::1%eth0") == asking._get_network("fe80::2")
        assert asking._get_network("") == ""

    def test_ipv4_clients_of_a_server_that_listens_on_ipv6_are_told_apart(self, magic):
        assert asking._get_network("::ffff:192.0.2.7") == asking._get_network("192.0.2.7") == "192.0.2.7"

    def test_it_holds_no_lock_while_it_waits(self, magic, reader, monkeypatch):
        """Otherwise, ``ATOMIC_REQUESTS`` would stop all writers of a SQLite database for this time."""
        in_transaction = []
        monkeypatch.setattr(
            "notifications.magic_links.views.time.sleep", lambda seconds: in_transaction.append(len(atomics()))
        )

        def atomics():
            return connection.savepoint_ids

        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        before = len(atomics())
        assert ask(reader.email).status_code == 302
        assert in_transaction == [before]

    def test_deactivated_accounts_do_not_hide_the_active_one(self, magic):
        for _ in range(asking.MAX_USERS):
            UserFactory(email="shared@example.org", is_active=False)
        active = UserFactory(email="shared@example.org")
        assert asking.find_users("Shared@example.org") == [active]

    @pytest.mark.parametrize(("seconds", "text"), [(900.0, "15 minutes"), (60, "1 minute."), (30, "1 minute.")])
    def test_it_says_in_whole_minutes_how_long_the_link_works(self, magic, seconds, text):
        set_options(magic, MAGIC_LINK_SECONDS=seconds)
        assert f"works for {text}" in Client().get(f"{ASK}?sent").content.decode()

    def test_a_wrong_form_is_shown_again(self, magic):
        response = ask("no address", purpose="admin")
        assert response.status_code == 200
        assert "Enter a valid email address" in response.content.decode()

    def test_the_form_is_protected(self, magic, reader):
        assert ask(reader.email, Client(enforce_csrf_checks=True)).status_code == 403

    def test_a_site_that_has_not_switched_them_on_has_no_such_page(self, db):
        assert Client().get(ASK).status_code == 404
        assert ask("no@x.org").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_requests_at_the_same_time_share_the_limit_of_a_user(magic, reader):
    Cluster.objects.default()
    together = Barrier(10)

    def send(number):
        try:
            together.wait()
            return ask(reader.email, Client(REMOTE_ADDR=f"192.0.2.{number}")).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(send, range(10))) == {302}
    assert MagicLink.objects.count() == asking.MAX_LINKS_PER_HOUR


class TestLinkOfEvents:
    def declare(self, **options):
        values = {
            "name": "reset",
            "priority": NotificationPriority.HIGH,
            "supported_channels": ["email"],
            "context": {"url": str},
            "sensitive": True,
            "link": "url",
        }
        return NotificationEvent(**{**values, **options})

    def test_the_link_of_an_event_needs_a_sensitive_event_and_a_declared_key(self):
        assert self.declare().link == "url"
        for options, message in (
            ({"sensitive": False}, "is not sensitive"),
            ({"link": "address"}, "does not declare"),
            ({"context": None}, "does not declare"),
            ({"track_clicks": True}, "cannot be tracked"),
        ):
            with pytest.raises(ValueError, match=message):
                self.declare(**options)
