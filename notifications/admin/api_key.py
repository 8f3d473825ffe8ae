"""The admin of API keys. A key is shown once, on the page that follows its creation."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from notifications.admin.base import StyledAdmin
from notifications.admin.confirmation import MAX_ROWS, build_confirm_context, list_selected
from notifications.core import clock
from notifications.models import APIKey, APIScope


class KeyForm(forms.ModelForm):
    """A new key. Its scopes are ticked."""

    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), choices=APIScope.choices, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = APIKey
        fields = ("name", "user", "scopes", "all_clusters", "clusters", "expires_at")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("all_clusters") and not cleaned.get("clusters"):
            self.add_error("clusters", _("Choose the clusters that the key reaches, or “all clusters”."))
        return cleaned


@admin.register(APIKey)
class APIKeyAdmin(StyledAdmin):
    """A key cannot be changed, only revoked. Only superusers create keys for others, who may have more permissions."""

    form = KeyForm
    list_display = ("name", "prefix", "user", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("prefix", "name")
    ordering = ("-pk",)
    raw_id_fields = ("clusters", "user")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        made = ("prefix", "created_at", "last_used_at", "revoked_at") if obj else ()
        return (*KeyForm.Meta.fields, *made)

    def has_change_permission(self, request: HttpRequest, obj: APIKey | None = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            users = get_user_model()._default_manager.all()
            account: Any = request.user
            kwargs["initial"] = account.pk
            if not account.is_superuser:
                # A choice of one. Superusers enter a key, because a list of all users may be endless.
                return db_field.formfield(**kwargs, queryset=users.filter(pk=account.pk))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        using = router.db_for_write(APIKey)
        # The clusters follow with the other relations of the form.
        token = APIKey.objects.using(using).save_new(obj, None, clock.now(using))
        request.klaxon_new_key = token  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: APIKey, post_url_continue: Any = None) -> HttpResponse:
        # In the answer itself and not in a message, which the session would store.
        context = {
            **build_confirm_context(self, request, _("Copy the key now")),
            "row": obj,
            "token": request.klaxon_new_key,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "admin/klaxon/apikey/issued.html", context)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("klaxon.change_apikey")

    @admin.action(permissions=["revoke"], description=gettext_lazy("Revoke"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        using = router.db_for_write(APIKey)
        keys = list_selected(queryset, MAX_ROWS + 1)
        if len(keys) > MAX_ROWS:
            self.message_user(request, _("Select at most %d keys. Nothing was revoked.") % MAX_ROWS, messages.ERROR)
            return
        with transaction.atomic(using=using):
            rows = APIKey.objects.using(using).filter(pk__in=keys)
            valid = list(rows.filter(revoked_at=None).select_for_update().order_by("pk"))
            count = rows.filter(pk__in=[row.pk for row in valid]).revoke(clock.now(using))
            LogEntry.objects.log_actions(request.user.pk, valid, CHANGE, "revoked")  # type: ignore[arg-type]
        done = ngettext("%d key was revoked.", "%d keys were revoked.", count) % count
        self.message_user(request, done, messages.SUCCESS if count else messages.WARNING)
