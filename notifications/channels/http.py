"""Channels whose provider has an HTTP API, and the meaning of its answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from notifications.channels.base import BaseChannel
from notifications.channels.http_client import Failure, HTTPClient, HTTPFailure, HTTPRequest, HTTPResponse
from notifications.channels.retry_after import retry_after
from notifications.exceptions import CredentialsFault
from notifications.outcomes import Blame, Receipt, Verdict

ERROR_LENGTH = 300
HIDDEN = "***"
REFUSED_ACCOUNT = (401, 402, 403, 404, 405, 407, 410)
LATER = (408, 425, 429, 503)


@dataclass(frozen=True)
class HTTPMessage:
    """A message as one request."""

    request: HTTPRequest


class HTTPChannel(BaseChannel):
    """Send one HTTP request for each message.

    A subclass names its ``provider`` and implements ``prepare()``, which returns an ``HTTPMessage``. It overrides
    ``read_response()`` if the answers of its provider say more than their status, and ``find_message_id()`` if they
    contain an id.

    - ``provider``: the name of the provider, for receipts.
    - ``is_address_url``: whether each recipient has a URL of their own. An answer such as 404 then concerns only this
      recipient, and not the settings of the site.
    - ``secrets``: texts that no error may show. An instance sets them.

    :param timeout: the seconds for a request, from the search for the address of its host to the end of the answer.
    :raises ValueError: if an option is invalid.
    :raises MissingExtra: if ``requests`` is not installed.
    """

    one_by_one = True
    requires: ClassVar[Sequence[str]] = ("requests",)
    provider: ClassVar[str] = ""
    is_address_url: ClassVar[bool] = False
    secrets: Sequence[str] = ()

    def __init__(self, timeout: float = 10) -> None:
        self.timeout = timeout
        self.client = HTTPClient(timeout)

    def send(self, messages: Sequence[Any]) -> Iterator[Receipt]:
        for message in messages:
            yield self.post(message)

    def close(self) -> None:
        self.client.close()

    def post(self, message: HTTPMessage) -> Receipt:
        """Send a message and return its receipt."""
        try:
            response = self.client.send(message.request)
        except HTTPFailure as failure:
            return self.read_failure(message, failure)
        return self.read_response(message, response)

    def read_response(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        """Return what an answer means, by its status."""
        if response.is_success:
            return self.accept(message, response)
        return self.refuse(message, response, *self.judge_status(response.status))

    def find_message_id(self, response: HTTPResponse) -> str:
        """Return the provider's id of an accepted message, or an empty text."""
        return ""

    def ask(self, request: HTTPRequest, options: Sequence[str]) -> HTTPResponse:
        """Send a request that changes nothing, and return its answer if that is a success.

        It is for ``check_credentials()``.

        :param options: the options of the channel that are wrong if the provider refuses the request.
        :raises CredentialsFault: if the provider refuses the request or does not answer.
        """
        try:
            response = self.client.send(request)
        except HTTPFailure as failure:
            raise CredentialsFault(self.hide(str(failure))) from None
        if response.is_success:
            return response
        is_temporary = response.status in LATER or response.status >= 500
        raise CredentialsFault(
            f"{self.provider} answers: {self.describe(response)}",
            () if is_temporary else options,
            "Run the doctor again later, or look at the status page of the provider." if is_temporary else "",
        )

    def accept(self, message: HTTPMessage, response: HTTPResponse) -> Receipt:
        number = self.find_message_id(response)[:255]
        return Receipt(message, Verdict.ACCEPTED, self.provider, provider_message_id=number)

    def refuse(
        self,
        message: HTTPMessage,
        response: HTTPResponse,
        verdict: Verdict,
        blames: Blame = Blame.PROVIDER,
        **values: Any,
    ) -> Receipt:
        """Return the receipt of a message that was not accepted, with the text of the answer."""
        values.setdefault("error", self.describe(response))
        values.setdefault("code", str(response.status))
        wait = retry_after(response.headers) if verdict is Verdict.TEMPORARY else None
        return Receipt(message, verdict, self.provider, retry_after=wait, blames=blames, **values)

    def judge_status(self, status: int) -> tuple[Verdict, Blame]:
        """Return what a status other than 2xx means.

        After 500, 502 or 504 the provider may have accepted the message. If it ignores repetitions, that does not
        matter.
        """
        if status in LATER:
            return Verdict.TEMPORARY, Blame.PROVIDER
        if status >= 500:
            return (Verdict.TEMPORARY if self.idempotent else Verdict.UNKNOWN), Blame.PROVIDER
        if status in REFUSED_ACCOUNT or status < 400:
            if self.is_address_url:
                return Verdict.PERMANENT, Blame.RECIPIENT
            return Verdict.CONFIGURATION, Blame.PROVIDER
        return Verdict.PERMANENT, Blame.MESSAGE

    def read_failure(self, message: HTTPMessage, failure: HTTPFailure) -> Receipt:
        """Return what it means that there is no answer."""
        verdict, blames = {
            Failure.INVALID: (Verdict.PERMANENT, Blame.MESSAGE),
            Failure.UNREACHABLE: (Verdict.TEMPORARY, Blame.NETWORK),
            Failure.SILENCE: (Verdict.UNKNOWN, Blame.SILENCE),
            Failure.LOST: (Verdict.UNKNOWN, Blame.PROVIDER),
        }[failure.kind]
        if self.is_address_url and blames is not Blame.MESSAGE:
            # Each recipient can have another server, so the channel as a whole is not broken.
            blames = Blame.RECIPIENT
        if verdict is Verdict.UNKNOWN and self.idempotent:
            verdict = Verdict.TEMPORARY
        return Receipt(message, verdict, self.provider, error=self.hide(str(failure)), blames=blames)

    def describe(self, response: HTTPResponse) -> str:
        """Return the status and the beginning of an answer, without secrets."""
        text = self.hide(" ".join(response.text.split()))
        return f"{response.status} {response.reason}: {text}"[:ERROR_LENGTH].rstrip(": ")

    def hide(self, text: str) -> str:
        """Return a text without the secrets of this channel."""
        for secret in self.secrets:
            if secret:
                text = text.replace(secret, HIDDEN)
        return text
