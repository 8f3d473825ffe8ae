"""What the channels of chat services share: whose webhook a message goes to, and that nothing shows it."""

import logging
import traceback
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from notifications.admin.forms import UserSettingsForm
from notifications.channels.discord import DiscordChannel
from notifications.channels.http_client import Failure, HTTPFailure
from notifications.channels.slack import SlackChannel
from notifications.channels.teams import TeamsChannel
from notifications.core.addresses import is_url_name, is_well_formed, mask_address
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog, PreferenceChange, UserSettings
from notifications.outcomes import Blame, Verdict
from notifications.recipients import Address
from tests.channels.chat_services import (
    DISCORD_PATH,
    SLACK_PATH,
    TEAMS_PATH,
    answer_as_discord,
    answer_as_slack,
    answer_as_teams,
    chat_service,
    make_delivery,
    make_rendered,
    post,
)
from tests.channels.http_services import Answer
from tests.factories import UserFactory

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]
SERVICES = {
    "slack": (SlackChannel, answer_as_slack, SLACK_PATH, "https://hooks.slack.com"),
    "discord": (DiscordChannel, answer_as_discord, DISCORD_PATH, "https://discord.com"),
    "teams": (TeamsChannel, answer_as_teams, TEAMS_PATH, "https://prod-12.westeurope.logic.azure.com:443"),
}
SECRETS = ["sEcReT", "T0AAAAAAA", "dIsCoRd", "123456789012345678", "tEaMs", "0123456789abcdef"]


@pytest.fixture(params=SERVICES)
def kind(request):
    return SERVICES[request.param]


@pytest.fixture
def service(kind):
    with chat_service(kind[1]) as service:
        yield service


@pytest.fixture
def channel(kind, service):
    channel = kind[0](urls={"ops": service.url + kind[2]}, timeout=0.5)
    yield channel
    channel.close()


def fault_of(channel, address, recipient_id=1):
    [receipt] = channel.send([channel.prepare(make_delivery(address, recipient_id), make_rendered())])
    assert (receipt.verdict, receipt.blames) == (Verdict.PERMANENT, Blame.RECIPIENT)
    return receipt.error


def test_a_name_of_the_settings_stands_for_a_url(channel, service):
    assert post(channel, "ops").verdict is Verdict.ACCEPTED
    assert "Some text." in service.received[0].body.decode()


def test_a_url_of_a_user_must_lead_to_the_service(kind, channel):
    own = kind[3] + kind[2]
    assert channel.find_url(make_delivery(own, recipient_id=1)) == own
    elsewhere = ["http://127.0.0.1/", "https://169.254.169.254/latest", f"https://evil.example{kind[2]}"]
    changes = [("https", "http"), ("://", "://user@"), (".com", ".com.evil.example"), (".com", ".com:8443")]
    varied = [own.replace(":443", "").replace(before, after, 1) for before, after in changes]
    # Python's parser takes the part before a backslash for a subdomain, and requests takes it for the host.
    host = urlsplit(own).hostname
    varied.append(own.replace(host, f"127.0.0.1\\.{host}"))
    for foreign in (*elsewhere, *varied):
        assert "the option 'hosts'" in fault_of(channel, foreign)
    assert "is not that of an incoming webhook" in fault_of(channel, f"{kind[3]}/other")


def test_only_recipients_without_an_account_can_name_a_url(channel, service):
    assert "must be a URL" in fault_of(channel, "ops")
    assert fault_of(channel, "dev", recipient_id=None).endswith("which has ops.")
    assert service.received == []


def test_the_site_can_allow_more_hosts(kind, service):
    channel = kind[0](hosts=[service.url], timeout=0.5)
    assert post(channel, service.url + kind[2]).verdict is Verdict.ACCEPTED
    channel.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"urls": ["https://a.example"]}, "'urls' must be a dict"),
        ({"urls": {"a b": "https://a.example/sEcReT"}}, "has the name 'a b'"),
        ({"urls": {"ops": "ftp://a.example/sEcReT"}}, "no valid URL for 'ops'"),
        ({"urls": {"ops": None}}, "no valid URL for 'ops'"),
        ({"hosts": "a.example"}, "'hosts' must be a list"),
        ({"timeout": 0}, "'timeout' must be"),
    ],
)
def test_wrong_options_are_refused_without_a_url(kind, options, told):
    with pytest.raises(ValueError, match=told) as caught:
        kind[0](**options)
    assert "sEcReT" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [Answer(400, "x"), Answer(500, [1, 2]), Answer(404, 7), Answer(429, {"retry_after": [{}]}), Answer(way="close")]
    + [Answer(400, "[" * 60_000), Answer(401, b"\xff\xfe"), Answer(302, headers={"Location": "http://127.0.0.1:1"})],
    ids=lambda answer: f"{answer.status}{answer.way}",
)  # fmt: skip
def test_nothing_shows_the_url(kind, channel, service, answer, caplog):
    caplog.set_level(logging.DEBUG)
    body = answer.body if isinstance(answer.body, str | bytes) else b""
    quoted = f"{service.url}{kind[2]} ".encode() + (body if isinstance(body, bytes) else body.encode())
    service.answers = [answer, Answer(answer.status, quoted, answer.headers, answer.way)]
    message = channel.prepare(make_delivery("ops"), make_rendered())
    receipts = [*channel.send([message, message])]
    shown = f"{receipts} {[repr(message)]} {[one.error for one in receipts]} {caplog.text}"
    assert all(one.error and one.verdict is not Verdict.ACCEPTED for one in receipts)
    assert [secret for secret in SECRETS if secret in shown] == []


