"""The items that a user may see, and what all views of the inbox have in common."""

from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.db import router
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache

from notifications.core import clock
from notifications.core.hours import get_zone
from notifications.core.languages import in_own_language
from notifications.inbox.feed import Counts, load_counts
from notifications.inbox.membership import load_visible_clusters
from notifications.models import InboxItem, UserSettings
from notifications.models.inbox import InboxQuerySet


@method_decorator([never_cache, in_own_language], name="dispatch")
class PersonalView(LoginRequiredMixin, View):
    """A view of the signed-in user, who sees only their own items, and only those of their clusters.

    An item of another user or cluster gives the same 404 as an item that does not exist.
    """

    http_method_names = ["get", "head"]
    raises_login_error = False
    """Whether the answer to a user who is not signed in is 403 and not a redirection to the login page."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.raises_login_error and not request.user.is_authenticated:
            return JsonResponse({"error": "not signed in"}, status=403)
        return super().dispatch(request, *args, **kwargs)

    @cached_property
    def using(self) -> str:
        """The database that items are read from; that which they are written to if the request changes them."""
        return router.db_for_write(InboxItem) if self.request.method == "POST" else router.db_for_read(InboxItem)

    @cached_property
    def now(self) -> Any:
        return clock.cached_now(self.using)

    @cached_property
    def clusters(self) -> set[Any]:
        """The keys of the clusters whose items the user sees."""
        return load_visible_clusters([self.request.user.pk], self.using)[self.request.user.pk]

    def use_time_zone(self, cluster_key: str = "") -> AbstractContextManager[Any]:
        """Activate the time zone that the user has chosen, if any.

        Users choose it for each cluster. That of the cluster with this key decides, otherwise the one chosen first.
        """
        chosen = UserSettings.objects.using(self.using).filter(user=self.request.user.pk).exclude(time_zone="")
        zones = {
            str(cluster_id): name for cluster_id, name in chosen.order_by("pk").values_list("cluster", "time_zone")
        }
        name = zones.get(cluster_key) or next(iter(zones.values()), "")
        return timezone.override(get_zone(name)) if name else nullcontext()

    def get_items(self) -> InboxQuerySet:
        return InboxItem.objects.using(self.using).of(self.request.user).filter(cluster__in=self.clusters)

    def load_counts(self) -> Counts:
        user_id = self.request.user.pk
        return load_counts([user_id], {user_id: self.clusters}, self.using)[user_id]


class ChangingView(PersonalView):
    """A view that changes items by POST. It redirects to the path in ``next``, or answers scripts with JSON."""

    http_method_names = ["post"]

    def handle_no_permission(self) -> HttpResponseRedirect:
        # After signing in, the user cannot return to this URL, because it only accepts POST.
        return redirect_to_login(reverse("notifications:inbox"), self.get_login_url())

    @property
    def wants_json(self) -> bool:
        return self.request.get_preferred_type(["text/html", "application/json"]) == "application/json"

    def answer(self, **values: Any) -> HttpResponseBase:
        """Return a redirection, or the values as JSON together with the counts after the change."""
        if not self.wants_json:
            return HttpResponseRedirect(self.find_way_back())
        counts = self.load_counts()
        return JsonResponse({**values, "revision": counts.revision, "counts": counts.as_json()})

    def find_way_back(self) -> str:
        path = self.request.POST.get("next", "")
        # No host is allowed, not even the site's own, so only a path is safe.
        is_safe = url_has_allowed_host_and_scheme(path, allowed_hosts=None)
        return path if is_safe else reverse("notifications:inbox")
