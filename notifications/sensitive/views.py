"""The page with the content of a sensitive notification, for its recipients only.

A notification of somebody else gives the same 404 as one that does not exist. GET changes nothing, because mail
scanners follow links.
"""

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from notifications.channels import BaseChannel
from notifications.channels.base import HTML, TEXT, Rendered
from notifications.conf import current, get_channel_class
from notifications.core.languages import get_direction, use_own_language
from notifications.delivering.rendering import describe_error, get_locale, render_notification, use_locale
from notifications.delivering.rendering.bodies import convert_to_text
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery
from notifications.outcomes import DeliveryState
from notifications.sending.gates import Person, load_people

UNREADABLE_STATES = (DeliveryState.HELD, DeliveryState.DROPPED, DeliveryState.CANCELLED, DeliveryState.EXPIRED)
logger = logging.getLogger("notifications.sensitive")


@method_decorator(never_cache, name="dispatch")
class Content(LoginRequiredMixin, View):
    """The page of one notification. Its status is 503 if the content cannot be decrypted or rendered."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        delivery, event = find_delivery(request.user, pk)
        person = find_member(delivery)
        with use_locale(get_locale(person.settings)):
            rendered = render_content(delivery, event, person)
            with use_own_language() as language:
                response = show_content(request, delivery, event, rendered)
        response.headers["Content-Language"] = language
        return protect(response)


def show_content(
    request: HttpRequest, delivery: Delivery, event: NotificationEvent, rendered: Rendered | None
) -> HttpResponse:
    """Return the page around a content, which can be in another language than the page."""
    context = {
        "label": event.words,
        "sent_at": delivery.notification.wanted_at,
        "is_readable": rendered is not None,
        "subject": rendered.subject if rendered else "",
        "text": rendered.text if rendered else "",
        "content_language": rendered.language if rendered else "",
        "content_direction": get_direction(rendered.language) if rendered else "",
    }
    return render(request, "notifications/sensitive/content.html", context, status=200 if rendered else 503)


def find_delivery(user: Any, notification_id: int) -> tuple[Delivery, NotificationEvent]:
    """Return the user's delivery of a sensitive notification whose channel shows most, and its event.

    :raises Http404: if there is none, or it still waits for its time, or it must not be delivered.
    """
    # With __pk, Django finds no rows for a number that the database cannot store; without it, SQLite raises an error.
    # With __pk, Django finds no rows for a number that the database cannot store; without it, SQLite raises an error.
    rows = Delivery.objects.filter(notification__pk=notification_id, recipient=user)
    # A delivery that was sent before the cancellation keeps its state.
    rows = rows.exclude(state__in=UNREADABLE_STATES).filter(notification__cancelled_at=None)
    rows = rows.select_related("notification__cluster")
    found = [row for row in rows.order_by("pk") if is_readable(row)]
    if not found:
        raise Http404
    delivery = max(found, key=lambda row: len(get_parts(row.channel)))
    return delivery, NOTIFICATION_EVENTS.find(delivery.notification.event)


def is_readable(delivery: Delivery) -> bool:
    """Return whether the page can show a delivery: a sensitive one, of an event and a channel that the site has."""
    notification = delivery.notification
    is_known = NOTIFICATION_EVENTS.named(notification.event) is not None
    return is_known and delivery.channel in current().enabled_channels and notification.is_sensitive


def get_parts(channel: str) -> tuple[str, ...]:
    """Return the template parts that the page shows; of an email, the text, which may have to be derived."""
    channel_class: type[BaseChannel] = get_channel_class(channel)
    return (*channel_class.required_parts, *(part for part in channel_class.derived_parts if part == TEXT))


def find_member(delivery: Delivery) -> Person:
    """Return the recipient of a delivery.

    :raises Http404: if they are no longer an active member of its cluster.
    """
    person: Person = load_people(delivery.notification.cluster, [delivery.recipient_id])[delivery.recipient_id]
    if person.user is None or not person.user.is_active or not person.is_member:
        raise Http404
    return person


def render_content(delivery: Delivery, event: NotificationEvent, person: Person) -> Rendered | None:
    """Return the text that the channel of the delivery would carry if the event was not sensitive.

    The language and time zone of the recipient must be active. If the text cannot be rendered, the reason is logged,
    and the result is None.
    """
    notification, channel = delivery.notification, delivery.channel
    required, locale = get_channel_class(channel).required_parts, get_locale(person.settings)
    derived = [part for part in get_parts(channel) if part not in required]
    render_text = partial(render_notification, notification, event, channel, reveals_secrets=True)
    try:
        rendered = render_text((required, derived), person.user, locale)
        if rendered.parts.keys() >= set(derived):
            return rendered
        text = convert_to_text(render_text(((HTML,), ()), person.user, locale).html)
        return replace(rendered, parts={**rendered.parts, TEXT: text})
    except Exception as error:  # noqa: BLE001 - a template or a transform may raise anything
        sentence = describe_error(error, is_sensitive=True)
        logger.error(  # noqa: TRY400 - a traceback could quote a value
            "The content of notification %s cannot be shown. %s", delivery.notification_id, sentence
        )
        return None


def protect(response: HttpResponse) -> HttpResponse:
    """Add headers against copies: no address of this page in requests to other sites, and no search engines."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
