"""SMS and calls by Twilio: requests, the meaning of its errors, and secrets."""

import time
from base64 import b64decode
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from django.utils import translation

from notifications.channels.base import Rendered
from notifications.channels.twilio import ERRORS, KEY_PURPOSE, STATUS_PURPOSE
from notifications.channels.twilio_sms import TwilioSMSChannel
from notifications.channels.twilio_voice import SPOKEN, TwilioVoiceChannel
from notifications.core.tokens import read_token
from notifications.models import Delivery, Notification
from notifications.outcomes import Blame, Suppress, Verdict
from notifications.testing.contract import ProviderContract
from tests.channels.http_services import Answer, http_service

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]
TOKEN, SECRET = "placeholder-of-a-token", "placeholder-of-a-secret"
ACCOUNT = {"account_sid": "AC0000000000000000000000000000000a", "auth_token": TOKEN, "sender": "+15005550006"}
PHONE = "+4915112345678"


@pytest.fixture(scope="module")
def running():
    with http_service(Answer(201, {"sid": "SM1", "status": "queued"})) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def make(service):
    made = []

    def make_channel(kind=TwilioSMSChannel, **options):
        made.append(kind(**{**ACCOUNT, "api_url": service.url, "timeout": 2, **options}))
        return made[-1]

    yield make_channel
    for channel in made:
        channel.close()


def deliver(channel, text="Some text.", recipient_id=7, language="en"):
    delivery = Delivery(pk=5, channel="sms", recipient_id=recipient_id, address=PHONE, notification=Notification(pk=3))
    with translation.override(language):
        message = channel.prepare(delivery, Rendered({"txt": text}, language))
    assert TOKEN not in repr(message)
    [receipt] = channel.send([message])
    return receipt


def test_a_message_is_a_form(make, service):
    receipt = deliver(make(), "50 % + 3 & more:\nü €")
    assert (receipt.verdict, receipt.provider, receipt.provider_message_id) == (Verdict.ACCEPTED, "Twilio", "SM1")
    [received] = service.received
    assert received.path == f"/2010-04-01/Accounts/{ACCOUNT['account_sid']}/Messages.json"
    assert received.form == {"To": PHONE, "From": "+15005550006", "Body": "50 % + 3 & more:\nü €"}
    assert b"To=%2B4915112345678" in received.body
    kind, credentials = received.headers["Authorization"].split()
    assert (kind, b64decode(credentials).decode()) == ("Basic", f"{ACCOUNT['account_sid']}:{TOKEN}")


def test_an_api_key_and_a_messaging_service_can_be_used(make, service):
    deliver(make(auth_token="", api_key="SK1", api_secret=SECRET, sender="", messaging_service="MG1"))
    [received] = service.received
    assert b64decode(received.headers["Authorization"].split()[1]).decode() == f"SK1:{SECRET}"
    assert received.form["MessagingServiceSid"] == "MG1"
    assert "From" not in received.form


def test_the_address_for_callbacks_names_the_delivery_by_a_token(make, service):
    deliver(make(callbacks=True))
    url = urlsplit(service.received[0].form["StatusCallback"])
    assert (url.scheme, url.netloc) == ("https", "shop.example.com")
    assert read_token(STATUS_PURPOSE, url.path.split("/")[-2], 1) == (5,)


def test_a_site_without_an_address_or_urls_asks_for_no_callbacks(make, service, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BASE_URL": ""}
    deliver(make(callbacks=True))
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "BASE_URL": "https://shop.example.com"}
    settings.ROOT_URLCONF = "tests.tracking.no_urls"
    deliver(make(callbacks=True))
    assert all("StatusCallback" not in received.form for received in service.received)


