"""The description of the API (OpenAPI 3.1), with an example for each request and answer."""

import json
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import NinjaAPI
from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema
from ninja.operation import Operation

from notifications import conf
from notifications.api.auth import Requires, load_classes
from notifications.api.idempotency import HEADER
from notifications.api.operations.schemas import ProblemDetails
from notifications.api.problems import CONTENT_TYPE, TITLES

JSON = "application/json"
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
CHALLENGE = {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}
NO_STORE = {"Cache-Control": {"description": "Nothing may be kept.", "schema": {"const": "no-store"}}}
IDEMPOTENCY_HEADER = {
    "name": HEADER,
    "in": "header",
    "required": True,
    "description": "A new UUID for each request. With the same key, the same request gives the same answer.",
    "schema": {"type": "string", "pattern": '^"?[A-Za-z0-9_.:+/=-]{1,200}"?$'},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}


class Description(OpenAPISchema):
    """The description that django-ninja makes, with security, problems and examples."""

    def operation_details(self, operation: Operation) -> dict[str, Any]:
        details: dict[str, Any] = super().operation_details(operation)
        required = _find_requirement(operation)
        if required is not None and required.permission:
            details["description"] += f"\n\nThe user needs the permission `{required.permission}`."
        if details.pop("x-idempotent", False):
            details["parameters"].append(IDEMPOTENCY_HEADER)
        self._add_examples(details.get("requestBody"))
        for response in details["responses"].values():
            self._add_examples(response)
            response["headers"] = NO_STORE
        for status in _list_problem_statuses(operation):
            details["responses"][status] = self._describe_problem(status)
        return details

    def operation_security(self, operation: Operation) -> list[dict[str, Any]] | None:
        required = _find_requirement(operation)
        if required is None:
            return []
        names = []
        for one in load_classes(tuple(conf.current().get_api_option("AUTH"))):
            name = type(one).__name__
            self.securitySchemes[name] = dict(one.security_scheme)
            names.append({name: [required.scope]})
        return names

    def _add_examples(self, part: dict[str, Any] | None) -> None:
        for content in (part or {}).get("content", {}).values():
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            content["example"] = self.schemas[name]["examples"][0]

    def _describe_problem(self, status: int) -> dict[str, Any]:
        self.schemas["ProblemDetails"] = ProblemDetails.model_json_schema(ref_template=REF_TEMPLATE)
        name = next(name for name, (known, _title) in TITLES.items() if known == status)
        headers = {
            **NO_STORE,
            **({} if status not in (429, 503) else RETRY_AFTER),
            **({} if status != 401 else CHALLENGE),
        }
        example = {"type": f"urn:problem-type:klaxon:{name}", "title": TITLES[name][1], "status": status}
        schema = {"$ref": REF_TEMPLATE.format(model="ProblemDetails")}
        return {
            "description": TITLES[name][1],
            "headers": headers,
            "content": {CONTENT_TYPE: {"schema": schema, "example": example}},
        }


def _find_requirement(operation: Operation) -> Requires | None:
    return next((one for one in operation.auth_callbacks if isinstance(one, Requires)), None)


def _list_problem_statuses(operation: Operation) -> list[int]:
    """Return the statuses of the problems that any operation of this kind can have."""
    statuses = [400, 422, 429, 500, 503]
    if _find_requirement(operation) is not None:
        statuses += [401, 403, 404]
    if CHANGING & set(operation.methods):
        statuses += [409, 413, 415]
    return sorted(statuses)


@lru_cache(maxsize=100)
def build_description(api: NinjaAPI, prefix: str, classes: tuple[str, ...]) -> str:
    """Return the description as JSON.

    :param prefix: the path of the site under which the API is included.
    :param classes: the classes of ``AUTH``, because the description depends on them.
    """
    return json.dumps(Description(api, prefix), sort_keys=False)


def make_view(api: NinjaAPI) -> Any:
    """Return the view that shows the description."""

    def show_description(request: HttpRequest) -> HttpResponse:
        prefix = reverse("notifications_api:openapi").removesuffix("openapi.json")
        text = build_description(api, prefix, tuple(conf.current().get_api_option("AUTH")))
        return HttpResponse(text, content_type=JSON)

    return show_description
