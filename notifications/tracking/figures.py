"""Count the figures of deliveries: when a worker has sent them, and when something happened to them.

Figures are kept of deliveries whose event tracks opens or clicks or has variants, or whose notification has a campaign.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from notifications.core.variants import find_variant
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, TrackingEvent, TrackingFigure
from notifications.models.tracking_figure import FigureKey
from notifications.outcomes import DeliveryState
from notifications.storage.outbox import StateChange

Metric = TrackingFigure.Metric
METRIC_BY_STATE: dict[str, Metric] = {DeliveryState.SENT: Metric.SENT, DeliveryState.DEAD: Metric.FAILED}
METRIC_BY_KIND = {
    (TrackingEvent.Kind.DELIVERED, False): Metric.DELIVERED,
    (TrackingEvent.Kind.REJECTED, False): Metric.BOUNCED,
    (TrackingEvent.Kind.BOUNCED, False): Metric.BOUNCED,
    (TrackingEvent.Kind.COMPLAINED, False): Metric.COMPLAINED,
    (TrackingEvent.Kind.UNSUBSCRIBED, False): Metric.UNSUBSCRIBED,
    (TrackingEvent.Kind.OPENED, False): Metric.OPENED,
    (TrackingEvent.Kind.CLICKED, False): Metric.CLICKED,
    (TrackingEvent.Kind.OPENED, True): Metric.MACHINE_OPENED,
    (TrackingEvent.Kind.CLICKED, True): Metric.MACHINE_CLICKED,
}


def count_outcomes(outcomes: Sequence[tuple[Delivery, StateChange]], using: str, at: datetime) -> None:
    """Count the deliveries that were sent or that failed. A hook of the worker."""
    counts: Counter[FigureKey] = Counter()
    for delivery, change in outcomes:
        metric = METRIC_BY_STATE.get(change.state)
        if metric and (key := make_figure_key(delivery, metric, at)):
            counts[key] += 1
    if counts:
        TrackingFigure.objects.using(using).add(counts)


def count_event(event: TrackingEvent, delivery: Delivery, number: int = 1) -> None:
    """Count an event on the day on which it happened, or uncount it if ``number`` is -1."""
    # The clock of whoever reports it may be wrong.
    at = max(event.happened_at, delivery.notification.created_at)
    metric = METRIC_BY_KIND.get((TrackingEvent.Kind(event.kind), event.is_machine))
    if metric and (key := make_figure_key(delivery, metric, at)):
        TrackingFigure.objects.using(event._state.db).add({key: number})


def make_figure_key(delivery: Delivery, metric: str, at: datetime) -> FigureKey | None:
    """Return what to count for a delivery; None if there are no figures about it."""
    notification = delivery.notification
    event = NOTIFICATION_EVENTS.named(notification.event)
    if not notification.campaign and (event is None or not event.has_figures):
        return None
    day = timezone.localdate(at, timezone.get_default_timezone())
    variant = find_variant(event, delivery)
    return FigureKey(day, notification.cluster_id, notification.event, notification.campaign, variant, str(metric))
