"""The views of the inbox.

All views use :meth:`PersonalView.get_items`, which returns only the user's own items. Therefore an item of another user
gives the same 404 as an item that does not exist. GET requests change nothing, because mail scanners and prefetching
browsers follow links. Only POST marks items as read.
"""

import logging
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
from notifications.exceptions import DecryptionFailed, MissingExtra
from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet

PER_PAGE = 20
logger = logging.getLogger("notifications.inbox")


@method_decorator(never_cache, name="dispatch")
class PersonalView(LoginRequiredMixin, View):
    """A page of the signed-in user."""

    http_method_names = ["get", "head"]

    def get_items(self) -> InboxQuerySet:
        return InboxItem.objects.of(self.request.user)


class Inbox(PersonalView):
    """The list of items, the newest first. ``?show=unread`` lists only unread items."""

    def get(self, request: HttpRequest) -> HttpResponse:
        only_unread = request.GET.get("show") == "unread"
        items = self.get_items().unread() if only_unread else self.get_items()
        page: Page[InboxItem] = Paginator(items.select_related("cluster"), PER_PAGE).get_page(request.GET.get("page"))
        context = {
            "page": page,
            "only_unread": only_unread,
            "unread": self.get_items().unread().count(),
            # The name of the cluster is useful only if the page has items of several clusters.
            "name_clusters": len({item.cluster_id for item in page}) > 1,
        }
        return render(request, "notifications/inbox/list.html", context)


class Item(PersonalView):
    """The page of one item."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = get_object_or_404(self.get_items().select_related("cluster"), pk=pk)
        name_clusters = self.get_items().exclude(cluster=item.cluster_id).exists()
        content = reveal(item)
        title, body = content or (item.title, "")
        context = {
            "item": item,
            "title": title,
            "body": body,
            "is_readable": content is not None,
            "name_clusters": name_clusters,
        }
        return render(request, "notifications/inbox/item.html", context, status=200 if content else 503)


def reveal(item: InboxItem) -> tuple[str, str] | None:
    """Return title and body. If they cannot be decrypted, the reason is logged, and the result is None."""
    try:
        return item.reveal()
    except (DecryptionFailed, MissingExtra) as error:
        logger.error("Inbox item %s cannot be shown. %s", item.pk, error)  # noqa: TRY400 - the message says everything
        return None


class UnreadCount(PersonalView):
    """The number of unread items as JSON, for a badge that polls it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"unread": self.get_items().unread().count()})


class MarkView(PersonalView):
    """A view that changes items and then redirects to the path in ``next``."""

    http_method_names = ["post"]

    def handle_no_permission(self) -> HttpResponseRedirect:
        # After signing in, the user cannot return to this URL, because it only accepts POST.
        return redirect_to_login(reverse("notifications:inbox"), self.get_login_url())

    def redirect_back(self) -> HttpResponseBase:
        path = self.request.POST.get("next", "")
        # No host is allowed, not even the site's own, so only a path is safe.
        is_safe = url_has_allowed_host_and_scheme(path, allowed_hosts=None)
        return HttpResponseRedirect(path if is_safe else reverse("notifications:inbox"))


class MarkRead(MarkView):
    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        item = get_object_or_404(self.get_items(), pk=pk)
        self.get_items().filter(pk=item.pk).mark_read(_now())
        return self.redirect_back()


class MarkAllRead(MarkView):
    def post(self, request: HttpRequest) -> HttpResponseBase:
        count = self.get_items().mark_read(_now())
        messages.success(request, _format_message(count), fail_silently=True)
        return self.redirect_back()


def _format_message(count: int) -> str:
    if not count:
        return _("You have no unread notifications.")
    return ngettext("%d notification was marked as read.", "%d notifications were marked as read.", count) % count


def _now() -> Any:
    return clock.now(router.db_for_write(InboxItem))
