"""The addresses that scripts use: the feed, and the changes of items. Forms of pages without a script use these too."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from notifications.exceptions import ActionUnavailable
from notifications.inbox.access import ChangingView, PersonalView
from notifications.inbox.actions import take_action
from notifications.inbox.changes import CHANGES, parse_snooze_end
from notifications.inbox.feed import DEFAULT_LIMIT, MAX_LIMIT, Cursor, load_feed
from notifications.models.inbox import InboxQuerySet

MAX_ITEMS = 1000


class Feed(PersonalView):
    """The counts and the newest items as JSON, or with ``since`` what has changed; see :func:`load_feed`.

    With ``token``, the answer also contains the present CSRF token, for pages that are older than the last login.
    """

    raises_login_error = True

    def get(self, request: HttpRequest) -> HttpResponse:
        since, limit = request.GET.get("since"), request.GET.get("limit", str(DEFAULT_LIMIT))
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MAX_LIMIT:
            return JsonResponse({"error": f"limit must be a number from 1 to {MAX_LIMIT}."}, status=400)
        try:
            cursor = None if since is None else Cursor.parse(since)
        except ValueError as error:
            return JsonResponse({"error": str(error)}, status=400)
        # Only if asked for, because Django then renews the cookie.
        more = {"token": get_token(request)} if "token" in request.GET else {}
        return JsonResponse({**load_feed(request.user.pk, cursor, int(limit)), **more})


class UnreadCount(PersonalView):
    """The number of unread items as JSON, for a badge that polls it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"unread": self.load_counts().total})


class ChangeItems(ChangingView):
    """Change the items with the ids in ``item``, or all items of the list if ``all`` is given.

    ``do`` is one of :data:`CHANGES`; ``until`` is required for ``snooze``. A button can contain everything:
    ``do=read:42``, ``do=archive:42,43`` or ``do=snooze:42:hour``. Ids of items that the user does not see are ignored
    like those of missing items.
    """

    def post(self, request: HttpRequest) -> HttpResponseBase:
        name, _separator, rest = request.POST.get("do", "").partition(":")
        numbers, _separator, choice = rest.partition(":")
        until = self.parse_end(choice or request.POST.get("until", "")) if name == "snooze" else None
        items = self.choose_items(numbers.split(",") if numbers else self.list_selected())
        if name not in CHANGES or items is None or (name == "snooze" and until is None):
            return HttpResponseBadRequest("The change, its items or the end of the snooze are missing or not valid.")
        count = CHANGES[name].run(items, self.now, until)
        if CHANGES[name].message and not self.wants_json:
            messages.success(request, CHANGES[name].message % count, fail_silently=True)
        return self.answer(changed=count)

    def parse_end(self, text: str) -> datetime | None:
        with self.use_time_zone():
            return parse_snooze_end(text, self.now)

    def list_selected(self) -> list[str]:
        return [number for value in self.request.POST.getlist("item") for number in value.split(",")]

    def choose_items(self, numbers: Sequence[str]) -> InboxQuerySet | None:
        """Return the items with these ids, or None if one is not a number."""
        if "all" in self.request.POST:
            return self.get_items().listed(self.now)
        if len(numbers) > MAX_ITEMS or not all(number.isascii() and number.isdigit() for number in numbers):
            return None
        return self.get_items().filter(pk__in=[int(number) for number in numbers if len(number) < 19])


class MarkRead(ChangingView):
    """Mark one item as read."""

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        get_object_or_404(self.get_items(), pk=pk)
        return self.answer(changed=self.get_items().filter(pk=pk).mark_read(self.now))


class MarkAllRead(ChangingView):
    """Mark all items as read, also those that are not on the page."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        count = self.get_items().listed(self.now).mark_read(self.now)
        if not self.wants_json:
            messages.success(request, _format_message(count), fail_silently=True)
        return self.answer(changed=count)


def _format_message(count: int) -> str:
    if not count:
        return _("You have no unread notifications.")
    return str(CHANGES["read"].message % count)


class TakeAction(ChangingView):
    """Take an action of an item: 404 for an item that the user does not see, 403 without the permission."""

    def post(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        get_object_or_404(self.get_items(), pk=pk)
        try:
            take_action(pk, name, request.user, self.now, self.using)
        except (ActionUnavailable, ValidationError) as refusal:
            text = " ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)
            if self.wants_json:
                return JsonResponse({"error": text}, status=409)
            messages.error(request, text, fail_silently=True)
        return self.answer(changed=1)
