"""What the channels of Twilio share: the account, the request, and the meaning of its error codes.

Twilio's API has no idempotency key: a request that is repeated sends a second message. ``I-Twilio-Idempotency-Token``
is a header of the requests that Twilio itself sends to a site.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, urlencode

from notifications.channels.callback_urls import build_callback_url
from notifications.channels.http import ERROR_LENGTH, HTTPChannel, HTTPMessage
from notifications.channels.http_client import HTTPRequest, HTTPResponse
from notifications.core.tokens import make_token
from notifications.exceptions import CredentialsFault
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Suppress, Verdict

API_URL = "https://api.twilio.com"
API_VERSION = "2010-04-01"
NO_MESSAGES_ON = "1990-01-01"
"""A day before Twilio existed."""
STATUS_PURPOSE, KEY_PURPOSE = "twilio status", "twilio key"
STATUS_VIEW, KEY_VIEW = "notifications:twilio-status", "notifications:twilio-key"


class ErrorMeaning(NamedTuple):
    """What an error code of Twilio means."""

    verdict: Verdict
    blames: Blame = Blame.PROVIDER
    suppress: Suppress = Suppress.NO


_TEMPORARY = ErrorMeaning(Verdict.TEMPORARY)
_ACCOUNT = ErrorMeaning(Verdict.CONFIGURATION)
# The account may not reach this recipient or their country. It may reach others.
_COUNTRY = ErrorMeaning(Verdict.CONFIGURATION, Blame.MESSAGE)
_NUMBER = ErrorMeaning(Verdict.PERMANENT, Blame.RECIPIENT)
ERRORS: Mapping[int, ErrorMeaning] = {
    14107: _TEMPORARY,  # too many messages
    20003: _ACCOUNT,  # wrong SID or token
    20005: _ACCOUNT,  # the account is not active
    20404: _ACCOUNT,  # no such account
    20429: _TEMPORARY,  # too many requests
    21210: _ACCOUNT,  # the caller ID is not verified
    21211: ErrorMeaning(Verdict.PERMANENT, Blame.RECIPIENT, Suppress.NOW),  # the number is not valid
    21212: _ACCOUNT,  # the sender is not valid
    21214: _NUMBER,  # the number cannot be called
    21215: _COUNTRY,  # no permission to call this country
    21216: _NUMBER,  # the number is on a block list
    21217: _NUMBER,  # the number is not valid
    21219: _COUNTRY,  # an account on trial can only reach verified numbers
    21408: _COUNTRY,  # no permission to send to this country
    21601: _ACCOUNT,  # the sender cannot send messages
    21603: _ACCOUNT,  # no sender
    21606: _ACCOUNT,  # the sender does not belong to the account
    21608: _COUNTRY,  # an account on trial can only reach verified numbers
    21609: _ACCOUNT,  # the callback is not a valid URL
    21610: ErrorMeaning(Verdict.PERMANENT, Blame.RECIPIENT, Suppress.STOPPED),
    21611: _TEMPORARY,  # the queue of the sender is full
    21612: _NUMBER,  # no way from this sender to this number
    21614: _NUMBER,  # the number is not that of a mobile phone, but it may be one that can be called
    21659: _ACCOUNT,  # the sender belongs to another country
    21660: _ACCOUNT,  # the sender belongs to another account
    21703: _ACCOUNT,  # the messaging service has no sender
    21705: _ACCOUNT,  # the messaging service is not valid
    30001: _TEMPORARY,  # the queue is full
    30002: _ACCOUNT,  # the account is suspended
}


class TwilioChannel(HTTPChannel):
    """The base class of the channels of Twilio.

    Options: ``account_sid``; ``auth_token``, or ``api_key`` and ``api_secret``; ``callbacks``, whether Twilio reports
    what happens to messages, which requires the ``auth_token``; ``api_url``, the address of a region; ``timeout``.

    :raises ValueError: if an option is invalid.
    :raises MissingExtra: if ``requests`` is not installed.
    """

    address_kind = "phone"
    provider = "Twilio"
    resource: ClassVar[str] = ""
    date_filter: ClassVar[str] = ""
    """The parameter that limits a list of the resource to a day."""

    def __init__(
        self,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
        callbacks: bool = False,
        api_url: str = API_URL,
        timeout: float = 10,
    ) -> None:
        super().__init__(timeout)
        if not account_sid.startswith("AC"):
            raise ValueError("The option 'account_sid' must be the SID of an account, which begins with AC.")
        if bool(api_key) != bool(api_secret) or not (auth_token or api_key):
            raise ValueError("Set the option 'auth_token', or both 'api_key' and 'api_secret'.")
        if callbacks and not auth_token:
            raise ValueError(
                "The option 'callbacks' requires 'auth_token': Twilio signs its requests with it, even if the channel "
                "uses an API key."
            )
        if not api_url.startswith(("https://", "http://")):
            raise ValueError(f"The option 'api_url' must be a URL such as {API_URL}.")
        user, password = (api_key, api_secret) if api_key else (account_sid, auth_token)
        self._credentials = b64encode(f"{user}:{password}".encode()).decode()
        self.secrets = [secret for secret in (auth_token, api_secret, self._credentials) if secret]
        self.callbacks = callbacks
        self.account_url = f"{api_url.rstrip('/')}/{API_VERSION}/Accounts/{quote(account_sid)}"
        self.url = f"{self.account_url}/{self.resource}.json"
        self._has_key = bool(api_key)

    def build_message(self, delivery: Delivery, fields: Mapping[str, str]) -> HTTPMessage:
        """Return the request that creates a message or call, with the address to which Twilio reports its status."""
        callback = self.build_callback(STATUS_VIEW, STATUS_PURPOSE, delivery)
        form = {"To": delivery.address, **fields, **({"StatusCallback": callback} if callback else {})}
        headers = {
            "Authorization": f"Basic {self._credentials}",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        }
        return HTTPMessage(HTTPRequest(self.url, urlencode(form).encode(), headers))

    def check_credentials(self) -> str:
        """Fetch the account. Only main API keys may read it, so with a key, ask for the messages of a day without any.

        https://www.twilio.com/docs/usage/api/account and https://www.twilio.com/docs/iam/api-keys
        """
        headers = {"Authorization": f"Basic {self._credentials}"}
        if self._has_key:
            url = f"{self.url}?PageSize=1&{self.date_filter}={NO_MESSAGES_ON}"
            self.ask(HTTPRequest(url, headers=headers, method="GET"), ("account_sid", "api_key", "api_secret"))
            return "Twilio accepts the API key."
        request = HTTPRequest(f"{self.account_url}.json", headers=headers, method="GET")
        account: Any = self.ask(request, ("account_sid", "auth_token")).json()
        status = account.get("status") if isinstance(account, dict) else None
        if status != "active":
            raise CredentialsFault(
                f"The status of the account at Twilio is {status!r}.",
                remedy="Activate the account in the console of Twilio.",
            )
        return f"Twilio accepts the token, and the account is {status}."

    def build_callback(self, view: str, purpose: str, delivery: Delivery) -> str:
        """Return the URL of a view for a delivery; empty if Twilio must not or cannot call it."""
        return build_callback_url(view, make_token(purpose, delivery.pk)) if self.callbacks else ""

    def find_message_id(self, response: HTTPResponse) -> str:
        found = response.json()
        return str(found.get("sid") or "") if isinstance(found, dict) else ""

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        found: Any = response.json()
        code = found.get("code") if isinstance(found, dict) else None
        if response.is_success or not isinstance(code, int):
            return super().read_response(message, response)
        error = self.hide(f"{code}: {' '.join(str(found.get('message') or response.reason).split())}")[:ERROR_LENGTH]
        meaning = ERRORS.get(code)
        if meaning is None:
            return self.refuse(message, response, *self.judge_status(response.status), error=error, code=str(code))
        verdict, blames, suppress = meaning
        return self.refuse(message, response, verdict, blames, error=error, code=str(code), suppress=suppress)
