"""The pages of magic links: one on which to ask for a link, one that a link leads to, and what it shows.

Mail scanners, previews and browsers that load pages in advance open links. So the page that a link leads to does not
even look whether the link is valid; its button sends the link to another address, in the body of a POST. Therefore:

- Nobody learns from the page whether a link is valid, nor from the time that it takes.
- The address of the page with the content does not contain the link. Neither do the entries of Django's log about it,
  nor a ``Referer``.

The content is the answer to the POST, and there is no session for it. A key of a session would open the page again, and
Django stores it in the database in plain text. Who loads the page again sends a link that was used.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from notifications import conf
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.core.languages import in_own_language, use_own_language
from notifications.delivering.rendering import get_locale, use_locale
from notifications.magic_links.asking import may_ask, send_links
from notifications.magic_links.pages import PAGES
from notifications.magic_links.send import check_available, hash_link
from notifications.mail import get_theme
from notifications.models import MagicLink
from notifications.sending.gates import Person, load_people

TEMPLATES = "notifications/magic_links/"
COOKIE, COOKIE_SALT, COOKIE_BYTES = "klaxon_link", "notifications.magic_links", 16
MIN_ANSWER_SECONDS = 0.3
"""How long every answer to a request for a link takes. Sending a link takes longer than finding no user."""


@csrf_exempt
@login_not_required
@never_cache
@xframe_options_deny
@in_own_language
def show_link(request: HttpRequest, link: str) -> HttpResponse:
    """Show a page with a button, the same for every link and every method.

    No method is refused, and no form is protected, because Django would log the address of a refused request.
    """
    return show_button(request, link)


def show_button(request: HttpRequest, link: str, status: int = 200) -> HttpResponse:
    """Return the page with the button, with a cookie and the same text in a field of its form.

    This protects the form from other sites. Django's own protection would refuse it, because from a page without a
    referrer browsers send a form with ``Origin: null``.
    """
    seal = read_seal(request) or secrets.token_urlsafe(COOKIE_BYTES)
    context = {"link": link.rstrip("/"), "seal": seal, "is_refused": status != 200}
    response = render(request, f"{TEMPLATES}button.html", context, status=status)
    response.set_signed_cookie(
        COOKIE,
        seal,
        salt=COOKIE_SALT,
        # Two tabs share it, so the second one must get it too, from the link in a mail program on the web.
        samesite="Lax",
        httponly=True,
        secure=request.is_secure(),
        path=reverse("notifications:ask-for-link"),
    )
    return protect(response)


def read_seal(request: HttpRequest) -> str:
    """Return the text in the cookie of the page with the button; empty if there is none that this site has signed."""
    return request.get_signed_cookie(COOKIE, default="", salt=COOKIE_SALT) or ""


@method_decorator(
    [
        csrf_exempt,
        login_not_required,
        never_cache,
        xframe_options_deny,
        in_own_language,
        sensitive_post_parameters("link", "seal"),
    ],
    name="dispatch",
)
class OpenLink(View):
    """Use a link up and show its page. Whatever is wrong with a link, the answer is the same."""

    http_method_names = ["get", "head", "post"]

    @method_decorator(sensitive_variables("link", "seal"))
    def post(self, request: HttpRequest) -> HttpResponse:
        link, seal = request.POST.get("link", ""), read_seal(request)
        if not seal or not constant_time_compare(seal, request.POST.get("seal", "")):
            return show_button(request, link, status=403)
        return protect(show_content(request, link))

    def get(self, request: HttpRequest) -> HttpResponse:
        """Lead to the page on which to ask for a link: somebody has opened the address of the content again."""
        return HttpResponseRedirect(reverse("notifications:ask-for-link"))


@sensitive_variables("link")
@read_from_primary()
def show_content(request: HttpRequest, link: str) -> HttpResponse:
    """Return the page of a link, which is used up; or that of a link that is not valid.

    If the page cannot be rendered, the transaction is rolled back, and the link is still valid.
    """
    using = router.db_for_write(MagicLink)
    with transaction.atomic(using=using):
        rows = MagicLink.objects.using(using)
        found = rows.use(hash_link(link), clock.now(using)) if conf.current().magic_links else None
        person = find_person(found) if found is not None else None
        if found is None or person is None:
            return render(request, f"{TEMPLATES}invalid.html", status=404)
        with use_locale(get_locale(person.settings)), use_own_language() as language:
            page = PAGES[MagicLink.Purpose(found.purpose)]
            context = {
                **page.load(found.user, found.cluster),
                "sender": get_theme(found.cluster).name,
                "title": found.get_purpose_display(),
            }
            response = render(request, page.template, context)
    response.headers["Content-Language"] = language
    return response


def find_person(link: MagicLink) -> Person | None:
    """Return the user of a link; None if they are not an active member of its cluster any more."""
    person: Person = load_people(link.cluster, [link.user_id])[link.user_id]
    is_active_member = person.user is not None and person.user.is_active and person.is_member
    return person if is_active_member else None


class AskForm(forms.Form):
    """The form on which somebody asks for a link."""

    email = forms.EmailField(label=_("Your email address"))
    purpose = forms.ChoiceField(label=_("What do you want to see?"), choices=MagicLink.Purpose.choices)
    cluster = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)


def outside_of_transactions(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let a view run without a transaction of its request, whatever ``ATOMIC_REQUESTS`` says for each database."""
    for alias in settings.DATABASES:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


# With ATOMIC_REQUESTS, the locks would be held while it waits, and on SQLite nobody else could write.
@method_decorator(
    [outside_of_transactions, csrf_protect, login_not_required, never_cache, xframe_options_deny, in_own_language],
    name="dispatch",
)
class AskForLink(View):
    """The page on which somebody asks for a link. ``?cluster=<pk>`` selects the cluster.

    The answer does not depend on whether the address belongs to a user.
    """

    http_method_names = ["get", "head", "post"]

    @read_from_primary()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not conf.current().magic_links:
            raise Http404("NOTIFICATIONS['MAGIC_LINKS'] is False.")
        check_available()
        response = super().dispatch(request, *args, **kwargs)
        response.headers["X-Robots-Tag"] = "noindex"
        return response

    def get(self, request: HttpRequest) -> HttpResponse:
        if "sent" in request.GET:
            # A template of the site's own can show the minutes, so they are whole ones, and never 0.
            minutes = max(1, int(conf.current().magic_link_seconds // 60))
            return render(request, f"{TEMPLATES}asked.html", {"minutes": minutes})
        return self.show_form(AskForm(initial={"cluster": request.GET.get("cluster", "")}))

    def post(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        form = AskForm(request.POST)
        if not form.is_valid():
            return self.show_form(form)
        if not may_ask(request.META.get("REMOTE_ADDR", "")):
            return self.show_form(form, is_limited=True, status=429)
        values = form.cleaned_data
        send_links(values["email"], MagicLink.Purpose(values["purpose"]), values["cluster"])
        time.sleep(max(0.0, MIN_ANSWER_SECONDS - (time.monotonic() - started)))
        return HttpResponseRedirect(f"{request.path}?sent")

    def show_form(self, form: AskForm, is_limited: bool = False, status: int = 200) -> HttpResponse:
        return render(self.request, f"{TEMPLATES}ask.html", {"form": form, "is_limited": is_limited}, status=status)


def protect(response: HttpResponse) -> HttpResponse:
    """Add headers, so that no other site learns the address of a page, and no search engine lists it."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
