"""A site with the API: Ann, who may do little; Olga, who operates it; and keys."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from jsonschema import Draft202012Validator

from notifications.core import clock
from notifications.models import APIKey, APIScope, Cluster, InboxItem

PERMISSIONS = (
    *("send_notification", "view_notification", "retry_delivery", "view_delivery", "view_trackingfigure"),
    *("view_stafftemplate", "add_stafftemplate", "change_stafftemplate", "publish_stafftemplate"),
    *("view_suppression", "add_suppression", "lift_suppression"),
    *("manage_webhooks", "view_escalationrun", "change_escalationrun"),
)


@pytest.fixture(autouse=True)
def api_site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.api.urls"
    settings.NOTIFICATIONS = {
        "CHANNELS": {"log": {}},
        "BASE_URL": "https://shop.example.com",
        # Tests of the throttle set a lower one.
        "API": {"THROTTLE": "", "ADDRESS_THROTTLE": ""},
    }


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann", "ann@example.com")


@pytest.fixture
def olga(db: None) -> User:
    user = User.objects.create_user("olga", "olga@example.com")
    user.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))
    return user


@pytest.fixture
def cluster(db: None) -> Cluster:
    return Cluster.objects.default()


@pytest.fixture
def foreign(db: None) -> Cluster:
    """A cluster without members."""
    return Cluster.objects.create(name="Foreign", slug="foreign")


@cache
def load_description() -> Any:
    # The description is the same for all tests, whatever database they use.
    from notifications.api.operations.application import build_api
    from notifications.api.operations.openapi import Description

    return json.loads(json.dumps(Description(build_api(), "/api/")))


def check_response(response: Any, method: str) -> None:
    """Compare a response with the description of its operation."""
    assert response.headers["Cache-Control"] == "no-store"
    route = response.resolver_match.route
    path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)
    operation = load_description()["paths"].get(path, {}).get(method)
    if operation is None or response.status_code == 405:
        return
    described = operation["responses"][str(response.status_code)]
    if response.status_code == 204:
        assert (response.content, "content" in described) == (b"", False)
        return
    [(kind, content)] = described["content"].items()
    assert response.headers["Content-Type"].partition(";")[0] == kind
    schema = {**content["schema"], "components": load_description()["components"]}
    faults = list(Draft202012Validator(schema).iter_errors(response.json()))
    assert faults == [], f"{method} {path}"


class Api:
    """A client that sends and reads JSON."""

    def __init__(self, user: User | None = None, token: str = "", **options: Any) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {token}"} if token else {}, **options)
        if user is not None:
            self.client.force_login(user)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.generic(method.upper(), f"/api/{path}", content, "application/json", headers=names)
        check_response(response, method)
        return response

    def get(self, path: str, **headers: str) -> Any:
        return self.call("get", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("post", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("put", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("patch", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.call("delete", path, **headers)


@pytest.fixture
def api(ann: User) -> Api:
    """Ann in a browser."""
    return Api(ann)


@pytest.fixture
def staff(olga: User) -> Api:
    """Olga in a browser."""
    return Api(olga)


@pytest.fixture
def anonymous(db: None) -> Api:
    return Api()


@pytest.fixture
def issue(db: None) -> Callable[..., str]:
    """Issue a key and return it."""

    def make(user: User, *scopes: str, clusters: Any = None, **options: Any) -> str:
        chosen = scopes or APIScope.values
        return APIKey.objects.issue(user, "test", chosen, clock.now(), clusters=clusters, **options)[1]

    return make


@pytest.fixture
def still_clock(db: None) -> Iterator[None]:
    """Stop the clock, so that nobody asks the database for the time, which happens once a second."""
    now = clock.now()
    with clock.override(lambda: now):
        yield


@pytest.fixture
def put(db: None) -> Callable[..., list[InboxItem]]:
    """Add items to the inbox of a user."""

    def write(user: User, count: int = 1, **values: Any) -> list[InboxItem]:
        defaults = {"cluster": Cluster.objects.default(), "event": "order_shipped", "priority": 3, "title": "Shipped"}
        known = set(InboxItem.objects.values_list("pk", flat=True))
        rows = [InboxItem(**{"recipient": user, "created_at": clock.now(), **defaults, **values}) for _ in range(count)]
        InboxItem.objects.add_items(rows)
        return list(InboxItem.objects.exclude(pk__in=known).order_by("pk"))

    return write


def problem(response: Any) -> tuple[int, str]:
    """The status of a problem, and the last part of its type."""
    assert response.headers["Content-Type"] == "application/problem+json", response.content[:500]
    content = response.json()
    assert content["status"] == response.status_code
    assert content["title"]
    return response.status_code, content["type"].removeprefix("urn:problem-type:klaxon:")