@pytest.mark.parametrize(
    ("code", "status", "verdict", "blames", "suppress"),
    [
        (21211, 400, Verdict.PERMANENT, Blame.RECIPIENT, Suppress.NOW),
        (21614, 400, Verdict.PERMANENT, Blame.RECIPIENT, Suppress.NO),
        (21610, 400, Verdict.PERMANENT, Blame.RECIPIENT, Suppress.STOPPED),
        (20003, 401, Verdict.CONFIGURATION, Blame.PROVIDER, Suppress.NO),
        (21408, 403, Verdict.CONFIGURATION, Blame.MESSAGE, Suppress.NO),
        (21606, 400, Verdict.CONFIGURATION, Blame.PROVIDER, Suppress.NO),
        (21212, 400, Verdict.CONFIGURATION, Blame.PROVIDER, Suppress.NO),
        (20429, 429, Verdict.TEMPORARY, Blame.PROVIDER, Suppress.NO),
        (14107, 429, Verdict.TEMPORARY, Blame.PROVIDER, Suppress.NO),
        (30001, 400, Verdict.TEMPORARY, Blame.PROVIDER, Suppress.NO),
        (99999, 400, Verdict.PERMANENT, Blame.MESSAGE, Suppress.NO),
        (99999, 500, Verdict.UNKNOWN, Blame.PROVIDER, Suppress.NO),
    ],
)
def test_an_error_code_decides(code, status, verdict, blames, suppress, make, service):
    body = {"code": code, "message": f"The token {TOKEN} is\nwrong.", "status": status}
    service.answers = [Answer(status, body, {"Retry-After": "9"})]
    receipt = deliver(make())
    assert (receipt.verdict, receipt.blames, receipt.suppress) == (verdict, blames, suppress)
    assert (receipt.code, receipt.error) == (str(code), f"{code}: The token *** is wrong.")
    assert receipt.retry_after == (9 if verdict is Verdict.TEMPORARY else None)


def test_an_answer_without_a_code_is_judged_by_its_status(make, service):
    credentials = make()._credentials
    for body in (b"<html>", [1], {"code": "x"}, f"Basic {credentials} {TOKEN}"):
        service.answers = [Answer(503, body)]
        receipt = deliver(make())
        assert receipt.verdict is Verdict.TEMPORARY
        assert credentials not in receipt.error
        assert TOKEN not in receipt.error


def test_a_connection_that_the_service_has_closed_meanwhile_is_opened_again(make, service):
    channel = make()
    for _ in range(2):
        # The service closes the connection a moment after its answer, without having announced it.
        service.answers = [Answer(201, {"sid": "SM1"}, way="answer_then_close")]
        assert deliver(channel).verdict is Verdict.ACCEPTED
        time.sleep(0.1)
    assert len(service.received) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"account_sid": "x"}, "begins with AC"),
        ({"auth_token": ""}, "Set the option 'auth_token'"),
        ({"api_key": "SK1"}, "both 'api_key' and 'api_secret'"),
        ({"auth_token": "", "api_key": "SK1", "api_secret": SECRET, "callbacks": True}, "requires 'auth_token'"),
        ({"sender": ""}, "either the option 'sender' or the option 'messaging_service'"),
        ({"messaging_service": "MG1"}, "either the option 'sender' or the option 'messaging_service'"),
        ({"max_segments": 0}, "from 1 to 10"),
        ({"max_segments": True}, "from 1 to 10"),
        ({"api_url": "api.twilio.com"}, "must be a URL"),
        ({"timeout": 0}, "above 0"),
    ],
)
def test_a_wrong_option_is_refused(options, words, make):
    with pytest.raises(ValueError, match=words) as caught:
        make(**options)
    assert SECRET not in str(caught.value)


def test_a_text_is_cut_and_cleaned(make, service):
    deliver(make(max_segments=1, transliterate=True), "“" + "a" * 200 + "\x00” https://x.example/1")
    assert service.received[0].form["Body"] == '"' + "a" * 136 + "... https://x.example/1"
    with pytest.raises(ValueError, match="The text of the SMS is empty"):
        deliver(make(), " \x00\n")


