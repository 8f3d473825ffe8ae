"""Whoever changes preferences here is named in the record of changes."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class Audited(admin.ModelAdmin):
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save(by=request.user)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.delete(by=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        # Querysets of these models take it: see models.audit.
        queryset.delete(by=request.user)  # type: ignore[call-arg]
