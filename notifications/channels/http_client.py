"""One HTTP request with a total deadline and a limit for the answer, and what is known if it fails."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPException, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import override

from notifications.exceptions import AddressForbidden

ANSWER_BYTES = 65_536
CHUNK_BYTES = 8192
MAX_CAUSES = 20


@dataclass(frozen=True)
class HTTPRequest:
    """A request. Its representation shows neither the URL nor the content, which can contain secrets."""

    url: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"


@dataclass(frozen=True)
class HTTPResponse:
    """An answer.

    :param headers: their names can be looked up in any case.
    :param body: the first bytes, as they were sent: a compressed body stays compressed.
    :param is_complete: whether ``body`` is the whole body. It is not if the body is too long, or if the connection or
        the time ended before.
    """

    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    is_complete: bool = True

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body as a value, or None if it is not complete JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Failure(Enum):
    """Why there is no answer.

    INVALID: the URL or a header cannot be used. UNREACHABLE: there was no connection, so nothing was handed over.
    SILENCE: the server did not answer in time. LOST: the connection ended before the answer. After the last two, the
    server may or may not have received the request.
    """

    INVALID = "invalid"
    UNREACHABLE = "unreachable"
    SILENCE = "silence"
    LOST = "lost"


class HTTPFailure(Exception):
    """There is no answer. The text contains the host at most, and no other part of the URL."""

    def __init__(self, kind: Failure, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class HTTPClient:
    """Sends requests, and keeps connections open between them until ``close()``.

    It never follows a redirect, and never sends a request twice.

    :param timeout: the seconds for a request, from the search for the address of its host to the end of the answer.
    :param limit: the number of bytes of an answer's body that are read.
    :param make_adapter: returns the adapter of requests for a scheme, ``"http"`` or ``"https"``. Its class must inherit
        from ``WatchedAdapterMixin``.
    :param trust_env: whether the environment can name proxies.
    :raises MissingExtra: if ``requests`` is not installed.
    """

    def __init__(
        self,
        timeout: float,
        limit: int = ANSWER_BYTES,
        make_adapter: Callable[[str], Any] | None = None,
        trust_env: bool = True,
    ) -> None:
        if not timeout > 0:
            raise ValueError("The option 'timeout' must be a number of seconds above 0.")
        # Only installed with an extra.
        self._watched: Any = import_module("notifications.channels.watched_http")
        self._timeout = timeout
        self._limit = limit
        self._make_adapter = make_adapter or (lambda scheme: self._watched.WatchedAdapter())
        self._trust_env = trust_env
        self._session: Any = None

    def send(self, request: HTTPRequest) -> HTTPResponse:
        """Send a request and return the answer.

        :raises HTTPFailure: if there is none.
        """
        with self._watched.Call(self._timeout) as call:
            try:
                response = self._open(request)
            except AddressForbidden as error:
                # Users read the text in their language, and logs contain it in English.
                with override(None):
                    raise HTTPFailure(Failure.INVALID, str(error)) from None
            except (OSError, ValueError, HTTPException, self._watched.http_errors.HTTPError) as error:
                # The errors of requests are OSErrors. Their texts contain the URL.
                raise self._describe(error, request, call) from None
            try:
                if call.is_late:
                    # Headers that were cut off look as if they had ended.
                    raise self._describe(TimeoutError(), request, call)
                return self._read(response, call)
            finally:
                response.close()

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _open(self, request: HTTPRequest) -> Any:
        if self._session is None:
            self._session = self._watched.requests.Session()
            self._session.trust_env = self._trust_env
            # requests reads the whole body of a redirect, and decompresses it, even if it does not follow it.
            self._session.get_redirect_target = lambda response: None
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            for scheme in ("http", "https"):
                self._session.mount(f"{scheme}://", self._make_adapter(scheme))
        return self._session.request(
            request.method,
            request.url,
            data=request.body,
            # A body that is not compressed needs no limit of its own. requests adds credentials from a .netrc file
            # unless it gets a function, and then none from the URL.
            headers={"Accept-Encoding": "identity", "User-Agent": "django-klaxon", **request.headers},
            auth=self._add_credentials,
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        )

    def _add_credentials(self, request: Any) -> Any:
        """Add those of the URL, as in ``https://name:password@host/`` (RFC 7617), unless a header has some."""
        name, password = self._watched.requests.utils.get_auth_from_url(request.url)
        if (name or password) and "Authorization" not in request.headers:
            return self._watched.requests.auth.HTTPBasicAuth(name, password)(request)
        return request

    def _read(self, response: Any, call: Any) -> HTTPResponse:
        body, is_complete = bytearray(), True
        try:
            while len(body) <= self._limit and (chunk := response.raw.read(CHUNK_BYTES, decode_content=False)):
                body += chunk
        except (self._watched.http_errors.HTTPError, OSError):
            is_complete = False
        if len(body) > self._limit or call.is_late:
            is_complete = False
        if not is_complete or response.status_code < 200:
            # The rest of the body must not become the beginning of the next answer.
            response.raw.close()
        return HTTPResponse(
            response.status_code, response.reason or "", response.headers, bytes(body[: self._limit]), is_complete
        )

    def _describe(self, error: Exception, request: HTTPRequest, call: Any) -> HTTPFailure:
        """Return what is known about a request without an answer. Texts of requests contain the whole URL."""
        host = _find_host(request.url)
        if isinstance(error, self._watched.requests.exceptions.InvalidProxyURL):
            # The message is not to blame. Nothing of the proxy's URL is shown, because it can contain a password.
            fault = "the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not a valid http:// or https:// URL"
            return HTTPFailure(Failure.UNREACHABLE, f"There is no connection to {host}: {fault}.")
        if isinstance(error, ValueError) and not call.handed_over:
            return HTTPFailure(Failure.INVALID, f"The URL or a header is invalid ({type(error).__name__}).")
        cause = _find_cause(error)
        if not call.handed_over:
            return HTTPFailure(Failure.UNREACHABLE, f"There is no connection to {host}{cause}.")
        if call.is_late or "timed out" in cause:
            return HTTPFailure(Failure.SILENCE, f"{host} did not answer in time.")
        if self._is_other_protocol(error):
            return HTTPFailure(Failure.LOST, f"What {host} answered is not valid HTTP.")
        return HTTPFailure(Failure.LOST, f"{host} closed the connection without an answer{cause}.")

    def _is_other_protocol(self, error: Exception) -> bool:
        faults = (HTTPException, self._watched.http_errors.InvalidHeader)
        found = [one for one in _list_causes(error) if isinstance(one, faults)]
        return bool(found) and not any(isinstance(one, RemoteDisconnected) for one in found)


def _find_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _find_cause(error: BaseException) -> str:
    """Return the text of the innermost error of the operating system, with a colon before it."""
    text = ""
    for cause in _list_causes(error):
        if isinstance(cause, OSError) and type(cause).__module__ in ("builtins", "socket", "ssl"):
            text = f": {cause.strerror or cause}"
    return text.rstrip(".")


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, the innermost last."""
    for _ in range(MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
