"""Who makes a request: a user with a session, or a program with an API key.

``NOTIFICATIONS["API"]["AUTH"]`` names the classes. The first one that recognises a request decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from django.db import router
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from notifications import conf
from notifications.api.problems import Problem
from notifications.api.throttling import throttle_caller
from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.models import APIKey

CHALLENGE = 'Bearer realm="notifications"'
MAX_HEADER_LENGTH = 4096


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and what they are limited to in addition to the permissions of the user.

    :param user: a user of the site.
    :param scopes: the scopes of the operations that may be called; None for all.
    :param cluster_keys: the primary keys of the clusters that may be reached; None for all that the user can reach.
    :param key_id: the primary key of the ``APIKey``; None for a session.
    """

    user: Any
    scopes: frozenset[str] | None = None
    cluster_keys: frozenset[Any] | None = None
    key_id: Any = None

    @property
    def identity(self) -> str:
        """The key under which requests are counted and idempotency keys are kept."""
        return user_key(self.user.pk) if self.key_id is None else f"k:{self.key_id}"

    @property
    def is_key(self) -> bool:
        """Whether it is a program and not a person."""
        return self.key_id is not None

    def may_reach(self, cluster_key: Any) -> bool:
        """Return whether the caller is not limited to other clusters. The user's membership is another question."""
        return self.cluster_keys is None or cluster_key in self.cluster_keys


class Authentication:
    """The base class of the classes that ``AUTH`` names. An instance serves many requests in several threads.

    :cvar security_scheme: the Security Scheme Object of OpenAPI that describes it.
    """

    security_scheme: ClassVar[Mapping[str, Any]] = {}

    def authenticate(self, request: HttpRequest) -> Caller | None:
        """Return the caller, or None if the request has no credentials for this class.

        :raises Problem: if it has, and they are not valid.
        """
        raise NotImplementedError


class KeyAuth(Authentication):
    """An API key in the header ``Authorization: Bearer klx_…`` (RFC 6750).

    A request with this header is never one of a session, so that a wrong key is always noticed.
    """

    security_scheme: ClassVar[Mapping[str, Any]] = {"type": "http", "scheme": "bearer", "bearerFormat": "klx_…"}

    @sensitive_variables("header", "token")
    def authenticate(self, request: HttpRequest) -> Caller | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _space, token = header.partition(" ")
        using = router.db_for_write(APIKey)
        keys = APIKey.objects.using(using)
        now = clock.cached_now(using)
        is_usable = scheme.lower() == "bearer" and len(header) <= MAX_HEADER_LENGTH
        key = keys.find(token.strip(), now) if is_usable else None
        if key is None:
            # An unknown, revoked and expired key look the same.
            raise Problem("invalid-key", headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'})
        keys.record_use(key, now)
        return Caller(key.user, frozenset(key.scopes), key.list_cluster_keys(), key.pk)


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        raise Problem("csrf-failed", f"{reason} Send the CSRF token in the header X-CSRFToken.")


class SessionAuth(Authentication):
    """The session of a user who is signed in. A request that changes something needs Django's CSRF token."""

    security_scheme: ClassVar[Mapping[str, Any]] = {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "Unsafe methods also need the header X-CSRFToken, with the token of Django.",
    }

    def authenticate(self, request: HttpRequest) -> Caller | None:
        user: Any = getattr(request, "user", None)
        if user is None or not user.is_authenticated or not user.is_active:
            return None
        check = _CsrfCheck(lambda request: HttpResponse())
        check.process_request(request)
        # Django's middleware has let the view pass, because it is exempt.
        request.csrf_processing_done = False  # type: ignore[attr-defined]
        check.process_view(request, lambda request: HttpResponse(), (), {})
        return Caller(user)


@cache
def load_classes(paths: tuple[str, ...]) -> tuple[Authentication, ...]:
    """Return an instance of each class.

    :raises ImportError: if one cannot be imported.
    """
    return tuple(import_string(path)() for path in paths)


def find_caller(request: HttpRequest) -> Caller:
    """Return who makes a request.

    :raises Problem: if nobody does, or their credentials are not valid.
    """
    for one in load_classes(tuple(conf.current().get_api_option("AUTH"))):
        caller = one.authenticate(request)
        if caller is not None:
            return caller
    raise Problem("not-authenticated", headers={"WWW-Authenticate": CHALLENGE})


class Requires:
    """What an operation requires. It authenticates, counts and authorizes a request, before anything is validated.

    :param scope: the scope that a key must have.
    :param permission: the permission that the user must have; empty for none.
    """

    def __init__(self, scope: str, permission: str = "") -> None:
        self.scope, self.permission = str(scope), permission

    def __call__(self, request: HttpRequest) -> Caller:
        """
        :raises Problem: if the request is refused.
        """
        caller = find_caller(request)
        throttle_caller(caller.identity)
        if caller.scopes is not None and self.scope not in caller.scopes:
            challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{self.scope}"'
            raise Problem(
                "missing-scope",
                f"The key lacks the scope {self.scope!r}.",
                headers={"WWW-Authenticate": challenge},
                scope=self.scope,
            )
        if self.permission and not caller.user.has_perm(self.permission):
            raise Problem("not-permitted", f"The user needs the permission {self.permission!r}.")
        return caller


def get_caller(request: HttpRequest) -> Caller:
    """Return the caller of a request that :class:`Requires` has let pass."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller
