"""What operators look at and turn: pauses, suppressions, buckets and the workers that live."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import router
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from notifications import clock, conf
from notifications.admin import search
from notifications.admin.base import Kept
from notifications.models import Bucket, Circuit, Delivery, Heartbeat, Pause, Suppression
from notifications.models.pause import EVERYTHING


class PauseForm(forms.ModelForm):
    """Offers the channels that there are."""

    channel = forms.ChoiceField(help_text=Pause._meta.get_field("channel").help_text)

    class Meta:
        model = Pause
        fields = ("channel", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [EVERYTHING, *sorted(conf.current().enabled_channels)]
        self.fields["channel"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


@admin.register(Pause)
class PauseAdmin(admin.ModelAdmin):
    """Adding a row pauses, deleting it resumes."""

    form = PauseForm
    list_display = ("channel", "since", "note")

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        obj.since = clock.now(router.db_for_write(Delivery))
        super().save_model(request, obj, form, change)


@admin.register(Suppression)
class SuppressionAdmin(admin.ModelAdmin):
    """Rows come from providers; deleting one lifts it."""

    list_display = ("address", "kind", "reason", "is_active", "refusals", "created_at")
    list_filter = ("is_active", "kind", "reason")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False


@admin.register(Circuit)
class CircuitAdmin(admin.ModelAdmin):
    """The health of the providers; deleting a row lets its provider be tried at once."""

    list_display = ("key", "failures", "success_rate", "response_seconds", "opened_at", "open_until", "error")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Circuit | None = None) -> bool:
        return False


@admin.register(Heartbeat)
class HeartbeatAdmin(admin.ModelAdmin):
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
