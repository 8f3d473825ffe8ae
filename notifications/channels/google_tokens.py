"""Access tokens of a Google service account (OAuth 2.0, RFC 7523), which are fetched by Klaxon's own HTTP client."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from notifications.channels.http_client import HTTPClient, HTTPRequest, HTTPResponse
from notifications.core.extras import import_optional

PROJECT = re.compile(r"[a-z0-9.:-]+")


class TokenRefused(Exception):
    """The token endpoint gives no token. ``response`` is its answer."""

    def __init__(self, response: HTTPResponse) -> None:
        super().__init__(f"{response.status} {response.reason}")
        self.response = response


class _Response(NamedTuple):
    """An answer as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class AccessTokens:
    """The access tokens of a service account. The current one is kept until shortly before it expires.

    :param credentials: the path of the JSON file of a service account, or its content.
    :param scope: what the tokens are for.
    :param client: sends the requests.
    :raises ValueError: if the credentials are invalid. The text contains no part of the key.
    :raises MissingExtra: if ``google-auth`` is not installed.
    """

    def __init__(self, credentials: str | Path | Mapping[str, Any], scope: str, client: HTTPClient) -> None:
        import_optional("google.auth")
        service_account: Any = import_optional("google.oauth2.service_account")
        account = _read_account(credentials)
        try:
            self._credentials = service_account.Credentials.from_service_account_info(account, scopes=[scope])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # The text of the error can quote the key.
            raise _refuse(f"is no service account with a private key ({type(error).__name__})") from None
        self._client = client
        self.project = str(account.get("project_id", ""))
        if not PROJECT.fullmatch(self.project):
            raise _refuse("names no project_id")

    def get(self) -> str:
        """Return a token.

        :raises HTTPFailure: if the token endpoint does not answer.
        :raises TokenRefused: if it gives no token.
        """
        if not self._credentials.valid:
            self.renew()
        return str(self._credentials.token)

    def renew(self) -> None:
        """Fetch a new token. It raises the same errors as ``get()``."""
        self._credentials.refresh(self._fetch)

    def _fetch(self, url: str, method: str, body: bytes, headers: Mapping[str, str], **options: Any) -> _Response:
        response = self._client.send(HTTPRequest(url, body, headers, method))
        if response.status != 200 or not _has_token(response):
            # google-auth would wait and repeat the request by itself.
            raise TokenRefused(response)
        return _Response(response.status, response.headers, response.body)


def _read_account(credentials: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(credentials, Mapping):
        return credentials
    if not credentials:
        raise _refuse("is missing")
    try:
        account = json.loads(Path(credentials).read_text())
    except (OSError, ValueError) as error:
        raise _refuse(f"names a file that cannot be read ({type(error).__name__})") from None
    if not isinstance(account, dict):
        raise _refuse("names a file that is no service account")
    return account


def _refuse(fault: str) -> ValueError:
    return ValueError(
        f"The option 'credentials' {fault}. Set it to the path or the content of the JSON file that the Firebase "
        "console makes for a service account (Project settings, Service accounts)."
    )


def _has_token(response: HTTPResponse) -> bool:
    answer = response.json()
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        return False
    return str(answer.get("expires_in", "")).isdigit()
