"""The operations together: their paths, and how their errors are answered."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import URLPattern, path, re_path
from ninja import NinjaAPI
from ninja import errors as ninja_errors
from ninja.parser import Parser

from notifications.api.gateway import guard, refuse
from notifications.api.json_body import read_json
from notifications.api.operations import (
    admin,
    analytics,
    escalations,
    health,
    inbox,
    preferences,
    rotas,
    sending,
    suppressions,
    templates,
    webhooks,
)
from notifications.api.operations.openapi import make_view
from notifications.api.problems import Problem, clean, find_problem

DESCRIPTION = """\
Notifications of the signed-in user or of the user of an API key, and operations for staff.

Errors are problem details (RFC 9457). Lists have cursors: pass `next_cursor` as `cursor` until it is null.
"""
ROUTERS = (
    ("/inbox", inbox.router),
    ("/notifications", sending.router),
    ("", preferences.router),
    ("/templates", templates.router),
    ("/suppressions", suppressions.router),
    ("/webhooks", webhooks.router),
    ("/analytics", analytics.router),
    ("/escalations", escalations.router),
    ("/rotas", rotas.router),
    ("", admin.router),
    ("/health", health.router),
)
# Load balancers ask them often, also while the database is away.
NOT_THROTTLED = ("health/live", "health/ready")
ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class StrictParser(Parser):
    """Reads bodies strictly, and refuses a parameter that is given twice."""

    def parse_body(self, request: HttpRequest) -> Any:
        return read_json(request)

    def parse_querydict(self, data: Any, list_fields: list[str], request: HttpRequest) -> Any:
        if isinstance(data, QueryDict):
            for name, values in data.lists():
                if len(values) > 1 and name not in list_fields:
                    message = "The parameter is given more than once."
                    raise Problem("invalid", errors=[{"location": f"query.{clean(name)}", "message": message}])
        return super().parse_querydict(data, list_fields, request)


def build_api() -> NinjaAPI:
    """Return the operations as django-ninja serves them."""
    api = NinjaAPI(
        title="Notifications",
        version="1",
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        urls_namespace="notifications_api",
        parser=StrictParser(),
    )
    for prefix, router in ROUTERS:
        api.add_router(prefix, router)
    for kind in (Exception, Http404, ninja_errors.HttpError, ninja_errors.ValidationError):
        api.add_exception_handler(kind, answer)
    return api


def answer(request: HttpRequest, error: Any) -> HttpResponse:
    """Return the problem for an exception of an operation."""
    return find_problem(_translate(error)).build_response()


def _translate(error: Exception) -> Exception:
    if isinstance(error, ninja_errors.ValidationError):
        return Problem("invalid", errors=[_describe(one) for one in error.errors])
    if isinstance(error, ninja_errors.HttpError) and error.__cause__ is not None:
        # django-ninja has wrapped an error of the parser.
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    return error


def _describe(error: dict[str, Any]) -> dict[str, str]:
    # The name of the parameter that has the whole body is not a part of the body.
    location = [str(part) for part in error["loc"]]
    if location[:1] == ["body"] and len(location) > 1:
        del location[1]
    return {"location": clean(".".join(location)), "message": clean(error["msg"])}


def build_patterns() -> list[URLPattern]:
    """Return the URL patterns."""
    api = build_api()
    patterns = [path("openapi.json", guard(make_view(api), ["GET"]), name="openapi")]
    for bound in api._get_bound_routers():
        operations = [(view, one) for view in bound.path_operations.values() for one in view.operations]
        for pattern, (view, _operation) in zip(bound.urls_paths(bound.prefix), operations, strict=True):
            # Each operation has a pattern, so that it can be reversed; the view of the path serves all of them.
            methods = {method for operation in view.operations for method in operation.methods}
            is_throttled = str(pattern.pattern) not in NOT_THROTTLED
            pattern.callback = guard(pattern.callback, methods, is_throttled)
            patterns.append(pattern)
    return [*patterns, re_path("", guard(refuse, ALL_METHODS), name="nothing")]