def test_a_url_is_masked(kind):
    url = kind[3] + kind[2]
    assert mask_address(url) == f"{kind[3].removesuffix(':443')}/***"
    assert mask_address(f"https://user:pa@ss@a.example/x@y?sig=1@2{'z' * 300}") == "https://a.example/***"
    assert mask_address("tgram://token/chat@x") == "tgram://***"
    assert mask_address("https://[::1/x") == "https://***"


@pytest.mark.parametrize("name", [*SERVICES, "apprise"])
def test_an_address_of_a_user_is_a_url(name):
    assert is_well_formed(name, "https://hooks.slack.com/services/T/B/X")
    assert not is_well_formed(name, "javascript:alert(1)")
    assert not is_well_formed(name, "ops.alarms-2")
    assert is_url_name(name, "ops.alarms-2")
    assert not is_url_name(name, "two words")
    assert not is_url_name("email", "ops")


@pytest.mark.django_db
def test_a_user_cannot_choose_the_name_of_a_url(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"slack": {}}}
    user = UserFactory()
    own = UserSettings(user=user, cluster=Cluster.objects.default(), addresses={"slack": "ops"})
    with pytest.raises(ValidationError):
        own.full_clean()
    own.save()
    result = NotificationManager.send_notification("Hi", None, ["slack"], recipients=[user, Address(slack="ops")])
    assert (result.queued, result.reasons) == (1, {"invalid_address": 1})


def test_only_a_host_that_all_recipients_share_opens_the_circuit():
    channel = SlackChannel(urls={"own": "http://127.0.0.1:1/hook"}, timeout=0.5)
    own = channel.prepare(make_delivery("own"), make_rendered())
    shared = channel.prepare(make_delivery("https://hooks.slack.com" + SLACK_PATH), make_rendered())
    for kind, blame in ((Failure.UNREACHABLE, Blame.NETWORK), (Failure.SILENCE, Blame.SILENCE)):
        assert channel.read_failure(shared, HTTPFailure(kind, "x")).blames is blame
        assert channel.read_failure(own, HTTPFailure(kind, "x")).blames is Blame.RECIPIENT


def test_a_traceback_shows_no_url(channel, monkeypatch):
    monkeypatch.setattr(channel.client, "send", lambda request: 1 / 0)
    message = channel.prepare(make_delivery("ops"), make_rendered())
    with pytest.raises(ZeroDivisionError) as caught:
        list(channel.send([message]))
    shown = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.django_db
def test_no_page_of_the_admin_shows_a_url(settings, client, admin_user):
    settings.NOTIFICATIONS = {"CHANNELS": {"slack": {"OPTIONS": {"hosts": ["http://127.0.0.1:1"]}}}}
    user = UserFactory()
    url = f"http://127.0.0.1:1{SLACK_PATH}"
    own = UserSettings.objects.create(user=user, cluster=Cluster.objects.default(), addresses={"slack": url})
    result = NotificationManager.send_notification("Hi", "warning", ["slack"], recipients=[user])
    call_command("dispatch_notifications")
    [row] = NotificationLog.objects.all()
    assert row.address == "http://127.0.0.1/***"
    client.force_login(admin_user)
    rows = {
        "delivery": Delivery.objects.get().pk,
        "notificationlog": row.pk,
        "notification": result.notification_id,
        "usersettings": own.pk,
        "preferencechange": PreferenceChange.objects.get().pk,
    }
    for model, pk in rows.items():
        for path in (f"/admin/klaxon/{model}/", f"/admin/klaxon/{model}/{pk}/change/"):
            page = client.get(path)
            assert page.status_code == 200
            assert [secret for secret in SECRETS if secret in page.content.decode()] == []


@pytest.mark.django_db
def test_the_form_of_the_admin_keeps_a_url_that_it_does_not_show(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"slack": {}}}
    url = f"https://hooks.slack.com{SLACK_PATH}"
    own = UserSettings.objects.create(
        user=UserFactory(), cluster=Cluster.objects.default(), addresses={"slack": url, "email": "a@example.com"}
    )
    form = UserSettingsForm(instance=own)
    assert form.initial["addresses"] == {"slack": "https://hooks.slack.com/***", "email": "a@example.com"}
    data = {"addresses:email": "b@example.com", "addresses:slack": "https://hooks.slack.com/***"}
    form = UserSettingsForm(data, instance=own)
    form.is_valid()
    assert form.cleaned_data["addresses"] == {"email": "b@example.com", "slack": url}
    form = UserSettingsForm({"addresses:slack": f"{url}x"}, instance=own)
    form.is_valid()
    assert form.cleaned_data["addresses"] == {"slack": f"{url}x"}
