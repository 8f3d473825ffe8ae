"""The doctor asks each provider whether it accepts the settings, and sends nothing."""

import time

import pytest

from notifications.channels import BaseChannel
from notifications.channels.discord import DiscordChannel
from notifications.channels.email import DJANGO_SMTP
from notifications.channels.fcm import FCMChannel
from notifications.channels.pushover import PushoverChannel
from notifications.channels.twilio_sms import TwilioSMSChannel
from notifications.channels.twilio_voice import TwilioVoiceChannel
from notifications.exceptions import CredentialsFault
from tests.channels.http_services import Answer, http_service
from tests.doctor.diagnosing import find_faults, list_faults

pytestmark = [pytest.mark.needs("requests"), pytest.mark.one_database]
SECRET = "placeholder-of-a-secret"
WITHOUT_EMAIL = {"email": {"ENABLED": False}, "app": {"ENABLED": False}}


@pytest.fixture(scope="module")
def running():
    with http_service() as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    running.default = Answer(200, {})
    return running


def check(channel):
    """Return what check_credentials() says, or its error."""
    try:
        return channel.check_credentials()
    except CredentialsFault as fault:
        return fault
    finally:
        channel.close()


class TestTwilio:
    def make(self, service, kind=TwilioSMSChannel, **options):
        credentials = options or {"auth_token": SECRET}
        return kind(account_sid="AC0a", sender="+15005550006", api_url=service.url, timeout=2, **credentials)

    def test_the_account_is_fetched(self, service):
        service.default = Answer(200, {"status": "active"})
        assert check(self.make(service)) == "Twilio accepts the token, and the account is active."
        [request] = service.received
        assert (request.method, request.path) == ("GET", "/2010-04-01/Accounts/AC0a.json")

    def test_a_suspended_account_is_a_fault(self, service):
        service.default = Answer(200, {"status": "suspended"})
        assert "'suspended'" in str(check(self.make(service)))

    @pytest.mark.parametrize(
        ("kind", "resource"), [(TwilioSMSChannel, "Messages.json?PageSize=1&DateSent="), (TwilioVoiceChannel, "Calls")]
    )
    def test_a_key_may_not_read_the_account_so_it_reads_an_empty_list(self, service, kind, resource):
        channel = self.make(service, kind, api_key="SK1", api_secret=SECRET)
        assert check(channel) == "Twilio accepts the API key."
        [request] = service.received
        assert request.path.startswith(f"/2010-04-01/Accounts/AC0a/{resource}")
        assert request.path.endswith("=1990-01-01")

    def test_a_wrong_token_names_the_options(self, service):
        service.default = Answer(401, {"code": 20003, "message": f"Authenticate {SECRET}"})
        fault = check(self.make(service))
        assert (fault.options, SECRET in str(fault)) == (("account_sid", "auth_token"), False)

    def test_a_failure_of_the_service_blames_no_option(self, service):
        service.default = Answer(503)
        fault = check(self.make(service))
        assert (fault.options, "status page" in fault.remedy) == ((), True)


class TestPushover:
    def make(self, service):
        return PushoverChannel(SECRET.replace("-", ""), timeout=2, url=f"{service.url}/1/messages.json")

    def test_the_limits_of_the_application_are_read(self, service):
        service.default = Answer(200, {"limit": 10000, "remaining": 7496, "reset": 1393653600, "status": 1})
        assert check(self.make(service)) == "Pushover accepts the token. 7496 messages of this month are left."
        [request] = service.received
        assert request.path.startswith("/1/apps/limits.json?token=")

    def test_an_application_without_messages_is_a_fault(self, service):
        service.default = Answer(200, {"limit": 10000, "remaining": 0, "status": 1})
        assert "all 10000 messages" in str(check(self.make(service)))

    def test_a_wrong_token_is_not_shown(self, service):
        token = SECRET.replace("-", "")
        service.default = Answer(400, {"token": "invalid", "errors": [f"token {token} is invalid"], "status": 0})
        fault = check(self.make(service))
        assert fault.options == ("token",)
        assert token not in str(fault)


class TestDiscord:
    def make(self, service):
        url = f"{service.url}/api/webhooks/1/{SECRET}?thread_id=5"
        return DiscordChannel(urls={"ops": url}, timeout=2)

    def test_the_webhooks_of_the_site_are_fetched_and_nothing_is_posted(self, service):
        assert check(self.make(service)) == "Discord knows the webhooks ops."
        [request] = service.received
        assert (request.method, request.path) == ("GET", f"/api/webhooks/1/{SECRET}")

    def test_a_deleted_webhook_is_named(self, service):
        service.default = Answer(404, {"message": f"Unknown Webhook {SECRET}", "code": 10015})
        fault = check(self.make(service))
        assert (fault.options, SECRET in str(fault)) == (("urls[ops]",), False)

    def test_webhooks_of_users_cannot_be_asked(self):
        assert check(DiscordChannel()) == ""


