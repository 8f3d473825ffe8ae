"""The pages for unsubscribing. They need no log-in, no cookie and no JavaScript: the token in the URL is the permit.

So they are exempt from Django's protection against forged requests, which is based on a cookie: whoever can forge a
request has the token. GET and HEAD change nothing, because mail scanners follow links.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from notifications.channels.email_headers import ONE_CLICK
from notifications.core.databases import read_from_primary
from notifications.core.languages import in_own_language, use_own_language
from notifications.mail import get_theme
from notifications.unsubscribe.changes import set_wanted
from notifications.unsubscribe.links import InvalidLink, read_token
from notifications.unsubscribe.subscription import CurrentChoices, Scope, Subscription, load_subscription

TEMPLATES = "notifications/unsubscribe/"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
ONE_CLICK_FORM = [tuple(ONE_CLICK.split("="))]
NOT_TURNED_OFF = "This kind of notification cannot be turned off. Nothing was changed."
ANSWERS = {"off": False, "on": True}


@dataclass(frozen=True)
class Row:
    """A choice on the page. ``name`` is that of the event, category or topic, in the language of the page."""

    scope: Scope
    name: str
    is_on: bool


@method_decorator([csrf_exempt, login_not_required, never_cache, in_own_language], name="dispatch")
class TokenView(View):
    """A page about the email with the token, in the language of its recipient."""

    token: str
    subscription: Subscription

    @read_from_primary()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.token = kwargs["token"]
        response = self._respond(request, *args, **kwargs)
        # The token must reach neither other sites nor search engines.
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex"
        return response

    def _respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            subscription = load_subscription(read_token(self.token))
        except InvalidLink:
            return render(request, f"{TEMPLATES}invalid.html", status=404)
        if subscription is None:
            return render(request, f"{TEMPLATES}deleted.html")
        self.subscription = subscription
        with use_own_language(_get_language(subscription)) as language:
            response = super().dispatch(request, *args, **kwargs)
        response["Content-Language"] = language
        return response

    def render_page(self, changed: Row | None = None) -> HttpResponse:
        subscription, choices = self.subscription, CurrentChoices(self.subscription)
        context = {
            "token": self.token,
            "sender": get_theme(subscription.cluster, subscription.event_name).name,
            "channel": subscription.channel,
            "event": subscription.event,
            "rows": [self.make_row(scope, choices.is_on(scope)) for scope in choices.list_scopes()],
            "is_everything_off": not choices.is_on(Scope.ALL),
            "changed": changed,
        }
        return render(self.request, f"{TEMPLATES}page.html", context)

    def make_row(self, scope: Scope, is_on: bool) -> Row:
        event = self.subscription.event
        name = event.words if event and scope is Scope.EVENT else self.subscription.get_name(scope)
        return Row(scope, name, is_on)


def _get_language(subscription: Subscription) -> str | None:
    settings = CurrentChoices(subscription).settings
    code = settings.language_code if settings else ""
    return code if code and translation.check_for_language(code) else translation.get_language()


class Unsubscribe(TokenView):
    """The page of a link. The request of a mail program with one click turns the notifications off (RFC 8058)."""

    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self.render_page()

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        if not _is_one_click(request):
            return HttpResponseBadRequest(f"The form must be {ONE_CLICK}.", content_type="text/plain")
        if not self.subscription.can_be_turned_off:
            # Another status would let the mail program try again.
            return HttpResponse(NOT_TURNED_OFF, content_type="text/plain")
        set_wanted(self.subscription, self.subscription.default_scope, False)
        return HttpResponse("You are unsubscribed.", content_type="text/plain")


def _is_one_click(request: HttpRequest) -> bool:
    if request.content_type not in FORM_TYPES or request.FILES:
        return False
    return [(name, value) for name, values in request.POST.lists() for value in values] == ONE_CLICK_FORM


class Choice(TokenView):
    """A choice on the page: the field ``scope`` says what, the field ``answer`` whether it is wanted."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        name, wanted = request.POST.get("scope"), ANSWERS.get(request.POST.get("answer", ""))
        if wanted is None or name not in CurrentChoices(self.subscription).list_scopes():
            return HttpResponseBadRequest("The form has no valid scope and answer.", content_type="text/plain")
        scope = Scope(name)
        set_wanted(self.subscription, scope, wanted)
        return self.render_page(self.make_row(scope, wanted))
