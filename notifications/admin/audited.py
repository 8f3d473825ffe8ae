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
        # One by one: a statement on all of them would leave no record.
        for row in queryset:
            row.delete(by=request.user)
