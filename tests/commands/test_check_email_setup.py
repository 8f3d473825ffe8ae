"""``check_email_setup`` on a real DNS server and a real SMTP server on loopback."""

import io

import pytest
from django.core.management import CommandError, call_command

from notifications.channels.email import DJANGO_SMTP
from notifications.core import extras
from notifications.exceptions import MissingExtra
from tests.channels.servers import post_office
from tests.mailers import use_backend

pytestmark = pytest.mark.needs("dns", "dkim", "dnslib")

HELP = "help@shop.example.com"
GOOD_TEXTS = {
    "shop.example.com": ["v=spf1 mx -all"],
    "_dmarc.shop.example.com": ["v=DMARC1; p=reject; rua=mailto:dmarc@example.com"],
    "s1._domainkey.shop.example.com": ["k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="],
}


@pytest.fixture(scope="module")
def zone():
    from tests.email_setup.name_server import name_server

    with name_server() as zone:
        yield zone


@pytest.fixture(autouse=True)
def _good_dns(zone):
    zone.texts = dict(GOOD_TEXTS)


@pytest.fixture
def office(settings):
    with post_office() as office:
        options = {"backend": DJANGO_SMTP, "backend_options": {"host": "127.0.0.1", "port": office.port}}
        email = {"OPTIONS": {"from_email": "Shop <orders@shop.example.com>", "reply_to": [HELP], **options}}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": email, "log": {}}, "BASE_URL": "https://shop.example.com"}
        yield office


def run(zone, *args):
    """Return the exit code and the output of the command."""
    out = io.StringIO()
    try:
        call_command("check_email_setup", "--nameserver", zone.address, *args, stdout=out, no_color=True)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def test_a_good_setup_ends_with_0(zone, office):
    code, output = run(zone, "--selector", "s1")
    assert code == 0, output
    assert [line.split("]")[0] for line in output.splitlines()] == ["[ok"] * 4 + [output.splitlines()[-1]]
    assert output.endswith("Result: 0 errors, 0 warnings, 0 not checked.\n")
    assert office.mails == []


def test_the_backend_of_the_site_is_examined_and_gets_the_test_mail(zone, office, settings):
    """On Django 6.1, it is the default one of ``MAILERS``."""
    use_backend(settings, port=office.port)
    email = {"OPTIONS": {"from_email": "orders@shop.example.com"}}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"email": email}}
    code, output = run(zone, "--selector", "s1", "--to", "ann@example.org")
    assert (code, len(office.mails)) == (0, 1), output
    assert f"[ok] SMTP server 127.0.0.1:{office.port}" in output


def test_an_error_ends_with_1_and_says_what_to_do(zone, office):
    del zone.texts["shop.example.com"]
    code, output = run(zone, "--selector", "s1")
    assert code == 1
    assert "[error] SPF of shop.example.com: shop.example.com has no SPF record" in output
    assert "    Add a TXT record to shop.example.com" in output
    assert output.endswith("Result: 1 error, 0 warnings, 0 not checked.")


def test_a_question_without_an_answer_ends_with_2(zone, office):
    zone.texts["shop.example.com"] = None
    code, output = run(zone, "--selector", "s1")
    assert (code, output.endswith("Result: 0 errors, 0 warnings, 1 not checked.")) == (2, True)


def test_without_a_selector_or_an_email_the_signature_is_not_checked(zone, office):
    code, output = run(zone)
    assert (code, "[not checked] DKIM: DNS alone does not say which key signs" in output) == (2, True)


def test_an_email_that_was_received_is_examined(zone, office, tmp_path):
    (tmp_path / "mail.eml").write_bytes(b"From: orders@shop.example.com\r\n\r\nHello\r\n")
    code, output = run(zone, "--signed-mail", str(tmp_path / "mail.eml"))
    assert (code, "The email has no DKIM signature." in output) == (1, True)


def test_a_file_that_cannot_be_read_is_refused_before_any_result(zone, office, tmp_path):
    code, output = run(zone, "--to", "ann@example.org", "--signed-mail", str(tmp_path / "none"))
    assert (code, "[" in output) == (1, False)
    assert output.endswith("cannot be read: No such file or directory.")


def test_a_test_mail_is_sent_as_notifications_are(zone, office):
    code, output = run(zone, "--selector", "s1", "--to", "ann@example.org")
    [mail] = office.mails
    assert (code, "[ok] Test mail to ann@example.org: The provider accepted it as <" in output) == (0, True)
    assert (mail["From"], mail["To"]) == ("Shop <orders@shop.example.com>", "ann@example.org")
    assert mail["Reply-To"] == HELP
    assert mail["List-Unsubscribe"] == "<https://shop.example.com>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_test_mail_that_is_refused_ends_with_1(zone, office):
    async def refuse(server, session, envelope, address, options):
        return "550 5.1.1 No such user"

    office.handle_RCPT = refuse
    code, output = run(zone, "--selector", "s1", "--to", "ann@example.org")
    assert (code, "did not accept it (permanent)" in output) == (1, True)


@pytest.mark.parametrize("address", ["ann", "a@example.org, b@example.org", "a@example.org\nBcc: b@example.org"])
def test_a_test_mail_has_one_recipient(zone, office, address):
    code, output = run(zone, "--to", address)
    assert (code, output.startswith("--to "), office.mails) == (1, True, [])


def test_another_domain_can_be_examined_too(zone, office):
    _, output = run(zone, "--domain", "bücher.example")
    assert "[error] SPF of xn--bcher-kva.example" in output


def test_the_sender_of_the_theme_is_examined_too(zone, office, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "THEME": {"from_email": "News <news@example.org>"}}
    _, output = run(zone)
    assert "[error] SPF of example.org" in output


def test_a_server_elsewhere_without_tls_is_reported_and_not_contacted(zone, office, settings):
    options = settings.NOTIFICATIONS["CHANNELS"]["email"]["OPTIONS"]
    options = {**options, "backend_options": {"host": "192.0.2.1", "port": office.port}}
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"OPTIONS": options}}, "BASE_URL": "https://shop.example.com"}
    code, output = run(zone, "--to", "ann@example.org")
    assert (code, output.count("'192.0.2.1' has no TLS")) == (1, 2)


def test_a_name_server_must_be_an_ip_address(zone, office, monkeypatch):
    monkeypatch.setattr(zone, "address", "dns.example.com")
    code, output = run(zone)
    assert (code, output[:41]) == (1, "--nameserver must be an IP address such a")


def test_a_site_without_an_email_channel_has_nothing_to_check(zone, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    assert run(zone) == (1, "No email channel is enabled. Set ENABLED of NOTIFICATIONS['CHANNELS']['email'] to True.")


def test_wrong_settings_are_an_error(zone, settings):
    settings.NOTIFICATIONS = {"CHANELS": {}}
    assert "Did you mean 'CHANNELS'?" in run(zone)[1]


def test_without_the_extra_the_rest_is_examined(zone, office, monkeypatch):
    def refuse(module):
        raise MissingExtra("dns", "dns")

    monkeypatch.setattr(extras, "import_optional", refuse)
    code, output = run(zone)
    assert (code, "pip install 'django-klaxon[dns]'" in output) == (2, True)
    assert "[ok] SMTP server 127.0.0.1:" in output
