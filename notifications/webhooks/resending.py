"""Test messages, the log of attempts, and sending again what has failed."""

from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from notifications.channels.webhook import CHANNEL
from notifications.core import clock
from notifications.core.addresses import hash_address
from notifications.events import BuiltInEvents
from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, WebhookAttempt, WebhookEndpoint
from notifications.outcomes import SendResult
from notifications.recipients import Address
from notifications.sending.resend import RESENDABLE_STATES, reopen, wake_workers

MAX_TESTS_PER_HOUR = 20
PAGE_SIZE = 50
REPLAY_CHUNK = 500


def send_test_message(endpoint: WebhookEndpoint, actor: Any = None) -> SendResult:
    """Queue a message of the event ``test_message`` for one endpoint, whatever it is subscribed to.

    :raises InvalidOption: if it is disabled, or has got too many within an hour: its URL may be that of somebody else.
    """
    _check_enabled(endpoint)
    using = router.db_for_write(Delivery)
    since = clock.now(using) - timedelta(hours=1)
    # Those that still wait count too.
    recent = Notification.objects.using(using).filter(
        event=BuiltInEvents.TEST_MESSAGE.value, cluster=endpoint.cluster_id, created_at__gt=since
    )
    tests = _deliveries(endpoint, using).filter(notification__in=recent)
    if tests.count() >= MAX_TESTS_PER_HOUR:
        raise InvalidOption(_("The endpoint has got too many test messages. Try again in an hour."))
    recipient = Address.stored({CHANNEL: endpoint.uid})
    return NotificationManager.send(
        BuiltInEvents.TEST_MESSAGE, recipient, endpoint.cluster, context={}, channels=[CHANNEL], actor=actor
    )


def list_attempts(endpoint: WebhookEndpoint, before: int | None = None, limit: int = PAGE_SIZE) -> list[WebhookAttempt]:
    """Return attempts of an endpoint, the newest first, each with its delivery.

    :param before: the primary key of an attempt; only older ones are returned.
    """
    rows = WebhookAttempt.objects.filter(endpoint=endpoint).order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    attempts = list(rows[: max(1, min(limit, 500))])
    found = Delivery.objects.in_bulk({attempt.delivery_id for attempt in attempts} - {None})
    for attempt in attempts:
        attempt.delivery = found.get(attempt.delivery_id)
    return attempts


def send_again(endpoint: WebhookEndpoint, delivery_id: int, reason: str, actor: Any = None) -> Delivery:
    """Send a delivery of an endpoint again that is dead or unknown. The message keeps its ``webhook-id``.

    The caller checks permissions.

    :raises InvalidOption: if the endpoint is disabled, or the delivery is not its own or has another state.
    """
    _check_enabled(endpoint)
    using = router.db_for_write(Delivery)
    rows = _deliveries(endpoint, using).filter(pk=delivery_id)
    with transaction.atomic(using=using):
        reopened = reopen(rows, reason, actor)
        wake_workers(reopened)
    found = rows.first()
    if found is None:
        raise InvalidOption(_("This message does not exist any more."))
    if not reopened:
        text = _("The message is {state}; only one that has failed for good can be sent again.")
        raise InvalidOption(format_lazy(text, state=found.get_state_display()))
    return found


def replay_failed(
    endpoint: WebhookEndpoint, since: datetime, reason: str, actor: Any = None, until: datetime | None = None
) -> int:
    """Send everything again that has failed for good at or after ``since``; return the number of messages.

    Each keeps its ``webhook-id``. What fails after the call has begun is not sent again, so that the call ends. The
    caller checks permissions.

    :param until: only what had failed before this time; by default, now.
    :raises InvalidOption: if the endpoint is disabled.
    """
    _check_enabled(endpoint)
    using = router.db_for_write(Delivery)
    now = clock.now(using)
    failed = _deliveries(endpoint, using).dead_letters(since, min(until or now, now))
    count = 0
    while True:
        with transaction.atomic(using=using):
            ids = list(failed.values_list("pk", flat=True)[:REPLAY_CHUNK])
            # Some may have been sent again by another person meanwhile.
            reopened = reopen(Delivery.objects.using(using).filter(pk__in=ids), reason, actor)
            wake_workers(reopened)
        count += len(reopened)
        if len(ids) < REPLAY_CHUNK:
            return count


def is_resendable(delivery: Delivery | None) -> bool:
    """Return whether :func:`send_again` can send a delivery."""
    return delivery is not None and delivery.state in RESENDABLE_STATES


def _deliveries(endpoint: WebhookEndpoint, using: str) -> Any:
    return Delivery.objects.using(using).filter(channel=CHANNEL, address_hash=hash_address(endpoint.uid))


def _check_enabled(endpoint: WebhookEndpoint) -> None:
    rows = WebhookEndpoint.objects.using(router.db_for_write(WebhookEndpoint))
    if not rows.filter(pk=endpoint.pk, enabled=True).exists():
        raise InvalidOption(_("The endpoint is disabled. Enable it first."))
