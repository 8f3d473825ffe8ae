"""Fields for users and clusters: with autocompletion if the site's admin offers it, otherwise with a raw id."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.http import HttpRequest


class AutocompleteAdmin(admin.ModelAdmin):
    """Uses autocompletion for the relations in ``raw_id_fields`` whose model has an admin that can be searched.

    The models of users and clusters are the site's own, so their admin may be missing. Staff who may not view it have
    no autocompletion either.
    """

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        return [*super().get_autocomplete_fields(request), *self._find_searchable(request)]

    def _find_searchable(self, request: HttpRequest) -> Iterator[str]:
        for name in self.raw_id_fields:
            try:
                related: Any = self.model._meta.get_field(name).related_model
            except FieldDoesNotExist:
                continue
            found = self.admin_site._registry.get(related)
            if found and found.get_search_fields(request) and found.has_view_permission(request):
                yield name
