"""The pages of the preference centre: for users who are signed in, for the link in an email, and for new addresses.

GET and HEAD change nothing, because mail scanners follow links. The pages need no JavaScript.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import router
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from notifications.core import clock
from notifications.core.addresses import mask_address
from notifications.core.databases import read_from_primary
from notifications.core.languages import in_own_language
from notifications.mail import get_theme
from notifications.models import AddressConfirmation, Cluster, UserSettings
from notifications.preference_centre.addresses import confirm_address, find_request
from notifications.preference_centre.clusters import find_cluster, is_member, list_clusters
from notifications.preference_centre.owner import Owner
from notifications.preference_centre.page import Page
from notifications.preference_centre.sections import HANDLERS
from notifications.preference_centre.widgets.choices import Choice
from notifications.preference_centre.widgets.names import get_channel_name
from notifications.unsubscribe.views import TokenView

TEMPLATES = "notifications/preference_centre/"
SAVED = {
    "choices": _("Your choices are saved. They also apply to what is waiting to be sent."),
    "schedule": _("Your hours, digest and language are saved."),
    "addresses": _("Your addresses are saved. A new address is used after you have confirmed it."),
    "topics": _("Your topics are saved."),
    "mutes": _("Your mutes are saved."),
    "test": _("A test message is on its way."),
}


class PageView(View):
    """A page of an owner. POST needs the fields ``section`` and, for some sections, ``do``."""

    http_method_names = ["get", "head", "post"]

    def get_owner(self) -> Owner:
        """Return whose preferences the page shows."""
        raise NotImplementedError

    def get_context(self) -> dict[str, Any]:
        """Return what only this kind of page shows."""
        raise NotImplementedError

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return self.show_page(Page(self.get_owner()))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        section = request.POST.get("section", "")
        if section not in HANDLERS:
            return HttpResponseBadRequest("The form has no valid section.", content_type="text/plain")
        page = Page(self.get_owner())
        handle, changes_settings = HANDLERS[section]
        if changes_settings and not page.is_editable:
            return HttpResponseBadRequest("These preferences cannot be changed here.", content_type="text/plain")
        if not handle(page, request.POST, self.make_confirmation_url):
            return self.show_page(page)
        query = urlencode({**request.GET.dict(), "saved": section})
        place = "addresses" if section == "test" else section
        return HttpResponseRedirect(f"{request.path}?{query}#{place}")

    def make_confirmation_url(self, token: str) -> str:
        """Return the absolute URL of the page that confirms an address."""
        path = reverse("notifications:confirm-address", args=[token])
        base_url = get_theme(self.get_owner().cluster).base_url
        return f"{base_url}{path}" if base_url else self.request.build_absolute_uri(path)

    def show_page(self, page: Page) -> HttpResponse:
        context = {
            "page": page,
            "choices": Choice,
            "saved": SAVED.get(self.request.GET.get("saved", "")) if self.request.method != "POST" else "",
            "saved_section": self.request.GET.get("saved", ""),
            **self.get_context(),
        }
        return render(self.request, f"{TEMPLATES}page.html", context)


@method_decorator([never_cache, in_own_language], name="dispatch")
class Preferences(LoginRequiredMixin, PageView):
    """The page of the signed-in user. ``?cluster=<pk>`` selects the cluster; by default, it is the first by name."""

    @read_from_primary()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        self.clusters = list_clusters(request.user)
        if not self.clusters and not request.GET.get("cluster") and request.method != "POST":
            return render(request, f"{TEMPLATES}no_cluster.html")
        self.cluster = self._choose_cluster(request.GET.get("cluster"))
        return super().dispatch(request, *args, **kwargs)

    def _choose_cluster(self, key: str | None) -> Any:
        """Return the cluster of the page.

        :raises Http404: if the user is not a member of it, or of any.
        """
        found = find_cluster(self.request.user, key) if key else next(iter(self.clusters), None)
        if found is None:
            raise Http404("The user is not a member of the cluster.")
        if found._state.adding and self.request.method == "POST":
            return Cluster.objects.default()
        return found

    def get_owner(self) -> Owner:
        return Owner.signed_in(self.request.user, self.cluster)

    def get_context(self) -> dict[str, Any]:
        clusters = self.clusters if self.cluster in self.clusters else [*self.clusters, self.cluster]
        return {"clusters": clusters if len(clusters) > 1 else [], "cluster": self.cluster, "by_link": False}


class LinkPreferences(TokenView, PageView):
    """The page of the link in an email. It needs no log-in, and is about one channel of one user in one cluster."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return super().get(request, **kwargs) if self.has_page() else self.show_unavailable()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return super().post(request, **kwargs) if self.has_page() else self.show_unavailable()

    def has_page(self) -> bool:
        """Return whether the recipient still is a member, and the site still has the channel."""
        return bool(self.get_owner().channels) and is_member(self.subscription.user, self.subscription.cluster)

    def show_unavailable(self) -> HttpResponse:
        return render(self.request, f"{TEMPLATES}unavailable.html", status=404)

    def get_owner(self) -> Owner:
        subscription = self.subscription
        return Owner.by_link(subscription.user, subscription.cluster, subscription.channel)

    def get_context(self) -> dict[str, Any]:
        return {"clusters": [], "cluster": self.subscription.cluster, "by_link": True}


@method_decorator([csrf_exempt, login_not_required, never_cache, in_own_language], name="dispatch")
class ConfirmAddress(View):
    """The page that confirms a new address. The token in the link is the permit, so it needs no log-in."""

    http_method_names = ["get", "head", "post"]

    @read_from_primary()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = self._respond(request, find_request(kwargs["token"]))
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex"
        return response

    def _respond(self, request: HttpRequest, found: AddressConfirmation | None) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD", "POST"):
            return self.http_method_not_allowed(request)
        if found is None or not is_member(found.user, found.cluster):
            return render(request, f"{TEMPLATES}address_invalid.html", status=404)
        is_confirmed = request.method == "POST" and confirm_address(found, clock.now(router.db_for_write(UserSettings)))
        context = {
            "sender": get_theme(found.cluster).name,
            "address": mask_address(found.address),
            "channel": get_channel_name(found.channel),
            "is_confirmed": is_confirmed,
        }
        return render(request, f"{TEMPLATES}address.html", context)
