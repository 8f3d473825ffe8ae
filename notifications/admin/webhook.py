"""The admin of webhook endpoints and of the attempts to reach them. A secret is shown only when it is made."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from notifications.admin import search
from notifications.admin.base import LargeTableAdmin, PermanentAdmin
from notifications.admin.columns import render_json
from notifications.admin.confirmation import MAX_ROWS, list_selected
from notifications.admin.filters import ClusterFilter
from notifications.channels.webhook import mask_url
from notifications.exceptions import AddressForbidden, InvalidOption, KlaxonError
from notifications.models import WebhookAttempt, WebhookEndpoint
from notifications.webhooks import (
    create_endpoint,
    has_webhooks,
    list_events,
    rotate_secret,
    update_endpoint,
)
from notifications.webhooks.endpoints import CreatedEndpoint, check_room, check_url, set_all_enabled


class WebhookEndpointForm(forms.ModelForm):
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Without a choice, it gets all events, and also those that are added later."),
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("cluster", "owner", "url", "description", "kind")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["events"] = self.instance.events
        names = {event.name: event.words for event in list_events()}
        names = {**{name: name for name in self.instance.events}, **names}
        self.fields["events"].choices = list(names.items())  # type: ignore[attr-defined]

    def clean_url(self) -> str:
        url = self.cleaned_data["url"]
        if url == self.instance.url:
            return str(url)
        try:
            checked = check_url(url)
            is_new = self.instance.pk is None
            cluster = self.cleaned_data.get("cluster") if is_new else self.instance.cluster
            check_room(cluster, checked, None if is_new else self.instance)
        except (AddressForbidden, InvalidOption) as error:
            raise ValidationError(str(error)) from error
        return checked


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(LargeTableAdmin):
    """The endpoints of all clusters."""

    form = WebhookEndpointForm
    list_display = ("uid", "description", "cluster", "server", "enabled", "failing_since", "succeeded_at")
    list_display_links = ("uid",)
    list_filter = ("enabled", "kind", ClusterFilter)
    search_help_text = gettext_lazy("Enter the id of an endpoint, or the login name or email address of its owner.")
    related_fields = ("cluster", "owner")
    raw_id_fields = ("cluster", "owner")
    actions = ("enable", "disable", "rotate")
    state_fields = (
        "uid",
        "enabled",
        "disabled_at",
        "disabled_reason",
        "failing_since",
        "succeeded_at",
        "slowed_until",
        "previous_until",
        "created_at",
    )

    def get_search_condition(self, term: str) -> Q:
        return Q(uid=term) | search.match_recipient(term, "owner")

    def get_fieldsets(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        fields = ("cluster", "owner", "url", "description", "events", "kind")
        return [(None, {"fields": fields}), *([] if obj is None else [(_("State"), {"fields": self.state_fields})])]

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        return () if obj is None else ("cluster", "kind", *self.state_fields)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return has_webhooks() and super().has_add_permission(request)

    @admin.display(description=gettext_lazy("server"))
    def server(self, row: WebhookEndpoint) -> str:
        # The path may contain a secret.
        return mask_url(row.url)

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in ("url", "description", "events")}
        if change:
            update_endpoint(WebhookEndpoint.objects.get(pk=obj.pk), **values)
            WebhookEndpoint.objects.filter(pk=obj.pk).update(owner=obj.owner)
            return
        created = create_endpoint(obj.cluster, owner=obj.owner, kind=obj.kind, **values)
        obj.__dict__.update(created.endpoint.__dict__)
        request.klaxon_created = created  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: Any = None) -> HttpResponse:
        return self._show_secret(request, request.klaxon_created)  # type: ignore[attr-defined]

    @admin.action(permissions=["change"], description=gettext_lazy("Enable"))
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._set_enabled(request, queryset, True)

    @admin.action(permissions=["change"], description=gettext_lazy("Disable"))
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._set_enabled(request, queryset, False)

    @admin.action(permissions=["change"], description=gettext_lazy("Rotate the secret of one endpoint"))
    def rotate(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(request, _("Select exactly one endpoint."), messages.WARNING)
            return None
        try:
            created = rotate_secret(chosen[0])
        except KlaxonError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        self.log_change(request, chosen[0], "rotated the secret")
        return self._show_secret(request, created)

    def _set_enabled(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint], enabled: bool) -> None:
        keys = list_selected(queryset, MAX_ROWS + 1)
        if len(keys) > MAX_ROWS:
            text = _("Select at most %d endpoints. Nothing was changed.") % MAX_ROWS
            self.message_user(request, text, messages.ERROR)
            return
        # Only those that change, so that a second click adds nothing to their history.
        rows = set_all_enabled(keys, enabled)
        LogEntry.objects.log_actions(request.user.pk, rows, CHANGE, "enabled" if enabled else "disabled")  # type: ignore[arg-type]
        done = ngettext("%d endpoint was changed.", "%d endpoints were changed.", len(rows)) % len(rows)
        self.message_user(request, done, messages.SUCCESS if rows else messages.WARNING)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Name the endpoints and not their attempts, of which there may be millions."""
        counts = {self.opts.verbose_name_plural: len(objs)}
        lacking = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        return [str(row) for row in objs], counts, lacking, []

    def _show_secret(self, request: HttpRequest, created: CreatedEndpoint) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("The secret of the endpoint"),
            "endpoint": created.endpoint,
            "secret": created.secret,
        }
        response = TemplateResponse(request, "admin/klaxon/webhookendpoint/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(PermanentAdmin):
    """The requests to endpoints, with their answers."""

    list_display = ("id", "at", "endpoint", "event", "status", "accepted", "error")
    list_filter = ("accepted",)
    search_help_text = gettext_lazy("Enter the id of an endpoint or of an attempt.")
    related_fields = ("endpoint",)
    indexed_lookups = ("id", "endpoint")
    fieldsets = (
        (None, {"fields": ("endpoint", "event", "message_id", "delivery_id", "at", "duration", "accepted", "error")}),
        (gettext_lazy("Request"), {"fields": ("url", "shown_request_headers", "request_body")}),
        (gettext_lazy("Answer"), {"fields": ("status", "shown_response_headers", "response_body")}),
    )

    def get_search_condition(self, term: str) -> Q:
        # The key and not a join, because PostgreSQL cannot use an index for a joined column within an OR.
        endpoints = WebhookEndpoint.objects.filter(uid=term).values_list("pk", flat=True)
        return Q(endpoint__in=list(endpoints)) | search.match_number(term, "pk")

    @admin.display(description=gettext_lazy("headers"))
    def shown_request_headers(self, row: WebhookAttempt) -> SafeString | str:
        return render_json(row.request_headers)

    @admin.display(description=gettext_lazy("headers"))
    def shown_response_headers(self, row: WebhookAttempt) -> SafeString | str:
        return render_json(row.response_headers)
