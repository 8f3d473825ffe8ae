"""The pages of the inbox.

GET requests change nothing, because mail scanners and prefetching browsers follow links. Only POST marks items as read.
"""

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render

from notifications.events import NOTIFICATION_EVENTS, NotificationChannel
from notifications.exceptions import DecryptionFailed, MissingExtra
from notifications.inbox.access import PersonalView
from notifications.inbox.changes import list_snooze_choices
from notifications.inbox.export import export_csv, export_json, iterate_in_thread
from notifications.inbox.filtering import PRIORITIES, PRIORITY_LABELS, TAB_LABELS, Filters, Position
from notifications.inbox.listing import Row, Viewer, load_listing
from notifications.models import InboxItem, get_cluster_model
from notifications.models.inbox import InboxQuerySet

logger = logging.getLogger("notifications.inbox")


class ListingView(PersonalView):
    """A view of the items that the query string selects, in the time zone of the user."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return super().dispatch(request, *args, **kwargs)
        with self.use_time_zone(self.filters.cluster):
            return super().dispatch(request, *args, **kwargs)

    @cached_property
    def filters(self) -> Filters:
        return Filters.parse(self.request.GET.dict())

    @cached_property
    def cluster_names(self) -> dict[Any, str]:
        """The names of the user's clusters by their keys, in the order of the names."""
        clusters = get_cluster_model()._base_manager.using(self.using).filter(pk__in=self.clusters)
        return dict(sorted(((cluster.pk, str(cluster)) for cluster in clusters), key=lambda pair: pair[1].lower()))

    @property
    def viewer(self) -> Viewer:
        return Viewer(self.request.user, self.now, self.cluster_names)

    def choose_items(self) -> InboxQuerySet:
        """Return the items that the user wants to see, whatever words they contain."""
        return self.filters.narrow(self.get_items(), {str(key): key for key in self.clusters}, self.now)


class Inbox(ListingView):
    """The notification centre: the newest items first, by day. ``?show=`` chooses the tab, other parameters filter."""

    def get(self, request: HttpRequest) -> HttpResponse:
        filters, counts = self.filters, self.load_counts()
        has_pinned = filters.show in ("all", "unread") and not filters.q
        after = Position.parse(request.GET.get("after", ""))
        listing = load_listing(self.choose_items(), self.viewer, after, has_pinned, filters.q)
        context = {
            "listing": listing,
            "filters": filters,
            "tabs": list_tabs(filters),
            "unread": counts.total,
            "revision": counts.revision,
            "clusters": self.cluster_names.items(),
            # The name of the cluster is useful only if there are several.
            "name_clusters": len(self.clusters) > 1,
            "events": list_events(),
            "priorities": [(name, PRIORITY_LABELS[name]) for name in PRIORITIES],
            "snooze_choices": list_snooze_choices(self.now).items(),
            "next_query": filters.format_query(after=listing.next) if listing.next else "",
            "first_query": filters.format_query() if after else None,
            "filter_query": filters.format_query(),
            "unseen": [row.item.pk for row in listing.rows if row.item.seen_at is None],
        }
        return render(request, "notifications/inbox/list.html", context)


class Item(ListingView):
    """The page of one item."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = get_object_or_404(self.get_items(), pk=pk)
        content = reveal(item)
        title, body = content or (item.title, "")
        context = {
            "item": item,
            "row": Row(item, self.viewer),
            "title": title,
            "body": body,
            "is_readable": content is not None,
            "name_clusters": len(self.clusters) > 1,
            "snooze_choices": list_snooze_choices(self.now).items(),
        }
        return render(request, "notifications/inbox/item.html", context, status=200 if content else 503)


class Export(ListingView):
    """The selected items as a file, without the content of sensitive events."""

    export: Callable[[InboxQuerySet, dict[Any, str]], Iterator[str]]
    content_type = file_name = ""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        items, text = self.choose_items(), self.filters.q
        chosen = items.search(text, request.user) if text else items
        lines: Any = type(self).export(chosen, self.cluster_names)
        if isinstance(request, ASGIRequest):
            lines = iterate_in_thread(lines)
        headers = {"Content-Disposition": f'attachment; filename="{self.file_name}"'}
        return StreamingHttpResponse(lines, content_type=self.content_type, headers=headers)


class ExportCSV(Export):
    export = staticmethod(export_csv)
    content_type, file_name = "text/csv; charset=utf-8", "notifications.csv"


class ExportJSON(Export):
    export = staticmethod(export_json)
    content_type, file_name = "application/json", "notifications.json"


def list_tabs(filters: Filters) -> list[tuple[str, Any, str]]:
    """Return the name, the label and the query string of each tab. They keep the other filters."""
    return [(name, label, filters.format_query(show=name)) for name, label in TAB_LABELS.items()]


def list_events() -> list[tuple[str, str]]:
    """Return the names of the events that can be in an inbox, with their labels, in the order of the labels."""
    events = [event for event in NOTIFICATION_EVENTS.values() if NotificationChannel.APP.value in event.channels]
    return sorted(((event.name, event.words) for event in events), key=lambda pair: pair[1].lower())


def reveal(item: InboxItem) -> tuple[str, str] | None:
    """Return title and body. If they cannot be decrypted, the reason is logged, and the result is None."""
    try:
        return item.reveal()
    except (DecryptionFailed, MissingExtra) as error:
        logger.error("Inbox item %s cannot be shown. %s", item.pk, error)  # noqa: TRY400 - the message says everything
        return None
