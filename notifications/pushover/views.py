"""The view that Pushover calls. The token in its URL proves that Klaxon has given the URL to Pushover."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications.channels.pushover import PURPOSE
from notifications.core.tokens import read_token
from notifications.exceptions import NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Delivery

logger = logging.getLogger("notifications.pushover")


@csrf_exempt
@login_not_required
@require_POST
def receive_acknowledgement(request: HttpRequest, token: str) -> HttpResponse:
    """Record that the recipient of a delivery has acknowledged it in Pushover.

    :raises Http404: if the token is invalid, or the delivery was deleted.
    """
    numbers = read_token(PURPOSE, token, 1)
    rows = Delivery.objects.using(router.db_for_write(Delivery)).select_related("notification", "recipient")
    delivery = rows.filter(pk=numbers[0]).first() if numbers else None
    if delivery is None:
        raise Http404("This address is not valid.")
    if request.POST.get("acknowledged") == "1" and delivery.recipient is not None:
        try:
            NotificationManager.acknowledge(delivery.notification, delivery.recipient)
        except NotPermitted as error:
            # Pushover would only call again. The user has lost their account or membership in the meantime.
            logger.warning("An acknowledgement in Pushover is not recorded: %s", error)
    return HttpResponse(status=204)