class TestCalls:
    def call(self, make, service, text="Water < 5 % & rising\x0b", language="en", recipient_id=7, **options):
        assert deliver(make(TwilioVoiceChannel, **options), text, recipient_id, language).verdict is Verdict.ACCEPTED
        form = service.received[-1].form
        assert len(form["Twiml"]) <= 4000
        return form, ElementTree.fromstring(form["Twiml"])  # noqa: S314 - the channel has written it

    def test_the_text_is_read_twice(self, make, service):
        form, twiml = self.call(make, service)
        assert (form["To"], form["From"]) == (PHONE, "+15005550006")
        assert service.received[0].path.endswith("/Calls.json")
        [said] = twiml
        assert (said.tag, said.text, said.attrib) == ("Say", "Water < 5 % & rising", {"language": "en-US", "loop": "2"})

    def test_a_key_acknowledges_if_twilio_can_report_it(self, make, service):
        form, twiml = self.call(make, service, callbacks=True, language="de", voice="Polly.Vicki")
        assert "StatusCallback" in form
        [gathered] = twiml
        url = urlsplit(gathered.attrib["action"])
        assert (gathered.tag, gathered.attrib["numDigits"]) == ("Gather", "1")
        assert read_token(KEY_PURPOSE, url.path.split("/")[-2], 1) == (5,)
        assert parse_qs(url.query) == {"language": ["de"], "spoken": ["de-DE"], "voice": ["Polly.Vicki"]}
        assert gathered[0].attrib["language"] == "de-DE"

    def test_nobody_without_an_account_is_asked_for_a_key(self, make, service):
        form, twiml = self.call(make, service, callbacks=True, recipient_id=None)
        assert "StatusCallback" in form
        assert [said.tag for said in twiml] == ["Say"]

    @pytest.mark.parametrize("text", ["<&>" * 3000, "word & word " * 900, "👨‍👩‍👧‍👦" * 900])
    def test_a_long_text_is_cut(self, text, make, service):
        form, twiml = self.call(make, service, text=text, callbacks=True)
        said = twiml[0][0].text
        assert len(form["Twiml"]) > 3950
        assert said.endswith("… Press 1 to acknowledge this message.")
        kept = said.partition("…")[0]
        assert text.startswith(kept)
        if " " in text:
            assert text[len(kept)] == " ", "no part of a word is read"

    def test_links_are_not_read(self, make, service):
        _form, twiml = self.call(make, service, text="The pump stopped. https://x.example/1?a=b See it.")
        assert twiml[0].text == "The pump stopped. See it."
        _form, twiml = self.call(
            make, service, text="It is shown here:\nhttps://x.example/1\nGoodbye: https://x.example"
        )
        assert twiml[0].text == "It is shown here. Goodbye."
        with pytest.raises(ValueError, match="Links are not read"):
            deliver(make(TwilioVoiceChannel), "https://x.example/1")

    @pytest.mark.parametrize(
        ("code", "spoken"), [("pt-br", "pt-BR"), ("de-at", "de-DE"), ("ar", None), ("", None), ("eo", "it-IT")]
    )
    def test_the_voice_speaks_the_language_of_the_text(self, code, spoken, make, service):
        _form, twiml = self.call(make, service, language=code or "en", languages={"EO": "it-IT"})
        if code:
            assert twiml[0].attrib.get("language") == spoken
        assert set(map(str.lower, SPOKEN)) == set(SPOKEN)

    @pytest.mark.parametrize("options", [{"sender": ""}, {"repeat": 0}, {"repeat": "2"}])
    def test_a_wrong_option_is_refused(self, options, make):
        with pytest.raises(ValueError, match=f"'{next(iter(options))}'"):
            make(TwilioVoiceChannel, **options)


def test_every_error_is_about_the_recipient_the_account_or_the_time():
    for code, meaning in ERRORS.items():
        assert meaning.verdict in (Verdict.PERMANENT, Verdict.CONFIGURATION, Verdict.TEMPORARY), code
        assert (meaning.suppress is Suppress.NO) or meaning.blames is Blame.RECIPIENT, code


class TwilioContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with http_service(Answer(201, {"sid": "SM1"})) as self.service:
            yield

    def break_provider(self, channel):
        channel.close()
        self.service.stop()


class TestSMS(TwilioContract):
    def make_channel(self):
        return TwilioSMSChannel(**ACCOUNT, api_url=self.service.url, timeout=2, callbacks=True)


class TestVoice(TwilioContract):
    def make_channel(self):
        return TwilioVoiceChannel(**ACCOUNT, api_url=self.service.url, timeout=2, callbacks=True)
