"""Errors as problem details (RFC 9457). A problem says what the client can change, and nothing about the inside."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import Error
from django.http import Http404, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.encoding import force_str

from notifications import exceptions
from notifications.core.databases import is_outage, is_temporary_failure

logger = logging.getLogger("notifications.api")
CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:klaxon:"
RETRY_SECONDS = 5.0

TITLES: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "The request is malformed"),
    "idempotency-key-missing": (400, "The header Idempotency-Key is missing"),
    "idempotency-key-invalid": (400, "The header Idempotency-Key is not valid"),
    "not-authenticated": (401, "Authentication is required"),
    "invalid-key": (401, "The API key is not valid"),
    "not-permitted": (403, "This is not permitted"),
    "missing-scope": (403, "The API key lacks a scope"),
    "csrf-failed": (403, "The CSRF check failed"),
    "not-found": (404, "There is no such object"),
    "method-not-allowed": (405, "The method is not allowed"),
    "conflict": (409, "The state of the object does not allow this"),
    "idempotency-key-running": (409, "A request with this key is running"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body must be JSON"),
    "invalid": (422, "A value is not valid"),
    "idempotency-key-reused": (422, "The key was used with another request"),
    "throttled": (429, "There were too many requests"),
    "internal": (500, "An error occurred"),
    "unavailable": (503, "The service is not available at present"),
}
"""The status and title of each problem, by the last part of its type."""


class Problem(Exception):
    """A request that is refused.

    :param name: a key of :data:`TITLES`.
    :param detail: what is wrong with this request, in a sentence.
    :param errors: the values that are wrong, each with ``location`` and ``message``.
    :param headers: headers of the response.
    :param more: further members of the problem, such as ``scope``.
    """

    def __init__(
        self,
        name: str,
        detail: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail or TITLES[name][1])
        self.name, self.detail, self.errors, self.headers, self.more = name, detail, errors, headers or {}, more

    @property
    def status(self) -> int:
        return TITLES[self.name][0]

    def build_response(self) -> HttpResponse:
        """Return the response."""
        content: dict[str, Any] = {
            "type": f"{TYPE_PREFIX}{self.name}",
            "title": TITLES[self.name][1],
            "status": self.status,
            **({"detail": self.detail} if self.detail else {}),
            **({"errors": list(self.errors)} if self.errors else {}),
            **self.more,
        }
        return HttpResponse(
            json.dumps(content), status=self.status, content_type=CONTENT_TYPE, headers=dict(self.headers)
        )


@dataclass(frozen=True)
class Found:
    """How an exception is shown.

    :param shows_message: whether the message of the exception is for the caller.
    """

    name: str
    shows_message: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


# The first class that fits decides.
FOUND_BY_CLASS: tuple[tuple[type[Exception], Found], ...] = (
    (Http404, Found("not-found")),
    (exceptions.NotPermitted, Found("not-permitted", shows_message=True)),
    (PermissionDenied, Found("not-permitted")),
    (exceptions.ActionUnavailable, Found("conflict", shows_message=True)),
    (exceptions.IdempotencyConflict, Found("conflict", shows_message=True)),
    (exceptions.UnknownEvent, Found("invalid", shows_message=True)),
    (exceptions.InvalidContext, Found("invalid", shows_message=True)),
    (exceptions.InvalidRecipient, Found("invalid", shows_message=True)),
    (exceptions.InvalidCluster, Found("invalid", shows_message=True)),
    (exceptions.InvalidOption, Found("invalid", shows_message=True)),
    (RequestDataTooBig, Found("too-large")),
    (UnreadablePostError, Found("malformed")),
    (SuspiciousOperation, Found("malformed")),
    # The check of the CSRF token reads forms.
    (BadRequest, Found("malformed")),
    (MultiPartParserError, Found("malformed")),
)


def find_problem(error: Exception) -> Problem:
    """Return the problem for an exception. An unexpected one is logged with a reference that the problem names."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return Problem("invalid", errors=list_errors(error))
    for kind, found in FOUND_BY_CLASS:
        if isinstance(error, kind):
            return Problem(found.name, clean(str(error)) if found.shows_message else "")
    if isinstance(error, exceptions.RenderingUnavailable):
        return make_unavailable(error.retry_after)
    reference = f"urn:uuid:{uuid4()}"
    logger.error("A request of the HTTP API failed: %s", reference, exc_info=error)
    if is_outage(error) or (isinstance(error, Error) and is_temporary_failure(error)):
        return make_unavailable(RETRY_SECONDS, instance=reference)
    return Problem("internal", "The error is in the log under the reference in “instance”.", instance=reference)


def make_unavailable(seconds: float, **more: Any) -> Problem:
    """Return the problem of something that works again later."""
    return Problem("unavailable", headers={"Retry-After": str(max(math.ceil(seconds), 1))}, **more)


def list_errors(error: ValidationError, location: str = "body") -> list[dict[str, str]]:
    """Return the errors of a validation by Django."""
    if not hasattr(error, "error_dict"):
        return [{"location": location, "message": clean(message)} for message in error.messages]
    return [
        {"location": location if name == "__all__" else f"{location}.{name}", "message": clean(message)}
        for name, messages in error.message_dict.items()
        for message in messages
    ]


def clean(text: Any) -> str:
    """Return a text without what JSON in UTF-8 cannot contain."""
    return force_str(text).encode("utf-8", "replace").decode()
