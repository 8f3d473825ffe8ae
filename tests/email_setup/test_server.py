"""The TLS and the certificate of real SMTP servers on loopback."""

import ssl
import warnings
from datetime import UTC, datetime

import pytest
from django.core.mail.backends.smtp import EmailBackend
from django.utils.functional import cached_property

from notifications.channels.email import EmailChannel
from notifications.email_setup.findings import Status
from notifications.email_setup.server import check_server
from tests.email_setup.mail_server import mail_server

pytestmark = pytest.mark.needs("cryptography")

SMTP = "django.core.mail.backends.smtp.EmailBackend"
NOWHERE = "mail.klaxon.invalid"
OLD = f"{__name__}.OldBackend"


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A valid certificate that this process trusts."""
    from tests.email_setup.certificates import make_certificate

    path = make_certificate(tmp_path / "valid.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def make_channel(port, host="127.0.0.1", backend=SMTP, allow=False, **options):
    options = {"host": host, "port": port, "timeout": 2, **options} if backend == SMTP else options
    return EmailChannel(
        from_email="shop@example.com", backend=backend, backend_options=options, allow_smtp_without_tls=allow
    )


def examine(channel):
    [finding] = check_server(channel, datetime.now(UTC))
    return finding


@pytest.mark.parametrize("options", [{"use_tls": True}, {"use_ssl": True}], ids=["STARTTLS", "from the first byte"])
def test_a_valid_certificate_is_fine(certificate, options):
    with mail_server(certificate, starttls="use_tls" in options) as server:
        finding = examine(make_channel(server.port, **options))
    assert (finding.status, "with TLSv1.3; certificate until" in finding.sentence) == (Status.OK, True), finding


def test_the_first_version_of_tls_that_is_accepted_is_1_2(certificate):
    with mail_server(certificate, newest_version=ssl.TLSVersion.TLSv1_2) as server:
        assert "with TLSv1.2" in examine(make_channel(server.port, use_tls=True)).sentence
    with mail_server(certificate, newest_version=ssl.TLSVersion.TLSv1_1) as server:
        finding = examine(make_channel(server.port, use_tls=True))
    assert (finding.status, "No connection with TLS 1.2" in finding.sentence) == (Status.ERROR, True), finding


class OldBackend(EmailBackend):
    """A backend of a site that accepts old versions of TLS."""

    @cached_property
    def ssl_context(self):
        context = ssl.create_default_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        return context


def test_a_backend_of_the_site_must_not_use_an_older_version(certificate):
    options = {"host": "127.0.0.1", "use_tls": True, "timeout": 2}
    with mail_server(certificate, newest_version=ssl.TLSVersion.TLSv1_1) as server:
        options["port"] = server.port
        finding = examine(EmailChannel(from_email="shop@example.com", backend=OLD, backend_options=options))
    assert (finding.status, "TLSv1.1, which is no longer secure" in finding.sentence) == (Status.ERROR, True), finding


def test_a_certificate_that_nobody_vouches_for_is_an_error(tmp_path):
    from tests.email_setup.certificates import make_certificate

    with mail_server(make_certificate(tmp_path / "own.pem")) as server:
        finding = examine(make_channel(server.port, use_tls=True))
    assert finding.status is Status.ERROR
    assert finding.sentence.startswith("The certificate of the server is not valid: self")
    assert finding.advice == "Check 'host' in 'backend_options' of the email channel."


def test_a_certificate_of_another_server_is_an_error(tmp_path, monkeypatch):
    from tests.email_setup.certificates import make_certificate

    path = make_certificate(tmp_path / "other.pem", address="127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with mail_server(path) as server:
        finding = examine(make_channel(server.port, use_tls=True))
    assert (finding.status, "mismatch" in finding.sentence) == (Status.ERROR, True), finding


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(10, Status.WARNING, "expires on"), (-1, Status.ERROR, "certificate has expired")],
)
def test_a_certificate_that_expires_is_reported(tmp_path, monkeypatch, days, status, words):
    from tests.email_setup.certificates import make_certificate

    path = make_certificate(tmp_path / "old.pem", days)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with mail_server(path) as server:
        finding = examine(make_channel(server.port, use_tls=True))
    assert (finding.status, words in finding.sentence) == (status, True), finding


def test_a_server_on_this_machine_needs_no_tls():
    with mail_server() as server:
        finding = examine(make_channel(server.port))
    assert (finding.status, "TLS is not required" in finding.sentence) == (Status.OK, True)


def test_a_server_without_starttls_is_an_error_that_names_the_setting():
    with mail_server() as server:
        finding = examine(make_channel(server.port, use_tls=True))
    assert (finding.status, "'use_tls' in 'backend_options'" in finding.advice) == (Status.ERROR, True), finding


def test_a_wrong_password_is_an_error_that_names_the_setting(certificate):
    with mail_server(certificate, login=("shop", "right")) as server:
        good = examine(make_channel(server.port, use_tls=True, username="shop", password="right"))
        bad = examine(make_channel(server.port, use_tls=True, username="shop", password="wrong"))
    assert (good.status, bad.status) == (Status.OK, Status.ERROR)
    assert bad.advice == (
        "Check 'username' in 'backend_options' of the email channel and 'password' in 'backend_options' of the email "
        "channel."
    )


def test_no_connection_is_opened_to_another_machine_without_tls():
    with mail_server() as server:
        channel = make_channel(server.port, host="192.0.2.1")
        finding = examine(channel)
    assert (finding.status, channel.connection.connection) == (Status.ERROR, None)
    assert finding.sentence.startswith("The SMTP connection to '192.0.2.1' has no TLS")


def test_a_port_without_a_server_is_an_error():
    with mail_server() as server:
        port = server.port
    finding = examine(make_channel(port))
    assert (finding.status, "no server at this address" in finding.sentence) == (Status.ERROR, True)


def test_a_server_that_does_not_answer_is_not_judged(monkeypatch):
    def time_out(*args, **kwargs):
        raise TimeoutError("timed out")

    monkeypatch.setattr("socket.create_connection", time_out)
    finding = examine(make_channel(25, host=NOWHERE, use_tls=True))
    assert finding.status is Status.UNCHECKED


def test_a_backend_that_does_not_use_smtp_is_named():
    finding = examine(make_channel(0, backend="django.core.mail.backends.locmem.EmailBackend"))
    assert (finding.status, "locmem" in finding.sentence) == (Status.WARNING, True)


@pytest.mark.needs("anymail")
def test_a_service_with_an_api_has_no_smtp_connection():
    finding = examine(make_channel(0, backend="anymail.backends.postmark.EmailBackend", server_token="test"))
    assert (finding.status, finding.subject) == (Status.OK, "Email service Postmark")
