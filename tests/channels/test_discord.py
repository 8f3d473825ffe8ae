"""The Discord channel."""

import pytest

from notifications.channels.discord import DiscordChannel, write_markdown
from notifications.outcomes import Blame as B
from notifications.outcomes import Verdict as V
from notifications.testing.contract import ProviderContract
from tests.channels.chat_services import (
    DISCORD_PATH,
    answer_as_discord,
    body_of,
    chat_service,
    make_content,
    post,
)
from tests.channels.http_services import Answer

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]


@pytest.fixture(scope="module")
def running():
    with chat_service(answer_as_discord) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def channel(service):
    channel = DiscordChannel(urls={"ops": service.url + DISCORD_PATH}, timeout=0.5)
    yield channel
    channel.close()


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with chat_service(answer_as_discord) as self.service:
            yield

    def make_channel(self):
        return DiscordChannel(hosts=[self.service.url], timeout=1)

    def address(self, number):
        return f"{self.service.url}/api/webhooks/{number}/x"

    def break_provider(self, channel):
        channel.close()
        self.service.stop()


def test_a_message_is_an_embed_with_a_color_and_a_button(channel):
    payload = channel.build_payload(make_content())
    [embed] = payload["embeds"]
    assert embed == {
        "title": "Pump 3 has stopped",
        "color": 0xC76A00,
        "timestamp": "2026-03-29T12:00:00+00:00",
        "description": "Pressure fell at 12:00.",
        "footer": {"text": "shop.example.com"},
        "url": "https://shop.example.com/pumps/3/",
    }
    [row] = payload["components"]
    assert row["components"][0]["label"] == "Open"
    assert payload["allowed_mentions"] == {"parse": []}


def test_a_long_link_is_kept_as_that_of_the_title(channel):
    url = "https://shop.example.com/" + "x" * 600
    payload = channel.build_payload(make_content(url=url))
    assert payload["embeds"][0]["url"] == url
    assert "components" not in payload


@pytest.mark.parametrize(
    "text", ["@everyone <@1> <@&2>", "[bank](https://evil.example)", "# *x* _y_ ~~z~~ `q` ||s|| > - a"]
)
def test_a_text_is_shown_as_it_is(text):
    written = write_markdown(text)
    for mark in "\\*_~`|<>[]#@":
        assert written.count(mark) == text.count(mark) or mark == "\\"
        assert all(
            written[at - 1] == "\\" for at, letter in enumerate(written) if letter == mark and mark != "\\" and at
        )
    assert write_markdown("https://a.example/a_b*c_d") == "https://a.example/a_b*c_d"


def test_the_version_of_the_api_the_thread_and_the_answer_are_asked_for(channel):
    payload = {"components": []}
    url = "https://discord.com/api/v6/webhooks/1/x?thread_id=9&wait=false&evil=1"
    assert channel.complete_url(url, payload) == (
        "https://discord.com/api/v10/webhooks/1/x?thread_id=9&wait=true&with_components=true"
    )


@pytest.mark.parametrize("text", ["*" * 9000, "👩🏽‍🚒" * 4000, " ".join(["https://a.example/a_b"] * 300)])
def test_long_texts_fit(channel, service, text):
    receipt = post(channel, "ops", text=text, subject=text[:400], action_url="https://a.example/x")
    assert (receipt.error, receipt.provider_message_id) == ("", "1234567890")
    [embed] = body_of(service)["embeds"]
    assert embed["url"] == "https://a.example/x"
    assert embed["description"].endswith("…")


@pytest.mark.parametrize(
    ("answer", "verdict", "blames", "code", "wait"),
    [
        (Answer(204), V.ACCEPTED, B.PROVIDER, "", None),
        (Answer(200, [1]), V.ACCEPTED, B.PROVIDER, "", None),
        (Answer(200, {"id": 5}), V.ACCEPTED, B.PROVIDER, "", None),
        (Answer(404, {"message": "Unknown Webhook", "code": 10015}), V.PERMANENT, B.RECIPIENT, "404 10015", None),
        (Answer(401, {"message": "Invalid Webhook Token", "code": 50027}), V.PERMANENT, B.RECIPIENT, "401 50027", None),
        (Answer(400, {"code": 220001}), V.PERMANENT, B.RECIPIENT, "400 220001", None),
        (Answer(400, {"code": 50035, "errors": {}}), V.PERMANENT, B.MESSAGE, "400 50035", None),
        (Answer(400, {"code": True}), V.PERMANENT, B.MESSAGE, "400", None),
        (Answer(429, {"retry_after": 0.6, "global": False}, {"Retry-After": "9"}),
         V.TEMPORARY, B.RECIPIENT, "429", 0.6),
        (Answer(429, {"retry_after": 2, "global": True}), V.TEMPORARY, B.PROVIDER, "429", 2),
        (Answer(429, {"retry_after": "soon"}, {"Retry-After": "3"}), V.TEMPORARY, B.RECIPIENT, "429", 3),
        (Answer(429, '{"retry_after": Infinity}', {"Retry-After": "3"}), V.TEMPORARY, B.RECIPIENT, "429", 3),
        (Answer(429, "error code: 1015", {"Retry-After": "60"}), V.TEMPORARY, B.PROVIDER, "429", 60),
        (Answer(400, '{"a":' * 30_000), V.PERMANENT, B.MESSAGE, "400", None),
    ],
    ids=lambda value: str(value.body)[:40] if isinstance(value, Answer) else "",
)  # fmt: skip
def test_answers(channel, service, answer, verdict, blames, code, wait):
    service.answers = [answer]
    receipt = post(channel, "ops")
    assert (receipt.verdict, receipt.blames, receipt.code, receipt.retry_after) == (verdict, blames, code, wait)
