"""The base class for the admin of preferences: the record of changes names the user who makes a change."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class AuditedAdmin(admin.ModelAdmin):
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save(by=request.user)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.delete(by=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        # The querysets of these models accept it; see models.audit.
        queryset.delete(by=request.user)  # type: ignore[call-arg]
