"""The Apprise channel: what is known if a service fails, and that nothing shows a URL."""

import json
import logging
import threading
from email import charset

import pytest

from notifications.channels.apprise import AppriseChannel, _write_body
from notifications.events import NotificationPriority
from notifications.outcomes import Blame, Verdict
from notifications.testing.contract import ProviderContract
from tests.channels.chat_services import make_delivery, make_rendered
from tests.channels.http_services import Answer, http_service

pytestmark = [pytest.mark.needs("apprise"), pytest.mark.one_database]
SECRET = "s3cretPassw0rd"
TOKEN = "t0ken-in-the-path"


def write_url(service, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"json://bot:{SECRET}@127.0.0.1:{service.port}/{TOKEN}{'?' * bool(query)}{query}"


@pytest.fixture(scope="module")
def running():
    with http_service() as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def channel(service):
    return AppriseChannel(urls={"ops": write_url(service)}, timeout=0.3)


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with http_service() as self.service:
            yield

    def make_channel(self):
        return AppriseChannel(schemas=["json"], timeout=1)

    def address(self, number):
        return f"{write_url(self.service)}/{number}"

    def break_provider(self, channel):
        self.service.stop()


def send(channel, address="ops", recipient_id=None, rendered=None, **values):
    message = channel.prepare(make_delivery(address, recipient_id, **values), rendered or make_rendered())
    [receipt] = channel.send([message])
    assert receipt.message is message
    return receipt


def test_emails_of_the_site_stay_as_they_are(channel):
    assert charset.CHARSETS["utf-8"] == (charset.SHORTEST, charset.BASE64, "utf-8")


def test_a_message_has_a_title_a_text_and_its_link(channel, service):
    rendered = make_rendered(action_url="https://a.example/x", action_label="Open")
    for priority, kind in zip(NotificationPriority, ["failure", "warning", "info", "info"], strict=True):
        assert send(channel, rendered=rendered, priority=priority).verdict is Verdict.ACCEPTED
        payload = service.received[-1].json
        assert (payload["title"], payload["type"]) == ("A subject", kind)
        assert payload["message"] == "Some text.\n\nOpen: https://a.example/x"


def test_a_long_text_keeps_its_link(channel):
    rendered = make_rendered("x" * 500, action_url="https://a.example/x", action_label="Open")
    body = _write_body(channel.prepare(make_delivery("ops"), rendered), 100)
    assert len(body) == 100
    assert body.endswith("…\n\nOpen: https://a.example/x")


def test_nobody_is_mentioned(channel, service):
    send(channel, rendered=make_rendered("@everyone, @here, <!channel> and <@U1>", "@all"))
    payload = service.received[0].json
    assert payload["message"] == "@\u200beveryone, @\u200bhere, <\u200b!channel> and <\u200b@U1>"
    assert payload["title"] == "@\u200ball"


@pytest.mark.parametrize("text", ['<a href="https://evil.example">Your bank</a>', "[Your bank](https://evil.example)"])
def test_no_text_of_a_link_hides_where_it_leads(text, channel, monkeypatch):
    requests, posted = pytest.importorskip("requests"), []

    def post(*args, data=None, **options):
        posted.append(json.loads(data))
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"{}"
        return answer

    # The host of Telegram is fixed.
    monkeypatch.setattr(requests, "post", post)
    send(channel, f"tgram://123456789:{'a' * 35}/12345", recipient_id=1, rendered=make_rendered(text))
    assert posted[0]["parse_mode"] == "HTML"
    assert "<a" not in posted[0]["text"]
    assert "](" not in posted[0]["text"]
    assert "Your bank" in posted[0]["text"]


@pytest.mark.parametrize(
    ("answer", "verdict", "code"),
    [
        (Answer(204), Verdict.ACCEPTED, ""),
        (Answer(400), Verdict.PERMANENT, "400"),
        (Answer(401), Verdict.PERMANENT, "401"),
        (Answer(404), Verdict.PERMANENT, "404"),
        (Answer(429), Verdict.TEMPORARY, "429"),
        (Answer(302, headers={"Location": "/elsewhere"}), Verdict.PERMANENT, "302"),
        (Answer(500), Verdict.UNKNOWN, "500"),
        (Answer(503), Verdict.TEMPORARY, "503"),
        (Answer(way="close"), Verdict.UNKNOWN, ""),
        (Answer(way="silence"), Verdict.UNKNOWN, ""),
    ],
    ids=lambda value: f"{value.status}{value.way}" if isinstance(value, Answer) else "",
)
def test_what_is_known_is_read_from_the_log(channel, service, answer, verdict, code):
    service.answers = [answer]
    receipt = send(channel)
    assert (receipt.verdict, receipt.code) == (verdict, code)
    assert len(service.received) == 1
    if verdict is not Verdict.ACCEPTED:
        assert receipt.error
        assert receipt.blames in (Blame.RECIPIENT, Blame.MESSAGE)


def test_nothing_was_handed_over_without_a_connection():
    with http_service() as gone:
        gone.stop()
        channel = AppriseChannel(urls={"ops": write_url(gone)}, timeout=0.3)
    assert send(channel).verdict is Verdict.TEMPORARY


@pytest.mark.parametrize("parameter", [{"retry": 3, "wait": 0}, {"redirect": "yes"}, {"rto": 60, "cto": 60}])
def test_a_url_can_change_neither_retries_nor_timeouts(service, parameter):
    channel = AppriseChannel(urls={"ops": write_url(service, **parameter)}, timeout=0.2)
    service.answers = [Answer(way="silence") if "rto" in parameter else Answer(503)]
    assert send(channel).verdict is not Verdict.ACCEPTED
    assert len(service.received) == 1


def test_a_service_that_is_told_to_wait_gives_up(channel, monkeypatch):
    def notify(self, **values):
        self.throttle(wait=17)
        return True

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.notify", notify)
    receipt = send(channel)
    assert (receipt.verdict, receipt.retry_after) == (Verdict.TEMPORARY, 17)


def test_a_service_does_not_try_again_after_a_limit(channel, monkeypatch):
    def notify(self, **values):
        self.throttle()
        self.logger.warning("Rate limiting in effect")
        self.throttle()
        return True

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.notify", notify)
    assert send(channel).verdict is Verdict.TEMPORARY


def test_a_message_that_some_targets_have_got_is_not_sent_again(channel, monkeypatch):
    def notify(self, **values):
        self.logger.info("Sent one notification.")
        self.logger.warning("Failed to send: error=404.")
        return False

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.notify", notify)
    assert send(channel).verdict is Verdict.UNKNOWN


def test_an_error_of_a_service_shows_only_its_class(channel, monkeypatch):
    def notify(self, **values):
        raise KeyError(SECRET)

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.notify", notify)
    receipt = send(channel)
    assert (receipt.verdict, receipt.error) == (Verdict.UNKNOWN, "KeyError")


def test_nothing_shows_a_url(channel, service, caplog):
    for name in ("", "apprise", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, logger=name)
    message = channel.prepare(make_delivery("ops"), make_rendered())
    service.answers = [Answer(200), Answer(500, f"{SECRET} {TOKEN}"), Answer(way="close")]
    receipts = [*channel.send([message, message, message])]
    shown = f"{receipts} {message} {caplog.text}"
    assert SECRET not in shown
    assert TOKEN not in shown
    assert all(receipt.error for receipt in receipts[1:])


def test_threads_do_not_share_a_log(channel, service, caplog):
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("apprise")
    service.answers = [Answer(way="silence")]
    results = []
    thread = threading.Thread(target=lambda: results.append(send(channel)))
    thread.start()
    logger.warning("Somebody else uses Apprise.")
    thread.join()
    assert "Somebody else uses Apprise." in caplog.text
    assert "Somebody else" not in results[0].error


@pytest.mark.parametrize(
    "address",
    [
        "json://127.0.0.1/x", "file:///etc/passwd", "dbus://", "syslog://", "windows://", "macosx://", "gnome://",
        "mailto://a:b@example.com", "https://discord.com/api/webhooks/1/x", "tgram://123:abc/1?template=/etc/passwd",
        "ops", "unknown",
    ],
)  # fmt: skip
def test_a_user_can_reach_only_services_of_the_list(channel, service, address):
    receipt = send(channel, address, recipient_id=1)
    assert (receipt.verdict, receipt.blames) == (Verdict.PERMANENT, Blame.RECIPIENT)
    assert service.received == []


def test_a_url_that_apprise_does_not_accept_is_refused(channel, service):
    receipt = send(channel, f"tgram://{SECRET}/", recipient_id=1)
    assert receipt.verdict is Verdict.PERMANENT
    assert "Apprise does not accept the URL" in receipt.error
    assert SECRET not in receipt.error


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"schemas": "tgram"}, "'schemas' must be a list"),
        ({"urls": {"ops": f"tgram://{SECRET}"}}, "does not accept the URL 'ops'"),
        ({"urls": {"ops": f"nonsense://{SECRET}"}}, "does not accept the URL 'ops'"),
        ({"urls": {"ops": SECRET}}, "no valid URL for 'ops'"),
    ],
)
def test_wrong_options_are_refused_without_a_url(options, told, caplog):
    with pytest.raises(ValueError, match=told) as caught:
        AppriseChannel(**options)
    assert SECRET not in f"{caught.value} {caplog.text}"


def test_no_part_of_a_short_password_is_shown():
    with pytest.raises(ValueError, match="does not accept the URL 'ops'") as caught:
        AppriseChannel(urls={"ops": "mailto://bob:pw1@smtp"})
    assert "mailto://***" in str(caught.value)
    assert "p...1" not in str(caught.value)
