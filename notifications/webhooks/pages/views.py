"""The pages of webhooks: the endpoints of a cluster, one endpoint with its attempts, and one attempt.

They require the permission ``klaxon.manage_webhooks``, and show only clusters of which the user is a member. GET
changes nothing. The pages need no JavaScript.
"""

from datetime import timedelta
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from notifications.channels.standard_webhooks import get_public_key
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.core.languages import in_own_language
from notifications.exceptions import DecryptionFailed, InvalidOption
from notifications.models import WebhookAttempt, WebhookEndpoint
from notifications.models.webhook_endpoint import reveal_secret
from notifications.outcomes import Reason
from notifications.preference_centre.clusters import find_cluster, is_member, list_clusters
from notifications.webhooks import (
    CreatedEndpoint,
    create_endpoint,
    delete_endpoint,
    has_webhooks,
    list_attempts,
    replay_failed,
    rotate_secret,
    send_again,
    send_test_message,
    set_enabled,
    update_endpoint,
)
from notifications.webhooks.pages.forms import KINDS, EndpointForm, NewEndpointForm, ReplayForm, RotationForm
from notifications.webhooks.resending import PAGE_SIZE, is_resendable

MANAGE_PERMISSION = "klaxon.manage_webhooks"
TEMPLATES = "notifications/webhooks/"
MAX_DIGITS = 18
REASON = "sent again on the page of the endpoint"


@method_decorator([never_cache, in_own_language], name="dispatch")
class WebhookView(PermissionRequiredMixin, View):
    """A view of a user who may manage the endpoints of their clusters."""

    permission_required = MANAGE_PERMISSION
    http_method_names = ["get", "head", "post"]

    @read_from_primary()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.has_permission() and not has_webhooks():
            raise Http404("The site has no webhooks.")
        return super().dispatch(request, *args, **kwargs)

    @property
    def endpoints(self) -> Any:
        return WebhookEndpoint.objects.using(router.db_for_write(WebhookEndpoint))

    @sensitive_variables("created")
    def show_secret(self, created: CreatedEndpoint) -> HttpResponse:
        """Show a new secret. It is not stored where a second page could read it, so there is no redirection."""
        context = {"endpoint": created.endpoint, "secret": created.secret}
        return render(self.request, f"{TEMPLATES}secret.html", context)


class Endpoints(WebhookView):
    """The endpoints of a cluster. ``?cluster=<pk>`` selects it; by default, it is the first by name."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.show(NewEndpointForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = NewEndpointForm(request.POST)
        cluster = None if self.cluster._state.adding else self.cluster
        created = form.save_with(lambda **values: create_endpoint(cluster, owner=request.user, **values))
        return self.show(form) if created is None else self.show_secret(created)

    @cached_property
    def clusters(self) -> list[Any]:
        return list_clusters(self.request.user)

    @cached_property
    def cluster(self) -> Any:
        key = self.request.GET.get("cluster")
        found = find_cluster(self.request.user, key) if key else next(iter(self.clusters), None)
        if found is None:
            raise Http404("The user is not a member of the cluster.")
        return found

    def show(self, form: NewEndpointForm) -> HttpResponse:
        rows = () if self.cluster._state.adding else self.endpoints.filter(cluster=self.cluster).order_by("pk")
        context = {
            "endpoints": rows,
            "cluster": self.cluster,
            "clusters": self.clusters if len(self.clusters) > 1 else [],
            "form": form,
        }
        return render(self.request, f"{TEMPLATES}list.html", context)


class EndpointView(WebhookView):
    """A view of one endpoint. That of another cluster is not found."""

    @cached_property
    def endpoint(self) -> WebhookEndpoint:
        rows = self.endpoints.select_related("cluster", "owner")
        found: WebhookEndpoint | None = rows.filter(uid=self.kwargs["uid"]).first()
        if found is None or not is_member(self.request.user, found.cluster):
            raise Http404("The user has no such endpoint.")
        return found


class Endpoint(EndpointView):
    """The page of one endpoint. POST needs the field ``do``."""

    def get(self, request: HttpRequest, uid: str) -> HttpResponseBase:
        return self.show()

    def post(self, request: HttpRequest, uid: str) -> HttpResponseBase:
        actions = {
            "save": self.save,
            "rotate": self.rotate,
            "enable": lambda: self.set_enabled(True),
            "disable": lambda: self.set_enabled(False),
            "delete": self.delete,
            "test": self.send_test,
            "again": self.send_again,
            "replay": self.replay,
        }
        action = actions.get(request.POST.get("do", ""))
        if action is None:
            return HttpResponseBadRequest("The form has no valid action.", content_type="text/plain")
        endpoint = self.endpoint
        try:
            return action()
        except InvalidOption as error:
            messages.error(request, str(error))
            return redirect("notifications:webhook", endpoint.uid)

    def save(self) -> HttpResponseBase:
        form = EndpointForm(self.request.POST, endpoint=self.endpoint)
        if form.save_with(lambda **values: update_endpoint(self.endpoint, **values)) is None:
            return self.show(form)
        return self.return_with(_("The endpoint is saved."))

    def rotate(self) -> HttpResponseBase:
        form = RotationForm(self.request.POST)
        if not form.is_valid():
            return HttpResponseBadRequest("The form has no valid overlap.", content_type="text/plain")
        return self.show_secret(rotate_secret(self.endpoint, overlap=form.chosen_overlap))

    def set_enabled(self, enabled: bool) -> HttpResponseBase:
        set_enabled(self.endpoint, enabled)
        return self.return_with(_("The endpoint is enabled.") if enabled else _("The endpoint is disabled."))

    def delete(self) -> HttpResponseBase:
        delete_endpoint(self.endpoint)
        messages.success(self.request, _("The endpoint was deleted."))
        return redirect("notifications:webhooks")

    def send_test(self) -> HttpResponseBase:
        result = send_test_message(self.endpoint, self.request.user)
        if result.reasons:
            reasons = ", ".join(str(Reason(reason).label) for reason in result.reasons)
            raise InvalidOption(_("The message cannot be sent: {reasons}.").format(reasons=reasons))
        return self.return_with(_("A test message is on its way. Its attempt appears below."))

    def send_again(self) -> HttpResponseBase:
        number = read_number(self.request.POST.get("delivery", ""))
        if number is None:
            return HttpResponseBadRequest("The form has no valid delivery.", content_type="text/plain")
        send_again(self.endpoint, number, REASON, self.request.user)
        return self.return_with(_("The message is sent again."))

    def replay(self) -> HttpResponseBase:
        form = ReplayForm(self.request.POST)
        if not form.is_valid():
            return self.show(replay_form=form)
        count = replay_failed(self.endpoint, form.cleaned_data["since"], REASON, self.request.user)
        text = ngettext("%(count)d message is sent again.", "%(count)d messages are sent again.", count)
        return self.return_with(text % {"count": count})

    def return_with(self, text: str) -> HttpResponseBase:
        messages.success(self.request, text)
        return redirect("notifications:webhook", self.endpoint.uid)

    def show(self, form: EndpointForm | None = None, replay_form: ReplayForm | None = None) -> HttpResponse:
        endpoint, now = self.endpoint, clock.now(self.endpoints.db)
        values = {"url": endpoint.url, "description": endpoint.description, "events": endpoint.events}
        attempts = list_attempts(endpoint, read_number(self.request.GET.get("before", "")))
        context = {
            "endpoint": endpoint,
            "kind": KINDS[endpoint.kind],
            "public_key": self.find_public_key(),
            "overlap_until": endpoint.previous_until if (endpoint.previous_until or now) > now else None,
            "slowed_until": endpoint.slowed_until if (endpoint.slowed_until or now) > now else None,
            "form": form or EndpointForm(values, endpoint=endpoint, initial=values),
            "has_errors": form is not None,
            "rotation_form": RotationForm(),
            "replay_form": replay_form
            or ReplayForm(initial={"since": endpoint.failing_since or now - timedelta(days=1)}),
            "attempts": [(attempt, is_resendable(attempt.delivery)) for attempt in attempts],
            "older": attempts[-1].pk if len(attempts) == PAGE_SIZE else None,
        }
        return render(self.request, f"{TEMPLATES}endpoint.html", context)

    def find_public_key(self) -> str:
        """Return the public key of ``v1a``, which everybody may know."""
        if self.endpoint.kind != WebhookEndpoint.Kind.V1A:
            return ""
        try:
            return get_public_key(reveal_secret(self.endpoint.secret))
        except DecryptionFailed as error:
            messages.error(self.request, str(error))
            return ""


def read_number(text: str) -> int | None:
    """Return a primary key of a request; None if it is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


class Attempt(EndpointView):
    """The page of one attempt: the request and the answer."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, uid: str, pk: int) -> HttpResponseBase:
        rows = WebhookAttempt.objects.using(self.endpoints.db).filter(endpoint=self.endpoint, pk=pk)
        attempt = rows.first()
        if attempt is None:
            raise Http404("The endpoint has no such attempt.")
        context = {"endpoint": self.endpoint, "attempt": attempt, "may_send_again": is_resendable(attempt.delivery)}
        return render(request, f"{TEMPLATES}attempt.html", context)
