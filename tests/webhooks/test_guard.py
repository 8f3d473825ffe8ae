"""Nothing is sent to an address inside the site's network, however it is written, and whatever a name resolves to."""

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notifications.channels.address_guard import AddressGuard, create_adapter
from notifications.channels.http_client import Failure, HTTPClient, HTTPFailure, HTTPRequest
from notifications.exceptions import AddressForbidden, InvalidOption
from notifications.models import Delivery, WebhookAttempt, WebhookEndpoint
from notifications.webhooks import create_endpoint, update_endpoint
from tests.channels.http_services import Answer, http_service
from tests.webhooks.conftest import send, work

pytestmark = [pytest.mark.needs("requests_hardened"), pytest.mark.one_database]
PUBLIC = "93.184.215.14"
# Ways to write 127.0.0.1, other loopback addresses, and hosts that parsers disagree about.
NUMBERS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0x7f.1",
    "127.0.0.1.", "127.255.255.254", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]", "[2002:7f00:1::]", "[2002:7f00:0001::1]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]",
    "[2001:0:7f00:1::1]", "１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1",
]  # fmt: skip
PRIVATE = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "100::1", "2001:db8::1", "2001:10::1", "2001:20::1",
    "3fff::1", "5f00::1", "::2", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "4000::1",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42", "168.63.129.16", "100.100.100.200",
    "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "::ffff:169.254.169.254",
]  # fmt: skip


