"""The page that Prometheus reads. A program proves itself with a token, and a person with a permission."""

from secrets import compare_digest

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_safe

from notifications import conf
from notifications.monitoring.prometheus import render_metrics

PERMISSION = "klaxon.view_figure"
CHALLENGE = 'Bearer realm="metrics"'


@login_not_required
@require_safe
@never_cache
def show_metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics as text. Without a valid token, the user needs the permission ``klaxon.view_figure``."""
    if not has_token(request):
        user = getattr(request, "user", None)
        # With a wrong token, the user is not asked for, because that reads the database.
        if "Authorization" in request.headers or user is None or not user.is_authenticated:
            return HttpResponse(
                "The metrics need a valid token, or a user with a permission.\n",
                status=401,
                content_type="text/plain; charset=utf-8",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        if not user.has_perm(PERMISSION):
            raise PermissionDenied
    body, content_type = render_metrics()
    return HttpResponse(body, content_type=content_type)


# A transaction of ATOMIC_REQUESTS, of any database, would fail before the page can say that the database is away.
show_metrics._non_atomic_requests = set(connections)  # type: ignore[attr-defined]


@sensitive_variables()
def has_token(request: HttpRequest) -> bool:
    """Return whether the request has the token of ``METRICS["TOKEN"]``. The time it takes does not depend on both."""
    expected = conf.current().get_metrics_option("TOKEN")
    scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
    is_equal = compare_digest(given.strip().encode(), expected.encode())
    return bool(expected) and scheme.lower() == "bearer" and is_equal
