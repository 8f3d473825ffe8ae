"""SMS by a gateway that the options describe."""

import pytest

from notifications.channels.base import Rendered
from notifications.channels.json_paths import find_value
from notifications.channels.sms_gateway import REFERENCE_PURPOSE, SMSGatewayChannel
from notifications.core.tokens import read_token
from notifications.models import Delivery, Notification
from notifications.outcomes import Blame, Verdict
from notifications.testing.contract import ProviderContract
from tests.channels.http_services import Answer, http_service

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]
SECRET = "placeholder-of-a-key"
BODY = {"messages": [{"to": "{to}", "text": "{text}", "ref": "{reference}"}], "type": 1}
OPTIONS = {"body": BODY, "headers": {"Authorization": f"Bearer {SECRET}"}, "id_path": "messages.0.id"}


@pytest.fixture(scope="module")
def running():
    with http_service(Answer(200, {"messages": [{"id": "m-1"}]})) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


def deliver(service, text="Some text.", path="/sms", **options):
    channel = SMSGatewayChannel(url=service.url + path, timeout=2, **{**OPTIONS, **options})
    delivery = Delivery(pk=5, epoch=1, channel="sms", address="+4915112345678", notification=Notification(pk=3))
    [receipt] = channel.send([channel.prepare(delivery, Rendered({"txt": text}, "en"))])
    channel.close()
    return receipt


def test_a_message_is_the_template_with_its_values(service):
    receipt = deliver(service, '{to} {x} "quoted" 日\n')
    assert (receipt.verdict, receipt.provider_message_id) == (Verdict.ACCEPTED, "m-1")
    [received] = service.received
    [message] = received.json["messages"]
    assert (received.method, received.json["type"]) == ("POST", 1)
    assert (message["to"], message["text"]) == ("+4915112345678", '{to} {x} "quoted" 日')
    assert read_token(REFERENCE_PURPOSE, message["ref"], 1) == (5,)
    assert received.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(("method", "path"), [("POST", "/sms"), ("PUT", "/sms"), ("GET", "/sms?key=1")])
def test_a_message_can_be_a_form(method, path, service):
    body = {"to": "{digits}", "text": "{text}", "tags": ["a b", "+"]}
    assert deliver(service, "1 + 1 & ü", path, body=body, format="form", method=method).verdict is Verdict.ACCEPTED
    [received] = service.received
    written = "to=4915112345678&text=1+%2B+1+%26+%C3%BC&tags=a+b&tags=%2B"
    assert received.method == method
    if method == "GET":
        assert (received.path, received.body) == (f"/sms?key=1&{written}", b"")
    else:
        assert received.body.decode() == written
        assert received.headers["Content-Type"].startswith("application/x-www-form-urlencoded")


def test_a_gateway_with_an_idempotency_key_gets_it_and_is_asked_again(service):
    service.answers = [Answer(500), Answer(500)]
    assert deliver(service, idempotency_header="X-Idempotency").verdict is Verdict.TEMPORARY
    assert service.received[0].headers["X-Idempotency"] == "5-1"
    assert deliver(service).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "verdict", "blames", "error"),
    [
        (Answer(200, {"error": {"code": "0"}}), Verdict.ACCEPTED, Blame.PROVIDER, ""),
        (Answer(200, {"error": {"code": 4}}), Verdict.PERMANENT, Blame.MESSAGE, "200: 4"),
        (Answer(400, {"error": {"code": "BAD_NUMBER"}}), Verdict.PERMANENT, Blame.RECIPIENT, "400: BAD_NUMBER"),
        (Answer(401, {"error": {"code": f"no {SECRET}"}}), Verdict.CONFIGURATION, Blame.PROVIDER, "401: no ***"),
        (Answer(429, {"error": {}}), Verdict.TEMPORARY, Blame.PROVIDER, '429 Too Many Requests: {"error": {}}'),
        (Answer(206, "odd"), Verdict.PERMANENT, Blame.MESSAGE, "206 Partial Content: odd"),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else None,
)
def test_an_answer_decides(answer, verdict, blames, error, service):
    service.answers = [answer]
    receipt = deliver(service, error_path="error.code", recipient_errors=["BAD_NUMBER"])
    assert (receipt.verdict, receipt.blames, receipt.error) == (verdict, blames, error)


def test_no_error_shows_a_secret(service):
    secrets = ["in-the-path-1", "in-the-query-1", "in-the-body-1", SECRET]
    service.answers = [Answer(400, " ".join(secrets))]
    body = {**BODY, "password": "in-the-body-1"}
    error = deliver(service, path="/in-the-path-1?key=in-the-query-1", body=body).error
    assert error == "400 Bad Request: *** *** *** ***"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": ""}, "'url' must be the URL"),
        ({"method": "DELETE"}, "'method' must be"),
        ({"format": "xml"}, "'format' must be"),
        ({"body": "to={to}"}, "'body' must be a dict"),
        ({"body": {"to": "{to}", "text": "{text.__class__}"}}, "must contain {text}"),
        ({"body": {"to": "{to}", "text": "{text} {phone}"}}, r"contains {phone}. The placeholders are {to}, "),
        ({"body": {"to": "{to}"}}, "must contain {text}"),
        ({"body": {"to": {"a": "{to}"}, "text": "{text}"}, "format": "form"}, "cannot contain a dict"),
        ({"format": "form"}, "cannot contain a dict"),
        ({"max_segments": 11}, "'max_segments'"),
        ({"callback": {"status": "a"}}, "must contain a 'secret'"),
        ({"callback": {"secret": "x", "stat": "a"}}, "unknown key 'stat'. Did you mean 'status'"),
        ({"callback": {"secret": "x", "status": "a"}}, "path of the 'id'"),
        ({"callback": {"secret": "x", "delivered": "DELIVRD"}}, "'delivered' of the option 'callback' must be a list"),
        ({"callback": {"secret": "x", "status": "a", "id": "b", "wrong_number": ["X"]}}, "requires the path"),
        ({"callback": {"secret": "x", "text": "a"}}, "both 'text' and 'sender'"),
    ],
)
def test_a_wrong_option_is_refused(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        SMSGatewayChannel(**{"url": "http://127.0.0.1:1/", **OPTIONS, **options})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.0.b", 1), ("a.1.b", None), ("a.-1.b", None), ("a.b", None), ("a.²", None), ("", None), ("x.y", None)],
)
def test_a_path_leads_to_a_value_or_to_none(path, value):
    assert find_value({"a": [{"b": 1}]}, path) == value


class TestContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with http_service(Answer(200, {"messages": [{"id": "m-1"}]})) as self.service:
            yield

    def make_channel(self):
        return SMSGatewayChannel(url=self.service.url, timeout=2, **OPTIONS)

    def break_provider(self, channel):
        channel.close()
        self.service.stop()