@pytest.fixture
def canary():
    """A listener on loopback that counts connections. With port 80 in use or not, URLs name its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    connections, stopped = [], threading.Event()

    def listen():
        while not stopped.is_set():
            try:
                connections.append(listener.accept())
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen)
    thread.start()
    yield listener.getsockname()[1], connections
    stopped.set()
    thread.join()
    for connection, _address in connections:
        connection.close()
    listener.close()


@pytest.fixture
def names(monkeypatch):
    """The answers of the resolver, by name: a list of lists of addresses, one for each time that it is asked."""
    answers, real = {}, socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host not in answers:
            return real(host, port, *args, **kwargs)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


def request(url, **options):
    options.setdefault("allow_http", True)
    guard = AddressGuard(**options)
    client = HTTPClient(2, 100, lambda scheme: create_adapter(guard, scheme), trust_env=False)
    try:
        return client.send(HTTPRequest(url, b"x"))
    finally:
        client.close()


@pytest.mark.parametrize("host", NUMBERS)
def test_no_way_to_write_loopback_reaches_the_canary(canary, host):
    port, connections = canary
    with pytest.raises(HTTPFailure) as failure:
        request(f"http://{host}:{port}/")
    assert failure.value.kind is Failure.INVALID
    assert not connections


@pytest.mark.parametrize("address", [*PRIVATE, *METADATA])
def test_a_name_with_a_private_address_is_refused(names, canary, address):
    port, connections = canary
    names["evil.example"] = [[address]]
    with pytest.raises(HTTPFailure) as failure:
        request(f"http://evil.example:{port}/")
    assert "evil.example" in str(failure.value)
    assert failure.value.kind is Failure.INVALID
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressForbidden):
        AddressGuard(allow_http=True).check_url(f"http://{host}/")
    assert not connections


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450::1"])
def test_public_addresses_are_allowed(address):
    AddressGuard().check_address(ipaddress.ip_address(address), "shop.example")


@pytest.mark.parametrize("answer", [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"]])
def test_one_private_address_among_several_is_enough(names, canary, answer):
    port, connections = canary
    names["mixed.example"] = [answer]
    with pytest.raises(HTTPFailure):
        request(f"http://mixed.example:{port}/")
    assert not connections


def test_the_connection_is_made_to_the_checked_address(names, canary, monkeypatch):
    """The name is public when it is checked, and loopback ever after: flip-flop."""
    port, connections = canary
    names["flip.example"] = [[PUBLIC], ["127.0.0.1"]]
    tried = []

    def refuse(address, *args, **kwargs):
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    with pytest.raises(HTTPFailure) as failure:
        request(f"http://flip.example:{port}/")
    assert failure.value.kind is Failure.UNREACHABLE
    assert tried == [PUBLIC]
    with pytest.raises(HTTPFailure) as failure:
        request(f"http://flip.example:{port}/")
    assert failure.value.kind is Failure.INVALID
    assert not connections


def test_a_connection_that_is_kept_open_is_checked_again(names, service):
    names["kept.example"] = [["127.0.0.1"], ["10.0.0.1"]]
    guard = AddressGuard(allow=["127.0.0.0/8"], allow_http=True)
    client = HTTPClient(2, 100, lambda scheme: create_adapter(guard, scheme), trust_env=False)
    assert client.send(HTTPRequest(f"http://kept.example:{service.port}/", b"x")).status == 204
    with pytest.raises(HTTPFailure):
        client.send(HTTPRequest(f"http://kept.example:{service.port}/", b"x"))
    client.close()
    assert [received.headers["Host"] for received in service.received] == [f"kept.example:{service.port}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(names, canary, service, status):
    port, connections = canary
    service.default = Answer(status, headers={"Location": f"http://127.0.0.1:{port}/"})
    assert request(f"{service.url}/", allow=["127.0.0.1"]).status == status
    assert not connections
    assert len(service.received) == 1


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://shop.example/", "https"),
        ("ftp://shop.example/", "https"),
        ("file:///etc/passwd", "https"),
        ("gopher://shop.example/", "https"),
        ("//shop.example/", "https"),
        ("https://user@shop.example/", "user name"),
        ("https://user:secret@shop.example/", "user name"),
        ("https://shop.example@127.0.0.1/", "user name"),
        ("https://shop.example\\@127.0.0.1/", "backslashes"),
        ("https://shop.example/\r\nX-Evil: 1", "control"),
        ("https://shop.example/ x", "spaces"),
        ("https://shop.example:0/", "port"),
        ("https://shop.example:/", "port"),
        ("https://shop.example:99999/", "valid"),
        ("https://shop.example:port/", "valid"),
        ("https://shop.example./", "dot"),
        ("https://shop.example/#part", "fragment"),
        ("https:///path", "valid"),
        ("https://", "valid"),
        ("https://[::1/", "valid"),
        ("https://-shop.example/", "valid"),
        ("https://a..example/", "valid"),
        ("https://" + "a" * 64 + ".example/", "valid"),
        ("https://1.2.3/", "valid"),
        ("https://256.1.1.1/", "valid"),
        ("https://shop.example/" + "x" * 2000, "2000"),
        ("https://shop.example/" + "ä" * 700, "2000"),
        ("", "URL"),
        (None, "URL"),
    ],
)
def test_a_url_is_checked_when_it_is_entered(url, word):
    with pytest.raises(AddressForbidden, match=word):
        AddressGuard().check_url(url)


def test_a_host_with_other_letters_becomes_ascii():
    assert AddressGuard().check_url("https://bücher.example:8443/ä?ö=1") == (
        "https://xn--bcher-kva.example:8443/%C3%A4?%C3%B6=1"
    )
    assert AddressGuard().check_url("https://SHOP.example") == "https://shop.example/"


def test_the_lists_of_the_site(names):
    guard = AddressGuard(
        allow=["10.0.5.0/24", "hooks.internal"], deny=["*.evil.example", "93.184.215.0/24", "10.0.5.9"]
    )
    names["hooks.internal"] = [["10.9.9.9"]]
    names["metadata.internal"] = [["169.254.169.254"]]
    assert str(guard.resolve("hooks.internal", 443, 1)) == "10.9.9.9"
    guard.check_url("https://10.0.5.1/")
    for url in ("https://10.0.6.1/", "https://10.0.5.9/", f"https://{PUBLIC}/", "https://a.evil.example/"):
        with pytest.raises(AddressForbidden):
            guard.check_url(url)
    # No setting allows the services from which a server gets its credentials.
    with pytest.raises(AddressForbidden):
        AddressGuard(allow=["0.0.0.0/0", "metadata.internal"]).resolve("metadata.internal", 443, 1)


@pytest.mark.parametrize("entry", ["10.0.5.1/24", "not a host", "http://x", "", 5, "*.*.example"])
def test_a_wrong_list_is_an_error(entry):
    with pytest.raises(ValueError, match="'deny'"):
        AddressGuard(deny=[entry])


def test_a_text_is_not_a_list():
    with pytest.raises(ValueError, match="'allow'"):
        AddressGuard(allow="10.0.0.0/8")


def test_a_name_server_that_does_not_answer_costs_the_deadline(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(5) and [])
    guard = AddressGuard(allow_http=True)
    client = HTTPClient(0.2, 100, lambda scheme: create_adapter(guard, scheme), trust_env=False)
    with pytest.raises(HTTPFailure) as failure:
        client.send(HTTPRequest("http://slow.example/"))
    released.set()
    assert failure.value.kind is Failure.UNREACHABLE
    assert "name server" in str(failure.value)


def test_no_proxy_of_the_environment(monkeypatch, canary, service):
    port, connections = canary
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    assert request(f"{service.url}/", allow=["127.0.0.1"]).status == 204
    assert not connections


def write_certificate(path, name):
    key = ec.generate_private_key(ec.SECP256R1())
    own, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(own).issuer_name(own).public_key(key.public_key())
    built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).serial_number(1)
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return str(path)


def test_tls_checks_the_name_and_not_the_address(names, tmp_path):
    pem = write_certificate(tmp_path / "localhost.pem", "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    seen = []
    tls.sni_callback = lambda sock, name, context: seen.append(name)
    guard = AddressGuard(allow=["127.0.0.1"])
    names["other.example"] = [["127.0.0.1"]]
    with http_service(Answer(204), tls=tls) as server:
        client = HTTPClient(2, 100, lambda scheme: create_adapter(guard, scheme), trust_env=False)
        with pytest.raises(HTTPFailure):
            client.send(HTTPRequest(f"https://localhost:{server.port}/"))
        client._session.verify = pem
        assert client.send(HTTPRequest(f"https://localhost:{server.port}/")).status == 204
        with pytest.raises(HTTPFailure):
            client.send(HTTPRequest(f"https://other.example:{server.port}/"))
        client.close()
    assert seen == ["localhost", "localhost", "other.example"]


@pytest.mark.django_db
def test_an_endpoint_is_checked_when_it_is_added_and_changed(names, endpoint, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"webhook": {}}}
    names["evil.example"] = [["127.0.0.1"]]
    names["shop.example"] = [[PUBLIC]]
    for url in ("https://evil.example/", "https://127.0.0.1/", "http://shop.example/"):
        with pytest.raises(AddressForbidden):
            create_endpoint(None, url)
        with pytest.raises(AddressForbidden):
            update_endpoint(endpoint, url=url)
    create_endpoint(None, "https://shop.example/hook")
    with pytest.raises(InvalidOption, match="already"):
        create_endpoint(None, "https://SHOP.example/hook")
    with pytest.raises(InvalidOption, match="already"):
        update_endpoint(endpoint, url="https://shop.example/hook")


@pytest.mark.django_db
def test_an_endpoint_is_checked_again_at_each_send(names, endpoint, canary):
    port, connections = canary
    names["flip.example"] = [["10.0.0.1"]]
    WebhookEndpoint.objects.update(url=f"http://flip.example:{port}/")
    send()
    work()
    assert Delivery.objects.get().state == "retry"
    assert WebhookAttempt.objects.get().error == "flip.example is not an address in the public internet."
    assert not connections
