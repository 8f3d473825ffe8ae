"""The admin of pauses. Adding a row pauses a channel or everything, and deleting the row resumes it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.admin.base import StyledAdmin
from notifications.admin.confirmation import build_confirm_context
from notifications.core import clock
from notifications.models import Delivery, Pause
from notifications.models.pause import EVERYTHING

CONFIRMED = "confirmed"


class PauseForm(forms.ModelForm):
    """Offers the enabled channels. A pause of everything requires a note."""

    channel = forms.ChoiceField(help_text=_("The channel to pause, or everything."))

    class Meta:
        model = Pause
        fields = ("channel", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(name, name) for name in sorted(conf.current().enabled_channels)]
        # Nothing is preselected, so that a form that is submitted by mistake does not pause everything.
        choices = [("", "---------"), *names, (EVERYTHING, _("everything"))]
        self.fields["channel"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("channel") == EVERYTHING and not cleaned.get("note", "").strip():
            self.add_error("note", ValidationError(_("Enter a reason for pausing everything."), code="required"))
        return cleaned


@admin.register(Pause)
class PauseAdmin(StyledAdmin):
    """Pausing everything requires a confirmation."""

    form = PauseForm
    list_display = ("paused", "since", "note")

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if request.method == "POST" and CONFIRMED not in request.POST and self.has_add_permission(request):
            form = self.get_form(request)(request.POST)
            if form.is_valid() and form.cleaned_data["channel"] == EVERYTHING:
                return self._render_confirmation(request, form.cleaned_data["note"])
        return super().add_view(request, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        obj.since = clock.now(router.db_for_write(Delivery))
        super().save_model(request, obj, form, change)

    @admin.display(description=_("channel"))
    def paused(self, pause: Pause) -> Any:
        return _("everything") if pause.channel == EVERYTHING else pause.channel

    def _render_confirmation(self, request: HttpRequest, note: str) -> TemplateResponse:
        context = {
            **build_confirm_context(self, request, _("Pause everything?")),
            "note": note,
            "hidden_fields": [item for item in request.POST.items() if item[0] != "csrfmiddlewaretoken"],
            "field": CONFIRMED,
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
        }
        return TemplateResponse(request, "admin/klaxon/pause/confirm.html", context)
