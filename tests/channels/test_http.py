"""Requests with a total deadline and a limit, and channels whose provider has an HTTP API."""

import contextlib
import gzip
import logging
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from notifications.channels.http import HTTPChannel, HTTPMessage
from notifications.channels.http_client import Failure, HTTPClient, HTTPFailure, HTTPRequest
from notifications.outcomes import Blame, Verdict
from notifications.testing.contract import ProviderContract
from tests.channels.http_services import Answer, http_service

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]
SECRET = "T0ken-in-the-path"


@pytest.fixture(scope="module")
def running():
    with http_service() as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def client():
    client = HTTPClient(timeout=0.5, limit=1000)
    yield client
    client.close()


def request(service, **values):
    return HTTPRequest(f"{service.url}/{SECRET}", b"{}", **values)


def fail(client, service):
    began = time.monotonic()
    with pytest.raises(HTTPFailure) as caught:
        client.send(request(service))
    assert SECRET not in str(caught.value)
    return caught.value.kind, time.monotonic() - began


def test_an_answer_is_read(client, service):
    service.answers = [Answer(201, {"id": "a1"}, {"X-Id": "7"})]
    response = client.send(request(service, headers={"X-Key": "k"}))
    assert (response.status, response.json(), response.headers["x-id"]) == (201, {"id": "a1"}, "7")
    assert response.is_complete
    assert service.received[0].body == b"{}"
    assert service.received[0].headers["X-Key"] == "k"


