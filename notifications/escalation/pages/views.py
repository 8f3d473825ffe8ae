"""The page on which the recipient of an email acknowledges its notification. It needs no log-in, cookie or JavaScript.

GET and HEAD change nothing, because mail scanners follow links: only the button acknowledges. The token in the URL is
the permit, so the form needs no other protection: whoever can forge it has the token.
"""

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import router
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt

from notifications.core.databases import read_from_primary
from notifications.core.languages import in_own_language, use_own_language
from notifications.core.tokens import read_token
from notifications.delivering.rendering import get_locale, use_locale
from notifications.escalation.actions import acknowledge, acknowledge_run, get_first
from notifications.escalation.pages.links import PURPOSE
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import NotPermitted
from notifications.mail import get_theme
from notifications.models import Acknowledgement, Delivery, EscalationRun
from notifications.sending.gates import Person, load_people

logger = logging.getLogger("notifications.escalation")
TEMPLATES = "notifications/escalation/"


@method_decorator([csrf_exempt, login_not_required, never_cache, xframe_options_deny, in_own_language], name="dispatch")
class Acknowledge(View):
    """The page of a link, in the language and time zone of the recipient."""

    http_method_names = ["get", "head", "post"]
    delivery: Delivery

    @read_from_primary()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        delivery = find_delivery(kwargs["token"])
        if delivery is None:
            return protect(render(request, f"{TEMPLATES}invalid.html", status=404))
        self.delivery = delivery
        people = load_people(delivery.notification.cluster, [pk] if (pk := delivery.recipient_id) else [])
        person = people.get(pk, Person(delivery.recipient_key))
        with use_locale(get_locale(person.settings)), use_own_language() as language:
            response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Language"] = language
        return protect(response)

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self.show(is_acknowledged(self.delivery))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            acknowledge_delivery(self.delivery)
        except NotPermitted as error:
            # They have lost their account or membership since.
            logger.warning("Delivery %d is not acknowledged: %s", self.delivery.pk, error)
            return self.show(is_done=False, is_refused=True, status=403)
        return self.show(is_done=True)

    def show(self, is_done: bool, is_refused: bool = False, status: int = 200) -> HttpResponse:
        notification, run = self.delivery.notification, find_run(self.delivery)
        event = NOTIFICATION_EVENTS.named(notification.event)
        context = {
            "sender": get_theme(notification.cluster, notification.event).name,
            "event": event.words if event else notification.event,
            "sent_at": notification.wanted_at,
            "is_done": is_done,
            "is_refused": is_refused,
            "goes_on_at": run.due_at if run is not None else None,
            "is_over": run is not None and run.is_over,
        }
        return render(self.request, f"{TEMPLATES}acknowledge.html", context, status=status)


def find_delivery(token: str) -> Delivery | None:
    """Return the delivery of a token; None if the token is not valid, or the delivery was deleted."""
    numbers = read_token(PURPOSE, token, 1)
    rows = Delivery.objects.using(router.db_for_write(Delivery))
    rows = rows.select_related("notification", "notification__cluster", "recipient")
    return rows.filter(pk=numbers[0]).first() if numbers else None


def find_run(delivery: Delivery) -> EscalationRun | None:
    """Return the escalation that a delivery belongs to; None if there is none."""
    rows = EscalationRun.objects.using(router.db_for_write(EscalationRun))
    return rows.filter(notification=get_first(delivery.notification)).first()


def is_acknowledged(delivery: Delivery) -> bool:
    """Return whether there is nothing left to acknowledge."""
    run = find_run(delivery)
    if run is not None:
        return run.is_over or run.state == EscalationRun.State.ACKNOWLEDGED
    rows = Acknowledgement.objects.filter(notification=delivery.notification_id, user=delivery.recipient_id)
    return delivery.recipient_id is not None and rows.exists()


def acknowledge_delivery(delivery: Delivery) -> None:
    """Acknowledge a notification by the recipient of a delivery.

    :raises NotPermitted: if the user is not active or no member of the cluster any more.
    """
    if delivery.recipient is not None:
        acknowledge(delivery.notification, delivery.recipient)
    elif run := find_run(delivery):
        acknowledge_run(run, by_key=delivery.recipient_key)


def protect(response: HttpResponseBase) -> HttpResponseBase:
    """Add headers, so that the token reaches neither other sites nor search engines."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response