@pytest.mark.needs("google", "cryptography")
class TestFCM:
    @pytest.fixture
    def make(self, service):
        from tests.channels.fcm_service import TOKENS, make_account

        self.token = Answer(200, {"access_token": SECRET, "expires_in": 3600, "token_type": "Bearer"})
        self.message = Answer(200, {"name": "projects/shop-1234/messages/fake"})
        service.answer = lambda received: self.token if received.path == TOKENS else self.message
        yield lambda: FCMChannel(make_account(service.url), timeout=2, url=service.url)
        del service.answer

    def test_firebase_checks_a_message_that_it_does_not_send(self, service, make):
        assert check(make()) == "Firebase accepts messages of the project shop-1234."
        assert service.received[-1].json["validate_only"] is True

    def test_a_key_that_google_refuses_is_a_fault(self, make):
        self.token = Answer(400, {"error": "invalid_grant"})
        assert check(make()).options == ("credentials",)

    def test_an_answer_that_may_contain_a_token_is_not_shown(self, make):
        self.token = Answer(200, {"access_token": SECRET})
        assert "the answer contains none" in str(check(make()))

    def test_an_account_that_may_not_send_is_a_fault(self, make):
        self.message = Answer(403, {"error": {"status": "PERMISSION_DENIED"}})
        assert "403" in str(check(make()))


class SlowChannel(BaseChannel):
    """Needs some time to answer."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def check_credentials(self):
        time.sleep(self.seconds)
        return "It has answered."


class BrokenChannel(BaseChannel):
    def check_credentials(self):
        raise KeyError("token")


class RefusingChannel(BaseChannel):
    def __init__(self, faults=True):
        if faults:
            raise ValueError("The option 'faults' is wrong.")


def use(settings, **channels):
    settings.NOTIFICATIONS = {
        "CHANNELS": {
            **WITHOUT_EMAIL,
            **{
                name: {"BACKEND": f"{__name__}.{kind.__name__}", "OPTIONS": options}
                for name, (kind, options) in channels.items()
            },
        }
    }


def test_providers_are_asked_side_by_side_until_the_deadline(settings):
    slow = {f"slow{number}": (SlowChannel, {"seconds": 0.3}) for number in range(8)}
    use(settings, **slow, silent=(SlowChannel, {"seconds": 8.0}))
    start = time.monotonic()
    [fault] = list_faults("channels", options=["--timeout", "2"])
    assert time.monotonic() - start < 7
    assert (fault["name"], fault["status"]) == ("channel silent", "error")
    assert "within 2 seconds" in fault["detail"]


def test_a_channel_that_fails_does_not_hide_the_others(settings):
    use(settings, broken=(BrokenChannel, {}), refusing=(RefusingChannel, {}), slow=(SlowChannel, {}))
    found = find_faults("channels")
    assert list(found) == ["channel broken", "channel refusing"]
    assert "KeyError" in found["channel broken"]["detail"]
    assert "NOTIFICATIONS['CHANNELS']['refusing']" in found["channel refusing"]["remedy"]


def test_a_provider_is_named_with_its_channel(settings):
    path = f"{__name__}.RefusingChannel"
    providers = [{"NAME": "one", "OPTIONS": {"faults": False}}, {"NAME": "two"}]
    settings.NOTIFICATIONS = {"CHANNELS": {**WITHOUT_EMAIL, "pager": {"BACKEND": path, "PROVIDERS": providers}}}
    [fault] = list_faults("channels")
    assert fault["name"] == "channel pager/two"
    assert "provider 'two'" in fault["remedy"]


class TestEmail:
    def use(self, settings, **options):
        email = {"OPTIONS": {"from_email": "orders@example.com", "backend": DJANGO_SMTP, "backend_options": options}}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": email}}

    # The server of the test has no TLS, which loopback does not need.
    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
    def test_a_wrong_password_names_the_options(self, settings):
        from tests.email_setup.mail_server import mail_server

        with mail_server(login=("shop", "right")) as office:
            good = {"host": "127.0.0.1", "port": office.port, "username": "shop", "password": "right"}
            self.use(settings, **good)
            assert list_faults("channels") == []
            self.use(settings, **{**good, "password": "wrong"})
            [fault] = list_faults("channels")
        assert "The server refuses the login." in fault["detail"]
        assert "password" in fault["remedy"]
        assert "wrong" not in fault["detail"] + fault["remedy"]

    def test_a_server_that_does_not_exist_is_an_error(self, settings, service):
        with http_service() as other:
            port = other.port
        self.use(settings, host="127.0.0.1", port=port)
        [fault] = list_faults("channels")
        assert (fault["status"], fault["name"]) == ("error", "channel email")


@pytest.fixture(scope="module")
def zone():
    from tests.email_setup.name_server import name_server

    with name_server() as zone:
        yield zone


@pytest.mark.needs("dns", "dnslib")
class TestMail:
    def test_a_name_server_that_fails_is_not_checked(self, zone, settings):
        zone.texts = {"example.com": None, "_dmarc.example.com": None}
        assert {one["status"] for one in list_faults("mail", options=["--nameserver", zone.address])} == {"not checked"}

    def test_emails_of_localhost_are_reported(self, zone, settings):
        email = {"OPTIONS": {"from_email": "root@localhost"}}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": email}}
        [fault] = list_faults("mail", options=["--nameserver", zone.address])
        assert "DEFAULT_FROM_EMAIL" in fault["remedy"]

    def test_a_site_without_emails_has_nothing_to_examine(self, zone, settings):
        settings.NOTIFICATIONS = {"CHANNELS": WITHOUT_EMAIL}
        assert list_faults("mail", options=["--nameserver", zone.address]) == []
        assert zone.queries[-1:] != ["localhost"]
