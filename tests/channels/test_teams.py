"""The Microsoft Teams channel."""

import pytest

from notifications.channels.teams import TeamsChannel
from notifications.outcomes import Blame, Verdict
from notifications.testing.contract import ProviderContract
from tests.channels.chat_services import (
    RUN_ID,
    TEAMS_PATH,
    answer_as_teams,
    body_of,
    chat_service,
    make_content,
    post,
)
from tests.channels.http_services import Answer

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]


@pytest.fixture(scope="module")
def running():
    with chat_service(answer_as_teams) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def channel(service):
    channel = TeamsChannel(urls={"ops": service.url + TEAMS_PATH}, timeout=0.5)
    yield channel
    channel.close()


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with chat_service(answer_as_teams) as self.service:
            yield

    def make_channel(self):
        return TeamsChannel(hosts=[self.service.url], timeout=1)

    def address(self, number):
        return f"{self.service.url}/workflows/{number}/triggers/manual/paths/invoke?sig=x"

    def break_provider(self, channel):
        channel.close()
        self.service.stop()


def card_of(payload):
    return payload["attachments"][0]["content"]


def test_a_message_is_a_card_with_a_style_and_a_button(channel):
    card = card_of(channel.build_payload(make_content(text="First.\nSecond: https://a.example/x.\n\nThird.")))
    head, first, second, third, sender = card["body"]
    assert head["style"] == "warning"
    assert head["items"][0]["inlines"][0]["text"] == "Pump 3 has stopped"
    assert first["inlines"] == [{"type": "TextRun", "text": "First."}]
    link = {"type": "TextRun", "text": "https://a.example/x"}
    assert second["inlines"][1] == {**link, "selectAction": {"type": "Action.OpenUrl", "url": "https://a.example/x"}}
    assert [second.get("spacing"), third.get("spacing")] == ["None", None]
    assert sender["inlines"][0]["text"] == "shop.example.com"
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open", "url": "https://shop.example.com/pumps/3/"}]


def test_a_text_is_shown_as_it_is(channel):
    text = "**x** [bank](https://evil.example) <at>all</at> _y_"
    card = card_of(channel.build_payload(make_content(text=text)))
    runs = card["body"][1]["inlines"]
    assert "".join(run["text"] for run in runs) == text
    assert {element["type"] for element in card["body"]} == {"Container", "RichTextBlock"}


@pytest.mark.parametrize(
    "text", ["x\n" * 20_000, "👩🏽‍🚒" * 9000, "\n".join(["https://a.example/a_b"] * 300), "x" * 300_000]
)
def test_long_texts_fit(channel, service, text):
    receipt = post(channel, "ops", text=text, subject=text[:400], action_url="https://a.example/x")
    assert (receipt.error, receipt.provider_message_id) == ("", RUN_ID)
    card = card_of(body_of(service))
    assert card["actions"][0]["url"] == "https://a.example/x"
    assert len(service.received[0].body) > 20_000


@pytest.mark.parametrize(
    ("answer", "verdict", "blames"),
    [
        (Answer(200), Verdict.ACCEPTED, Blame.PROVIDER),
        (Answer(400, {"error": {"code": "WorkflowTriggerIsNotEnabled"}}), Verdict.PERMANENT, Blame.RECIPIENT),
        (Answer(400, {"error": {"code": "InvalidTemplate"}}), Verdict.PERMANENT, Blame.MESSAGE),
        (Answer(400, {"error": "x"}), Verdict.PERMANENT, Blame.MESSAGE),
        (Answer(401, {"error": {"code": "DirectApiAuthorizationRequired"}}), Verdict.PERMANENT, Blame.RECIPIENT),
        (Answer(404, {"error": {"code": "WorkflowNotFound"}}), Verdict.PERMANENT, Blame.RECIPIENT),
        (Answer(413), Verdict.PERMANENT, Blame.MESSAGE),
        (Answer(429, b"", {"Retry-After": "5"}), Verdict.TEMPORARY, Blame.RECIPIENT),
        (Answer(502), Verdict.UNKNOWN, Blame.PROVIDER),
    ],
    ids=lambda value: f"{value.status}{value.body}"[:40] if isinstance(value, Answer) else "",
)
def test_answers(channel, service, answer, verdict, blames):
    service.answers = [answer]
    receipt = post(channel, "ops")
    assert (receipt.verdict, receipt.blames) == (verdict, blames)
    assert receipt.retry_after == (5 if answer.headers else None)
