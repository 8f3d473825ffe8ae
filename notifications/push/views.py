"""The subscription page, the addresses that its script calls, and the service worker."""

from functools import cached_property
from pathlib import Path
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from notifications.core import clock
from notifications.core.languages import in_own_language
from notifications.models import PushSubscription
from notifications.models.push_subscription import BROWSER_LENGTH, PushSubscriptionQuerySet, hash_endpoint
from notifications.push.configuration import PushConfiguration, find_push_configuration
from notifications.push.signing_out import SESSION_KEY
from notifications.push.subscribing import SubscriptionFault, describe_browser, read_subscription

MAX_BROWSERS_PER_USER = 20
WORKER = Path(__file__).with_name("worker.js")


@method_decorator([never_cache, in_own_language], name="dispatch")
class PushView(LoginRequiredMixin, View):
    """A view of the signed-in user, who sees and changes only their own subscriptions."""

    @cached_property
    def configuration(self) -> PushConfiguration:
        """The configuration of the channel; 404 if the site has none."""
        configuration = find_push_configuration()
        if configuration is None:
            raise Http404("The site has no push channel.")
        return configuration

    def get_subscriptions(self) -> PushSubscriptionQuerySet:
        return PushSubscription.objects.using(router.db_for_write(PushSubscription)).of(self.request.user)


class Page(PushView):
    """The page with the browsers of the user."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        browsers = self.get_subscriptions().usable(self.configuration.public_key).order_by("-created_at")
        context = {"server_key": self.configuration.public_key, "browsers": browsers}
        return render(request, "notifications/push/page.html", context)


class Subscribe(PushView):
    """Store the subscription of the browser that sends it."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponseBase:
        try:
            keys = read_subscription(request.POST.dict(), self.configuration)
        except SubscriptionFault as fault:
            return JsonResponse({"error": str(fault)}, status=400)
        # Among those of all users, because another user may have used this browser before.
        everyone = PushSubscription.objects.using(router.db_for_write(PushSubscription))
        subscription = everyone.store(
            request.user,
            keys.endpoint,
            {
                "p256dh": keys.p256dh,
                "auth": keys.auth,
                "server_key": self.configuration.public_key,
                "browser": describe_browser(request.headers.get("User-Agent", ""))[:BROWSER_LENGTH],
            },
            clock.now(router.db_for_write(PushSubscription)),
        )
        request.session[SESSION_KEY] = subscription.pk
        self.get_subscriptions().forget_oldest(request.user, MAX_BROWSERS_PER_USER)
        return JsonResponse({"id": subscription.pk})


class Unsubscribe(PushView):
    """Delete the subscription of the browser that names its endpoint."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponseBase:
        self.get_subscriptions().filter(endpoint_hash=hash_endpoint(request.POST.get("endpoint", ""))).delete()
        return JsonResponse({})


class Remove(PushView):
    """Delete a subscription that the page lists."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        get_object_or_404(self.get_subscriptions(), pk=pk).delete()
        return redirect("notifications:push")


@login_not_required
@require_safe
@cache_control(max_age=0)
def worker(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Return the service worker. Browsers ask for it again, also when the user has signed out."""
    return HttpResponse(WORKER.read_bytes(), content_type="text/javascript")
