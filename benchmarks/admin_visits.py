"""Every request that the admin can answer: lists, pages, filters, searches, forms and actions."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.test import Client, RequestFactory
from django.urls import reverse

from benchmarks.admin_rows import COMMON_EVENT, RARE_EVENT

TERMS = (
    *("1", "50", "999999999", "person5", "person1", "person5@example.com", "somebody@example.com", "u:7"),
    *("nobody", "n77", "order-70", "topic-7", "can0", "can9", "0x45", "rule-3", "bench_mail", "x1", "person7 70"),
)
"""Words that find much, little or nothing, each in one of the tables."""
TYPED = {
    "event": (COMMON_EVENT, RARE_EVENT, "gone"),
    "cluster": ("1", "3", "999999"),
    "channel": ("email", "wire"),
    "reason": ("preference", "lost_contact"),
}
"""What else is tried in the filters with many choices: frequent, rare and missing values."""
MAX_CHOICES = 12


@dataclass(frozen=True)
class Visit:
    """One request. ``kind`` is a row of the table of figures."""

    kind: str
    name: str
    path: str
    data: dict[str, Any] = field(default_factory=dict)

    def make(self, client: Client) -> Any:
        """Make the request. What an action has changed is rolled back."""
        if not self.data:
            return client.get(self.path)
        with transaction.atomic():
            response = client.post(self.path, self.data)
            transaction.set_rollback(True)
        return response


def list_visits(user: Any, shown: Collection[Any] = ()) -> Iterator[Visit]:
    """Yield the requests for all of Klaxon's models, or for those shown, as a user with all permissions."""
    request = RequestFactory().get("/")
    request.user = user
    for model, model_admin in admin.site._registry.items():
        if model in shown or (not shown and model._meta.app_label == "klaxon"):
            yield from _list_of_model(model, model_admin, request)


def _list_of_model(model: Any, model_admin: Any, request: Any) -> Iterator[Visit]:
    name = str(model._meta.verbose_name_plural)
    build = partial(_build_url, model)
    url = build("changelist")
    yield Visit("first page", name, url)
    keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True)[:2])
    keys += list(model._default_manager.order_by("-pk").values_list("pk", flat=True)[:1])
    for key in keys:
        yield Visit("page of a row", f"{name} {key}", build("change", key))
    if model_admin.has_add_permission(request):
        yield Visit("page of a row", f"{name}: add", build("add"))
    if keys and model_admin.has_delete_permission(request, model._default_manager.get(pk=keys[0])):
        yield Visit("page of a row", f"{name}: delete", build("delete", keys[0]))
    changelist = _get_changelist(model_admin, request, url)
    last = changelist.paginator.num_pages
    yield from (Visit("another page", f"{name} {page}", f"{url}?p={page}") for page in {min(2, last), last})
    yield from (Visit("filter", f"{name} {query}", f"{url}?{query}") for query in _list_filters(changelist))
    if model_admin.get_search_fields(request):
        yield from (Visit("search", f"{name} {term}", f"{url}?{urlencode({'q': term})}") for term in TERMS)
    yield from _list_actions(name, url, model_admin, request, keys[:2])


def _list_actions(name: str, url: str, model_admin: Any, request: Any, keys: list[Any]) -> Iterator[Visit]:
    """Yield each action on two rows, and on all rows of the list."""
    for action in model_admin.get_actions(request):
        for across in ("0", "1"):
            data = {"action": action, ACTION_CHECKBOX_NAME: keys, "select_across": across}
            yield Visit("action", f"{name} {action} {across}", url, data)


def _build_url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:klaxon_{model._meta.model_name}_{page}", args=args)


def _get_changelist(model_admin: Any, request: Any, url: str) -> Any:
    listed = RequestFactory().get(url)
    listed.user = request.user
    return model_admin.get_changelist_instance(listed)


def _list_filters(changelist: Any) -> Iterator[str]:
    """Yield the query string of each choice of each filter."""
    for spec in changelist.filter_specs:
        for choice in list(spec.choices(changelist))[:MAX_CHOICES]:
            if "query_string" in choice:
                if choice["query_string"].strip("?"):
                    yield choice["query_string"].strip("?")
            else:
                yield urlencode({spec.parameter_name: choice["value"]})
        for value in TYPED.get(getattr(spec, "parameter_name", ""), ()):
            yield urlencode({spec.parameter_name: value})
