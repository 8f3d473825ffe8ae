"""What all requests of the API pass, before and after their operation."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from notifications.api.json_body import check_text
from notifications.api.problems import Problem, find_problem
from notifications.api.throttling import throttle_address
from notifications.core.databases import read_from_primary
from notifications.core.languages import use_own_language

View = Callable[..., HttpResponseBase]


def guard(view: View, methods: Iterable[str], is_throttled: bool = True) -> View:
    """Return the view of a path.

    It answers HEAD like GET, OPTIONS and other methods with ``Allow``, and every error with a problem. It reads the
    primary database, so that a revoked key and a lost membership are effective at once, and it forbids caches to keep
    the answer. A transaction of ``ATOMIC_REQUESTS`` would hide the idempotency key of a request until its end; each
    operation has its own.

    :param methods: the methods of the operations.
    :param is_throttled: whether the requests of an address are counted. Counting needs the database.
    """
    offered = set(methods)
    allowed = ", ".join(sorted({*offered, "OPTIONS", *(("HEAD",) if "GET" in offered else ())}))

    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        is_head = request.method == "HEAD" and "GET" in offered
        if is_head:
            request.method = "GET"
        with read_from_primary(), use_own_language():
            try:
                response = _answer(request, args, kwargs)
            except Exception as error:  # noqa: BLE001 - the boundary of the site: nothing of it may be shown
                response = find_problem(error).build_response()
        return _finish(request, response, is_head)

    def _answer(request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": allowed})
        if request.method not in offered:
            raise Problem("method-not-allowed", f"Allowed: {allowed}.", headers={"Allow": allowed})
        if is_throttled:
            throttle_address(request)
        _check_request(request, kwargs)
        return view(request, *args, **kwargs)

    # Operations check the session and the CSRF token themselves.
    run.csrf_exempt = True  # type: ignore[attr-defined]
    run.login_required = False  # type: ignore[attr-defined]
    run._non_atomic_requests = set(connections)  # type: ignore[attr-defined]
    return run


def _check_request(request: HttpRequest, path_values: dict[str, Any]) -> None:
    for name, values in request.GET.lists():
        for text in (name, *values):
            check_text(text, "The query")
    for value in path_values.values():
        if isinstance(value, str):
            check_text(value, "The path")


def _finish(request: HttpRequest, response: HttpResponseBase, is_head: bool) -> HttpResponseBase:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    patch_vary_headers(response, ("Authorization", "Cookie", "Accept-Language"))
    if is_head and isinstance(response, HttpResponse):
        request.method = "HEAD"
        length = len(response.content)
        response.content = b""
        response.headers["Content-Length"] = str(length)
    return response


def refuse(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """Answer a path that does not exist."""
    raise Problem("not-found", "There is no such path.")
