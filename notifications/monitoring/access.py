"""Who may see the state of the system: staff with a session, and programs with a key of the HTTP API."""

from typing import Any

from django.db import router
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from notifications.core import clock
from notifications.models import APIKey, APIScope

PERMISSION = "klaxon.view_delivery"


class Refused(Exception):
    """The caller may not see the page.

    :param status: 401 if nobody has signed in, 403 if the caller lacks a permission.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def require_operator(request: HttpRequest, permission: str = PERMISSION) -> None:
    """Check that the caller is staff with the permission, or has a key with the scope ``operations:read``.

    A key must not be limited to clusters, and its user needs the permission, too. A request with the header
    ``Authorization`` is never one of a session, so that a wrong key is always noticed.

    :raises Refused: if the caller is not.
    """
    header = request.headers.get("Authorization")
    user = _find_staff(request) if header is None else _find_user_of_key(header)
    if not user.has_perm(permission):
        raise Refused(403, f"The user needs the permission {permission!r}.")


def _find_staff(request: HttpRequest) -> Any:
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        raise Refused(401, "Sign in as staff, or send a key of the HTTP API in the header Authorization.")
    if not getattr(user, "is_staff", False):
        raise Refused(403, "Only staff may see this page.")
    return user


@sensitive_variables("header", "token")
def _find_user_of_key(header: str) -> Any:
    scheme, _space, token = header.partition(" ")
    using = router.db_for_write(APIKey)
    keys, now = APIKey.objects.using(using), clock.now(using)
    key = keys.find(token.strip(), now) if scheme.lower() == "bearer" else None
    if key is None:
        raise Refused(401, "The key is not valid.")
    keys.record_use(key, now)
    if APIScope.OPERATIONS not in key.scopes:
        raise Refused(403, f"The key lacks the scope {str(APIScope.OPERATIONS)!r}.")
    if not key.all_clusters:
        raise Refused(403, "The key is limited to some clusters, and this concerns all.")
    return key.user
