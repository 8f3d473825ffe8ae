"""The pages of the inbox.

GET requests change nothing, because mail scanners and prefetching browsers follow links. Only POST marks items as read.
"""

import logging

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from notifications.exceptions import DecryptionFailed, MissingExtra
from notifications.inbox.access import PersonalView
from notifications.models import InboxItem

PER_PAGE = 20
logger = logging.getLogger("notifications.inbox")


class Inbox(PersonalView):
    """The list of items, the newest first. ``?show=unread`` lists only unread items."""

    def get(self, request: HttpRequest) -> HttpResponse:
        only_unread = request.GET.get("show") == "unread"
        items = self.get_items().listed(self.now)
        items = items.unread() if only_unread else items
        page: Page[InboxItem] = Paginator(items.select_related("cluster"), PER_PAGE).get_page(request.GET.get("page"))
        context = {
            "page": page,
            "only_unread": only_unread,
            "unread": self.load_counts().total,
            # The name of the cluster is useful only if the page has items of several clusters.
            "name_clusters": len({item.cluster_id for item in page}) > 1,
        }
        return render(request, "notifications/inbox/list.html", context)


class Item(PersonalView):
    """The page of one item."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = get_object_or_404(self.get_items().select_related("cluster"), pk=pk)
        content = reveal(item)
        title, body = content or (item.title, "")
        context = {
            "item": item,
            "title": title,
            "body": body,
            "is_readable": content is not None,
            "name_clusters": len(self.clusters) > 1,
        }
        return render(request, "notifications/inbox/item.html", context, status=200 if content else 503)


def reveal(item: InboxItem) -> tuple[str, str] | None:
    """Return title and body. If they cannot be decrypted, the reason is logged, and the result is None."""
    try:
        return item.reveal()
    except (DecryptionFailed, MissingExtra) as error:
        logger.error("Inbox item %s cannot be shown. %s", item.pk, error)  # noqa: TRY400 - the message says everything
        return None
