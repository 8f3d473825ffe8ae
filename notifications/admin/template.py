"""The admin of staff templates: an editor with versions, a preview, a test message, and the publish gate."""

import logging
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import csrf_protect

from notifications.admin import search
from notifications.admin.base import LargeTableAdmin
from notifications.admin.filters import ClusterFilter, EventFilter
from notifications.admin.template_forms import TemplateForm, VersionForm
from notifications.admin.template_preview import build_policy, build_preview
from notifications.core import extras
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import EditConflict, KlaxonError, PublishRefused
from notifications.models import Notification, StaffTemplate, StaffTemplateVersion
from notifications.outcomes import Verdict
from notifications.staff_templates.draft_message import can_send_draft, send_draft
from notifications.staff_templates.past import PastContext, get_sample_context, load_past_contexts
from notifications.staff_templates.publishing import find_syntax_fault, publish, unpublish
from notifications.staff_templates.tools import build_diff

logger = logging.getLogger("notifications.staff_templates")

VERSIONS_SHOWN = 50
PROBLEMS_SHOWN = 30
SAMPLE = "sample"


@admin.register(StaffTemplate)
class StaffTemplateAdmin(LargeTableAdmin):
    """A list of templates. The page of a template is the editor, whose every save adds a version."""

    form = TemplateForm
    list_display = ("id", "event", "channel", "language", "cluster", "state")
    list_display_links = ("id", "event")
    list_filter = (EventFilter, ClusterFilter)
    search_help_text = gettext_lazy("Enter a complete name of an event or channel, or a language code.")
    related_fields = ("cluster", "published")
    raw_id_fields = ("cluster",)
    fields = ("event", "channel", "language", "cluster")

    def get_search_condition(self, term: str) -> Q:
        return search.match_number(term, "pk") | Q(event=term) | Q(channel=term) | Q(language=term.lower())

    @admin.display(description=gettext_lazy("state"))
    def state(self, template: StaffTemplate) -> str:
        if template.published is None:
            return _("not published")
        if template.published.fault:
            return _("version %d was stopped") % template.published.number
        return _("version %d is published") % template.published.number

    def has_publish_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.publish_stafftemplate"))

    def get_urls(self) -> list[Any]:
        preview = path("<path:object_id>/preview/", self._wrap(self.preview_view), name="klaxon_stafftemplate_preview")
        return [preview, *super().get_urls()]

    def _wrap(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        return self.admin_site.admin_view(view)

    def response_add(self, request: HttpRequest, obj: StaffTemplate, post_url_continue: Any = None) -> HttpResponse:
        return HttpResponseRedirect(self._get_editor_url(obj))

    def _get_editor_url(self, template: StaffTemplate) -> str:
        return reverse("admin:klaxon_stafftemplate_change", args=[template.pk], current_app=self.admin_site.name)

    @method_decorator(csrf_protect)
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        template = self._get_template(request, object_id)
        if request.method == "POST":
            return self._act(request, template)
        shown = self._find_shown_version(request, template)
        initial: dict[str, Any] = {"expected_version": template.latest.number if template.latest else 0}
        initial.update(shown.texts if shown else {})
        return self._render_editor(request, template, self._build_form(request, template, initial=initial), shown=shown)

    @method_decorator(csrf_protect)
    @method_decorator(xframe_options_sameorigin)
    def preview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the submitted texts in a frame. Nothing is saved."""
        template = self._get_template(request, object_id)
        context: dict[str, Any] = {"hint": _("Use the button of the editor to preview the template here.")}
        if request.method == "POST":
            context = self._preview(request, template)
        response = TemplateResponse(request, "admin/klaxon/stafftemplate/preview.html", context)
        response.headers["Content-Security-Policy"] = build_policy(template)
        return response

    def _preview(self, request: HttpRequest, template: StaffTemplate) -> dict[str, Any]:
        """Return the context of the preview page for the submitted texts."""
        form = self._build_form(request, template, data=request.POST)
        if not form.is_valid():
            return {"error": " ".join(str(error) for errors in form.errors.values() for error in errors)}
        chosen = self._find_context(request, template, form.cleaned_data["context"])
        return build_preview(template, form.texts, chosen)

    def _get_template(self, request: HttpRequest, object_id: str) -> StaffTemplate:
        template = self.get_object(request, object_id)
        if template is None:
            raise Http404(_("There is no such staff template."))
        if not self.has_view_or_change_permission(request, template):
            raise PermissionDenied
        return template

    def _act(self, request: HttpRequest, template: StaffTemplate) -> HttpResponse:
        """Do what the pressed button says. All but the rollback save or use the submitted texts."""
        if not self.has_change_permission(request, template):
            raise PermissionDenied
        action = request.POST.get("action", "save")
        if action == "publish":
            self._require_publish_permission(request)
        if action in ("publish-version", "unpublish"):
            return self._change_published(request, template)
        form = self._build_form(request, template, data=request.POST)
        if not form.is_valid() or not self._can_be_compiled(request, form):
            return self._render_editor(request, template, form)
        if action == "test":
            self._send_test(request, template, form)
            return self._render_editor(request, template, form)
        try:
            version = template.save_version(
                form.texts, form.cleaned_data["expected_version"], request.user, form.cleaned_data["comment"]
            )
        except EditConflict as conflict:
            return self._render_conflict(request, template, form, conflict)
        self.log_change(request, template, _("Saved version %d.") % version.number)
        if action == "publish":
            self._publish(request, version)
        else:
            self.message_user(request, _("Version %d is saved.") % version.number, messages.SUCCESS)
        return HttpResponseRedirect(self._get_editor_url(template))

    def _can_be_compiled(self, request: HttpRequest, form: VersionForm) -> bool:
        """Return whether the texts have no syntax error; otherwise add it to the form."""
        try:
            fault = find_syntax_fault(form.texts)
        except KlaxonError as error:
            self.message_user(request, str(error), messages.ERROR)
            return True  # A draft can be saved; publishing it will say the same.
        if fault is not None:
            form.add_error(fault[0], str(fault[1]))
        return fault is None

    def _change_published(self, request: HttpRequest, template: StaffTemplate) -> HttpResponse:
        if request.POST["action"] == "unpublish":
            self._require_publish_permission(request)
            unpublish(template)
            self.log_change(request, template, _("Unpublished."))
            self.message_user(request, _("The template files are used again."), messages.SUCCESS)
        else:
            version = self._find_version(template, request.POST.get("number", ""))
            if version is None:
                raise Http404(_("There is no such version."))
            self._publish(request, version)
        return HttpResponseRedirect(self._get_editor_url(template))

    def _publish(self, request: HttpRequest, version: StaffTemplateVersion) -> None:
        self._require_publish_permission(request)
        try:
            publish(version, shows_values=can_see_values(request))
        except PublishRefused as error:
            summary = _("Version %d is saved but not published, because these messages would break:") % version.number
            self.message_user(request, summary, messages.ERROR)
            for problem in error.problems[:PROBLEMS_SHOWN]:
                self.message_user(request, problem, messages.ERROR)
            if more := len(error.problems[PROBLEMS_SHOWN:]):
                self.message_user(request, _("And %d more.") % more, messages.ERROR)
        except KlaxonError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.log_change(request, version.template, _("Published version %d.") % version.number)
            text = _("Version %d is published. The next message uses it.") % version.number
            self.message_user(request, text, messages.SUCCESS)

    def _require_publish_permission(self, request: HttpRequest) -> None:
        if not self.has_publish_permission(request):
            raise PermissionDenied

    def _send_test(self, request: HttpRequest, template: StaffTemplate, form: VersionForm) -> None:
        context = self._find_context(request, template, form.cleaned_data["context"])
        if context is None:
            self.message_user(request, _("There are no values for a test."), messages.ERROR)
            return
        try:
            # The user of a request is a lazy object, whose type is not the model.
            account: Any = request.user
            user = get_user_model()._default_manager.get(pk=account.pk)
            receipt = send_draft(template, form.texts, context, user)
        except Exception as error:  # noqa: BLE001 - a transform, a template or a channel may raise anything
            logger.warning("A test of the staff template %s was not sent.", template.pk, exc_info=True)
            self.message_user(request, _("The test was not sent. %s") % error, messages.ERROR)
            return
        if receipt.verdict is Verdict.ACCEPTED:
            self.message_user(request, _("The test was sent to your address."), messages.SUCCESS)
        else:
            self.message_user(request, _("The test was not sent. %s") % receipt.error, messages.ERROR)

    def _build_form(self, request: HttpRequest, template: StaffTemplate, **kwargs: Any) -> VersionForm:
        choices = [(key, str(context)) for key, context in self._load_contexts(request, template).items()]
        is_locked = not self.has_change_permission(request, template)
        return VersionForm(contexts=choices, is_locked=is_locked, **kwargs)

    def _load_contexts(self, request: HttpRequest, template: StaffTemplate) -> dict[str, PastContext]:
        """Return the contexts that this person may see, by the key of the form. The last one has invented values."""
        found = {}
        if can_see_values(request):
            past = load_past_contexts(template, router.db_for_read(StaffTemplate, instance=template))
            found = {str(context.notification.pk): context for context in past}
        event = NOTIFICATION_EVENTS.named(template.event)
        sample = event and get_sample_context(template, event, request.user)
        return {**found, **({SAMPLE: sample} if sample else {})}

    def _find_context(self, request: HttpRequest, template: StaffTemplate, key: str) -> PastContext | None:
        contexts = self._load_contexts(request, template)
        return contexts.get(key) or next(iter(contexts.values()), None)

    def _find_shown_version(self, request: HttpRequest, template: StaffTemplate) -> StaffTemplateVersion | None:
        return self._find_version(template, request.GET.get("version", "")) or template.latest

    def _find_version(self, template: StaffTemplate, number: str) -> StaffTemplateVersion | None:
        is_number = number.isdecimal() and len(number) < 10
        return template.versions.filter(number=int(number)).first() if is_number else None

    def _render_conflict(
        self, request: HttpRequest, template: StaffTemplate, form: VersionForm, conflict: EditConflict
    ) -> HttpResponse:
        """Show how the texts differ from the version that somebody else has saved. Saving again replaces it."""
        form.data = form.data.copy()  # type: ignore[attr-defined]
        form.data["expected_version"] = conflict.latest.number if conflict.latest else 0  # type: ignore[index]
        response = self._render_editor(request, template, form, conflict=conflict)
        response.status_code = 409
        return response

    def _compare(self, request: HttpRequest, conflict: EditConflict) -> list[tuple[str, str]]:
        """Return the lines of the difference; none if there is no other version or they cannot be compared."""
        if conflict.latest is None:
            return []
        try:
            return build_diff(conflict.latest.texts, conflict.texts)
        except KlaxonError as error:
            self.message_user(request, str(error), messages.ERROR)
            return []

    def _render_editor(
        self,
        request: HttpRequest,
        template: StaffTemplate,
        form: VersionForm,
        shown: StaffTemplateVersion | None = None,
        conflict: EditConflict | None = None,
    ) -> TemplateResponse:
        versions = list(template.versions.select_related("author").order_by("-number")[:VERSIONS_SHOWN])
        context = {
            **self.admin_site.each_context(request),
            "title": _("Change staff template"),
            "subtitle": str(template),
            "opts": self.opts,
            "media": self.media,
            "original": template,
            "template": template,
            "form": form,
            "shown": shown,
            "versions": versions,
            "conflict": conflict,
            "differences": self._compare(request, conflict) if conflict else [],
            "variables": list_variables(template),
            "is_installed": extras.is_installed("jinja2"),
            "has_delete_permission": self.has_delete_permission(request, template),
            "can_change": self.has_change_permission(request, template),
            "can_publish": self.has_publish_permission(request),
            "can_test": can_send_draft(template),
            "preview_url": reverse("admin:klaxon_stafftemplate_preview", args=[template.pk]),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/klaxon/stafftemplate/editor.html", context)


def can_see_values(request: HttpRequest) -> bool:
    """Return whether the person may see the values of past notifications, which may contain personal data."""
    return bool(request.user.has_perm(f"{Notification._meta.app_label}.view_notification"))


def list_variables(template: StaffTemplate) -> list[str]:
    """Return the names that the template can use, if its event declares them."""
    event = NOTIFICATION_EVENTS.named(template.event)
    if event is None:
        return []
    person = (f"recipient.{name}" for name in ("full_name", "first_name", "last_name", "username", "email"))
    variant = ["variant"] if event.variants else []
    return [*sorted(event.context or ()), *person, "cluster.name", "base_url", *variant]
