"""The Slack channel."""

import pytest

from notifications.channels.slack import SlackChannel, write_mrkdwn
from notifications.events import NotificationPriority
from notifications.outcomes import Blame as B
from notifications.outcomes import Verdict as V
from notifications.testing.contract import ProviderContract
from tests.channels.chat_services import (
    SLACK_PATH,
    answer_as_slack,
    body_of,
    chat_service,
    make_content,
    post,
)
from tests.channels.http_services import Answer

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]


@pytest.fixture(scope="module")
def running():
    with chat_service(answer_as_slack) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def channel(service):
    channel = SlackChannel(urls={"ops": service.url + SLACK_PATH}, timeout=0.5)
    yield channel
    channel.close()


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with chat_service(answer_as_slack) as self.service:
            yield

    def make_channel(self):
        return SlackChannel(hosts=[self.service.url], timeout=1)

    def address(self, number):
        return f"{self.service.url}/services/T0/B{number}/x"

    def break_provider(self, channel):
        channel.close()
        self.service.stop()


def test_a_message_has_a_title_a_color_and_a_button(channel):
    payload = channel.build_payload(make_content())
    [attachment] = payload["attachments"]
    assert payload["blocks"] == [{"type": "header", "text": {"type": "plain_text", "text": "Pump 3 has stopped"}}]
    assert attachment["color"] == "#c76a00"
    section, actions, context = attachment["blocks"]
    assert section["text"] == {"type": "mrkdwn", "text": "Pressure fell at 12:00.", "verbatim": True}
    assert actions["elements"][0]["url"] == "https://shop.example.com/pumps/3/"
    assert context["elements"][0]["text"] == "shop.example.com"
    assert payload["text"] == "Pump 3 has stopped\nPressure fell at 12:00."


def test_a_message_without_text_and_link_has_only_a_title(channel):
    assert "attachments" not in channel.build_payload(make_content(text="", url="", sender=""))


@pytest.mark.parametrize("text", ["<!channel> & <@U1>", "<https://evil.example|bank>", "&lt;!here&gt;"])
def test_nobody_is_mentioned_and_no_link_hides_its_target(text):
    written = write_mrkdwn(text)
    assert "<!" not in written
    assert "<@" not in written
    assert "|bank>" not in written.replace("|bank&gt;", "")


def test_urls_are_links():
    assert write_mrkdwn("See https://a.example/?a=1&b=2.") == "See <https://a.example/?a=1&amp;b=2>."


@pytest.mark.parametrize(
    "text", ["&" * 9000, "👩🏽‍🚒" * 4000, " ".join(["https://a.example/?a&b"] * 200), "x" * 300_000]
)
def test_long_texts_fit(channel, service, text):
    assert post(channel, "ops", text=text, subject=text[:400], action_url="https://a.example/?a&b").error == ""
    [attachment] = body_of(service)["attachments"]
    assert attachment["blocks"][1]["elements"][0]["url"] == "https://a.example/?a&b"
    assert attachment["blocks"][0]["text"]["text"].endswith("…")


@pytest.mark.parametrize(
    ("answer", "verdict", "blames", "code"),
    [
        (Answer(200, "ok"), V.ACCEPTED, B.PROVIDER, ""),
        (Answer(200, {"ok": True}), V.ACCEPTED, B.PROVIDER, ""),
        (Answer(200, "[1]"), V.ACCEPTED, B.PROVIDER, ""),
        (Answer(200, {"ok": False, "error": "channel_not_found"}), V.PERMANENT, B.RECIPIENT, "200 channel_not_found"),
        (Answer(200, {"ok": False, "error": "msg_too_long"}), V.PERMANENT, B.MESSAGE, "200 msg_too_long"),
        (Answer(200, {"ok": False, "error": {"a": 1}}), V.PERMANENT, B.MESSAGE, "200 unknown_error"),
        (Answer(200, {"ok": False, "error": "ratelimited"}), V.TEMPORARY, B.RECIPIENT, "200 ratelimited"),
        (Answer(400, "invalid_payload"), V.PERMANENT, B.MESSAGE, "400 invalid_payload"),
        (Answer(400, "invalid_token"), V.PERMANENT, B.RECIPIENT, "400 invalid_token"),
        (Answer(403, "action_prohibited"), V.PERMANENT, B.RECIPIENT, "403 action_prohibited"),
        (Answer(404, "no_service"), V.PERMANENT, B.RECIPIENT, "404 no_service"),
        (Answer(410, "channel_is_archived"), V.PERMANENT, B.RECIPIENT, "410 channel_is_archived"),
        (Answer(429, "rate_limited", {"Retry-After": "30"}), V.TEMPORARY, B.RECIPIENT, "429 rate_limited"),
        (Answer(500, "rollup_error"), V.UNKNOWN, B.PROVIDER, "500 rollup_error"),
        (Answer(502, "<html>Bad Gateway</html>"), V.UNKNOWN, B.PROVIDER, "502"),
    ],
    ids=lambda value: str(value.body)[:40] if isinstance(value, Answer) else "",
)  # fmt: skip
def test_answers(channel, service, answer, verdict, blames, code):
    service.answers = [answer]
    receipt = post(channel, "ops")
    assert (receipt.verdict, receipt.blames, receipt.code) == (verdict, blames, code)
    assert receipt.retry_after == (30 if answer.headers else None)


def test_each_priority_has_its_color(channel):
    payloads = [channel.build_payload(make_content(priority=priority)) for priority in NotificationPriority]
    assert len({payload["attachments"][0]["color"] for payload in payloads}) == 4