def test_credentials_in_the_url_are_sent_and_those_of_a_netrc_file_are_not(client, service, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    url = service.url.replace("//", "//shop:p%40ss@")
    for sent in (HTTPRequest(url), HTTPRequest(url, headers={"Authorization": "Bearer own"}), request(service)):
        client.send(sent)
    given = [received.headers["Authorization"] for received in service.received]
    assert given == ["Basic c2hvcDpwQHNz", "Bearer own", None]


def test_connections_are_kept(client, service):
    service.answers = [Answer(200, b"x" * 100), Answer(200, b"x" * 5000), Answer(200, b"ok")]
    assert client.send(request(service)).is_complete
    assert not client.send(request(service)).is_complete
    assert client.send(request(service)).body == b"ok"


@pytest.mark.parametrize("way", ["silence", "drip"])
def test_a_server_that_is_too_slow_is_left_at_the_deadline(client, service, way):
    service.answers = [Answer(way=way)]
    kind, seconds = fail(client, service)
    assert kind is Failure.SILENCE
    assert seconds < 2


def test_the_search_for_the_address_of_the_host_ends_at_the_deadline(client, service, monkeypatch):
    find, stopped = socket.getaddrinfo, threading.Event()

    def wait(*args, **kwargs):
        stopped.wait(3)
        return find(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    began = time.monotonic()
    try:
        with pytest.raises(HTTPFailure, match="its address was not found in time") as caught:
            client.send(HTTPRequest(f"http://localhost:{service.port}/"))
    finally:
        stopped.set()
    assert caught.value.kind is Failure.UNREACHABLE
    assert time.monotonic() - began < 2
    assert service.received == []


def test_tls_may_take_the_time_that_is_left():
    """For more than half of the time, this server does not answer the first message of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "loopback.pem")

    def answer():
        connection, _address = listener.accept()
        time.sleep(2.5)
        with connection, contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(HTTPFailure, match="certificate verify failed|CERTIFICATE_VERIFY_FAILED"):
            HTTPClient(timeout=4).send(HTTPRequest(f"https://127.0.0.1:{listener.getsockname()[1]}/"))
        thread.join()


def test_an_interim_answer_is_not_the_answer(client, service):
    service.answers = [Answer(200, b"first", way="interim"), Answer(200, b"second")]
    assert [client.send(request(service)).body for _ in range(2)] == [b"first", b"second"]


def test_a_server_that_closes_the_connection_may_have_the_request(client, service):
    service.answers = [Answer(way="close")]
    assert fail(client, service)[0] is Failure.LOST


def test_a_server_that_does_not_speak_http_is_named(client, service):
    service.answers = [Answer(way="banner"), Answer(200, b"", {"Content-Length": "7"}), Answer(way="close")]
    for text in ("What 127.0.0.1 answered is not valid HTTP", "is not valid HTTP", "closed the connection without"):
        with pytest.raises(HTTPFailure, match=text) as caught:
            client.send(request(service))
        assert caught.value.kind is Failure.LOST


def test_a_status_counts_even_if_the_body_is_cut(client, service):
    service.answers = [Answer(200, b"abc", way="cut")]
    response = client.send(request(service))
    assert (response.status, response.is_complete) == (200, False)


def test_an_endless_body_is_cut_at_the_limit(client, service):
    service.answers = [Answer(way="endless")]
    response = client.send(request(service))
    assert (len(response.body), response.is_complete) == (1000, False)


def test_a_compressed_body_is_not_decompressed(client, service):
    bomb = gzip.compress(b"0" * 500_000)
    service.answers = [Answer(200, bomb, {"Content-Encoding": "gzip"})]
    response = client.send(request(service))
    assert response.body == bomb[:1000]


def test_a_redirect_is_neither_followed_nor_read(client, service):
    bomb = gzip.compress(b"0" * 5_000_000)
    service.answers = [Answer(302, bomb, {"Location": f"{service.url}/other", "Content-Encoding": "gzip"})]
    assert client.send(request(service)).status == 302
    assert len(service.received) == 1


def test_cookies_are_not_kept(client, service):
    service.answers = [Answer(200, b"", {"Set-Cookie": "a=b; Path=/"})]
    client.send(request(service))
    client.send(request(service))
    assert "Cookie" not in service.received[1].headers


def test_nothing_was_handed_over_if_there_is_no_connection(client):
    with http_service() as gone:
        gone.stop()
        assert fail(client, gone)[0] is Failure.UNREACHABLE
    with pytest.raises(HTTPFailure, match="There is no connection to nowhere.invalid: "):
        client.send(HTTPRequest("http://nowhere.invalid/x"))


@pytest.mark.parametrize(
    "broken",
    [
        HTTPRequest("nonsense"),
        HTTPRequest("http://"),
        HTTPRequest("http://[::1/"),
        HTTPRequest("http://127.0.0.1:1/", headers={"X": "a\nb"}),
    ],
    ids=["no scheme", "no host", "open bracket", "two lines"],
)
def test_an_invalid_request_is_not_sent(client, broken):
    with pytest.raises(HTTPFailure) as caught:
        client.send(broken)
    assert caught.value.kind is Failure.INVALID


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://:PASSWORD@", "127.0.0.1:port", "ftp://127.0.0.1"])
def test_no_message_is_to_blame_for_the_proxy_of_the_environment(client, service, monkeypatch, proxy):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(HTTPFailure, match="HTTPS_PROXY, HTTP_PROXY or ALL_PROXY") as caught:
        client.send(HTTPRequest("http://service.invalid/"))
    assert caught.value.kind is Failure.UNREACHABLE
    assert "PASSWORD" not in str(caught.value)
    own = HTTPClient(timeout=0.5, trust_env=False)
    assert own.send(request(service)).status == 200
    own.close()


def test_headers_that_http_cannot_carry_are_invalid(client, service):
    with pytest.raises(HTTPFailure) as caught:
        client.send(request(service, headers={"X": "日"}))
    assert caught.value.kind is Failure.INVALID


def test_a_certificate_that_is_not_trusted_hands_nothing_over(client):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "loopback.pem")
    with http_service(tls=context) as service, pytest.raises(HTTPFailure) as caught:
        client.send(request(service))
    assert caught.value.kind is Failure.UNREACHABLE
    assert service.received == []


def test_no_log_contains_the_path(client, service, caplog):
    caplog.set_level(logging.DEBUG)
    service.answers = [Answer(way="close"), Answer(500, SECRET)]
    fail(client, service)
    client.send(request(service))
    assert SECRET not in caplog.text
    assert SECRET not in repr(request(service))


def test_threads_do_not_share_a_deadline(service):
    service.answers = [Answer(way="silence")]
    slow = HTTPClient(timeout=0.3)
    thread = threading.Thread(target=lambda: pytest.raises(HTTPFailure, slow.send, request(service)))
    thread.start()
    time.sleep(0.05)
    other = HTTPClient(timeout=5)
    assert other.send(request(service)).status == 200
    thread.join()
    other.close()


class ExampleChannel(HTTPChannel):
    address_kind = "phone"
    provider = "example"

    def __init__(self, url, timeout=10):
        super().__init__(timeout)
        self.url, self.secrets = url, (SECRET,)

    def prepare(self, delivery, rendered):
        return HTTPMessage(HTTPRequest(f"{self.url}/{SECRET}", rendered.text.encode()))


class ForgivingChannel(ExampleChannel):
    idempotent = True


class PersonalChannel(ExampleChannel):
    is_address_url = True


def post(kind, service, answer=None):
    service.answers = [answer] if answer else []
    channel = kind(service.url, timeout=0.3)
    [receipt] = channel.send([HTTPMessage(HTTPRequest(f"{service.url}/{SECRET}"))])
    channel.close()
    return receipt


@pytest.mark.parametrize(
    ("answer", "verdict", "blames"),
    [
        (Answer(302), Verdict.CONFIGURATION, Blame.PROVIDER),
        (Answer(400), Verdict.PERMANENT, Blame.MESSAGE),
        (Answer(401), Verdict.CONFIGURATION, Blame.PROVIDER),
        (Answer(404), Verdict.CONFIGURATION, Blame.PROVIDER),
        (Answer(429), Verdict.TEMPORARY, Blame.PROVIDER),
        (Answer(500), Verdict.UNKNOWN, Blame.PROVIDER),
        (Answer(503), Verdict.TEMPORARY, Blame.PROVIDER),
        (Answer(way="close"), Verdict.UNKNOWN, Blame.PROVIDER),
        (Answer(way="silence"), Verdict.UNKNOWN, Blame.SILENCE),
    ],
    ids=lambda value: f"{value.status}{value.way}" if isinstance(value, Answer) else value.value,
)
def test_a_status_decides(service, answer, verdict, blames):
    receipt = post(ExampleChannel, service, answer)
    assert (receipt.verdict, receipt.blames, bool(receipt.error)) == (verdict, blames, True)


def test_a_repetition_is_harmless_if_the_provider_ignores_it(service):
    for answer in (Answer(500), Answer(way="close"), Answer(way="silence")):
        assert post(ForgivingChannel, service, answer).verdict is Verdict.TEMPORARY


def test_only_the_recipient_is_to_blame_for_their_own_url(service):
    receipt = post(PersonalChannel, service, Answer(404))
    assert (receipt.verdict, receipt.blames) == (Verdict.PERMANENT, Blame.RECIPIENT)
    assert post(PersonalChannel, service, Answer(way="silence")).blames is Blame.RECIPIENT


def test_the_wait_that_a_provider_asks_for_is_kept(service):
    assert post(ExampleChannel, service, Answer(429, b"", {"Retry-After": "7"})).retry_after == 7


def test_no_error_shows_a_secret(service):
    error = post(ExampleChannel, service, Answer(400, f"No such path:\n/{SECRET}")).error
    assert error == "400 Bad Request: No such path: /***"


class TestExampleChannel(ProviderContract):
    @pytest.fixture(autouse=True)
    def provider(self):
        with http_service() as self.service:
            yield

    def make_channel(self):
        return ExampleChannel(self.service.url, timeout=2)

    def break_provider(self, channel):
        channel.close()
        self.service.stop()
