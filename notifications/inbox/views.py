"""What a user sees and does in the inbox.

Everything starts from :meth:`Personal.items`, the user's own, so a foreign item is as absent as one that never was.
Looking changes nothing: mail scanners and prefetching browsers follow links. Only POST marks as read.
"""

from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Page, Paginator
from django.db import router
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views import View
from django.views.decorators.cache import never_cache

from notifications.core import clock
from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet

PER_PAGE = 20


@method_decorator(never_cache, name="dispatch")
class Personal(LoginRequiredMixin, View):
    """A page of the signed-in user."""

    http_method_names = ["get", "head"]

    def items(self) -> InboxQuerySet:
        return InboxItem.objects.of(self.request.user)


class Inbox(Personal):
    """The list, newest first; ``?show=unread`` leaves out what was read."""

    def get(self, request: HttpRequest) -> HttpResponse:
        only_unread = request.GET.get("show") == "unread"
        items = self.items().unread() if only_unread else self.items()
        page: Page[InboxItem] = Paginator(items.select_related("cluster"), PER_PAGE).get_page(request.GET.get("page"))
        context = {
            "page": page,
            "only_unread": only_unread,
            "unread": self.items().unread().count(),
            # One tenant's name on every line says nothing.
            "name_clusters": len({item.cluster_id for item in page}) > 1,
        }
        return render(request, "notifications/inbox/list.html", context)


class Item(Personal):
    """One item in full."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = get_object_or_404(self.items().select_related("cluster"), pk=pk)
        name_clusters = self.items().exclude(cluster=item.cluster_id).exists()
        return render(request, "notifications/inbox/item.html", {"item": item, "name_clusters": name_clusters})


class UnreadCount(Personal):
    """For a badge that asks now and then."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"unread": self.items().unread().count()})


class Marking(Personal):
    """Something done to items, after which the user is back where ``next`` says."""

    http_method_names = ["post"]

    def handle_no_permission(self) -> HttpResponseRedirect:
        # Not back to this address after signing in: it cannot be visited.
        return redirect_to_login(reverse("notifications:inbox"), self.get_login_url())

    def back(self) -> HttpResponseBase:
        wanted = self.request.POST.get("next", "")
        # No host is allowed, not even ours: only a path.
        safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
        return HttpResponseRedirect(wanted if safe else reverse("notifications:inbox"))


class MarkRead(Marking):
    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        item = get_object_or_404(self.items(), pk=pk)
        self.items().filter(pk=item.pk).mark_read(_now())
        return self.back()


class MarkAllRead(Marking):
    def post(self, request: HttpRequest) -> HttpResponseBase:
        marked = self.items().mark_read(_now())
        messages.success(request, _said(marked), fail_silently=True)
        return self.back()


def _said(marked: int) -> str:
    if not marked:
        return _("You had read everything already.")
    return ngettext("%d notification marked as read.", "%d notifications marked as read.", marked) % marked


def _now() -> Any:
    return clock.now(router.db_for_write(InboxItem))
