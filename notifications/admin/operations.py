"""The admin of alarms, circuits, workers and buckets, for operators."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications.admin import search
from notifications.admin.base import PermanentAdmin, StyledAdmin
from notifications.models import Alarm, Bucket, Circuit, Heartbeat


class StateAdmin(StyledAdmin):
    """The admin of a small table that says how the system is now. Its pages are read-only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Alarm)
class AlarmAdmin(StateAdmin):
    """The causes that were bad at some time, those of which there is an alarm first."""

    list_display = ("cause", "degraded_at", "bad_since", "good_since", "detail", "remedy")
    ordering: ClassVar[tuple[Any, ...]] = (F("degraded_at").desc(nulls_last=True), "cause")


@admin.register(Circuit)
class CircuitAdmin(StyledAdmin):
    """Deleting a row closes the circuit, so that workers try the provider again immediately."""

    list_display = ("key", "failures", "success_rate", "response_seconds", "opened_at", "open_until", "error")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Circuit | None = None) -> bool:
        return False


@admin.register(Heartbeat)
class HeartbeatAdmin(StateAdmin):
    """The workers that are alive."""

    list_display = ("owner", "host", "pid", "started_at", "beat_at")


@admin.register(Bucket)
class BucketAdmin(PermanentAdmin):
    """The bucket that takes the longest to refill is the first. Buckets that are not in the table are full."""

    list_display = ("key", "full_at", "promised_at")
    ordering: ClassVar[tuple[str, ...]] = ("-full_at",)
    search_help_text = _("Enter a complete key or a number.")
    fieldsets = ((None, {"fields": ("key", "full_at", "promised_at", "seen_at")}),)

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | Q(key=term)
