"""What operators look at and turn: suppressions, circuits, buckets and the workers that live."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import Kept, Styled, ViewOnly
from notifications.admin.filters import AddressKindFilter
from notifications.models import Bucket, Circuit, Heartbeat, Suppression
from notifications.models.suppression import hash_normalized


@admin.register(Suppression)
class SuppressionAdmin(ViewOnly):
    """Rows come from providers; deleting one lifts it."""

    list_display = ("address", "kind", "reason", "is_active", "refusals", "created_at")
    list_filter = ("is_active", AddressKindFilter, "reason")
    search_help_text = _("An address, written in full. Only its hash is stored, so parts of it are not found.")
    fieldsets = ((None, {"fields": ("address", "kind", "reason", "is_active", "refusals", "created_at")}),)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # The whole text is one address: a quoted local part may hold spaces.
        return (queryset.filter(address_hash=hash_normalized(search_term)) if search_term.strip() else queryset), False


@admin.register(Circuit)
class CircuitAdmin(Styled):
    """The health of the providers; deleting a row lets its provider be tried at once."""

    list_display = ("key", "failures", "success_rate", "response_seconds", "opened_at", "open_until", "error")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Circuit | None = None) -> bool:
        return False


@admin.register(Heartbeat)
class HeartbeatAdmin(Styled):
    """The workers; nothing to change."""

    list_display = ("owner", "host", "pid", "started_at", "beat_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Heartbeat | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Heartbeat | None = None) -> bool:
        return False


@admin.register(Bucket)
class BucketAdmin(Kept):
    """What takes longest to be full again comes first. A bucket that is not here is full."""

    list_display = ("key", "full_at", "promised_at")
    ordering: ClassVar[tuple[str, ...]] = ("-full_at",)
    search_help_text = _("A key, written in full, or a number.")
    fieldsets = ((None, {"fields": ("key", "full_at", "promised_at", "seen_at")}),)

    def matching(self, term: str) -> Q:
        return search.number(term, "pk") | Q(key=term)
