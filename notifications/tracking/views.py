"""The views of tracked images and links. They need no log-in and set no cookies."""

import logging
from base64 import b64decode

from django.contrib.auth.decorators import login_not_required
from django.db import Error, router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_safe

from notifications.core.tokens import read_token
from notifications.models import TrackedLink
from notifications.tracking.hits import record_hit
from notifications.tracking.links import CLICK, OPEN
from notifications.tracking.machines import find_machine_sign
from notifications.tracking.reports import Kind

logger = logging.getLogger("notifications.tracking")

# A transparent GIF of one pixel.
PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


@login_not_required
@require_safe
def show_image(request: HttpRequest, token: str) -> HttpResponse:
    """Return an image, and record the open. An invalid token gets the image too, but nothing is recorded."""
    numbers = read_token(OPEN, token, 1)
    if numbers is not None:
        _record(request, Kind.OPENED, numbers[0])
    return _without_traces(HttpResponse(PIXEL, content_type="image/gif"))


@login_not_required
@require_safe
def follow_link(request: HttpRequest, token: str) -> HttpResponse:
    """Redirect to the stored URL of a tracked link, and record the click.

    :raises Http404: if the token is invalid. A URL in the request is never used.
    """
    numbers = read_token(CLICK, token, 2)
    link = find_link(numbers[1]) if numbers else None
    if numbers is None or link is None:
        raise Http404("This link is not valid.")
    _record(request, Kind.CLICKED, numbers[0], link.pk)
    return _without_traces(HttpResponseRedirect(link.url))


def find_link(pk: int) -> TrackedLink | None:
    """Return a stored link. A replica may not have one that was stored a moment ago."""
    links = TrackedLink.objects.filter(pk=pk)
    return links.first() or links.using(router.db_for_write(TrackedLink)).first()


def _record(request: HttpRequest, kind: Kind, delivery_id: int, link_id: int | None = None) -> None:
    try:
        record_hit(kind, delivery_id, find_machine_sign(str(request.method), request.headers), link_id)
    except Error:
        # The reader must get to the page, even if the database can only be read at present.
        logger.exception("A hit of delivery %s cannot be recorded.", delivery_id)


def _without_traces(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store, private"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response
