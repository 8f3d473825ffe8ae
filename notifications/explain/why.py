"""``why()``: what happened to a delivery, or to a notification for one recipient."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import router

from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.core.databases import read_from_primary
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.explain.delivery_explainer import DeliveryExplainer
from notifications.explain.explanation import Explanation
from notifications.explain.history import explain_drop
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import SendResult
from notifications.recipients import Address
from notifications.sending.enqueue import ALL_RECIPIENTS
from notifications.sending.gates import Person, load_people


@read_from_primary()
def why(subject: Delivery | Notification | SendResult, recipient: Any) -> Explanation:
    """Explain one delivery, or everything that one recipient got or did not get of a notification.

    :raises InvalidOption: if the subject is of another type, was deleted or was never saved, or if the result is of a
        call that stored no notification.
    :raises InvalidRecipient: if the recipient of a notification is missing, or no saved user and no ``Address``.
    """
    rows = Delivery.objects.select_related("notification__cluster", "merged_into")
    if isinstance(subject, Delivery):
        delivery = rows.filter(pk=subject.pk).first()
        if delivery is None:
            raise InvalidOption(f"The delivery {subject} has been deleted or was never saved.")
        return _explain(delivery.notification, delivery.recipient_key, delivery.recipient_id, [delivery], [])
    notification_id = _get_notification_id(subject)
    key, user_pk = _identify(recipient)
    notification = Notification.objects.select_related("cluster").filter(pk=notification_id).first()
    if notification is None:
        raise InvalidOption(f"The notification {subject} has been deleted or was never saved.")
    deliveries = list(rows.filter(notification=notification, recipient_key=key).order_by("pk"))
    drops = NotificationLog.objects.filter(notification=notification, kind=NotificationLog.Kind.DROP, delivery=None)
    dropped = list(drops.filter(recipient_key__in=(key, ALL_RECIPIENTS)).order_by("pk"))
    return _explain(notification, key, user_pk, deliveries, dropped)


def _get_notification_id(subject: Any) -> Any:
    if isinstance(subject, Notification):
        return subject.pk
    if not isinstance(subject, SendResult):
        raise InvalidOption(f"why() explains a Delivery, a Notification or a SendResult, not {subject!r:.80}.")
    if subject.spooled:
        raise InvalidOption("This send is spooled, so there is no notification yet. Run manage.py replay_spool.")
    if subject.notification_id is None:
        raise InvalidOption(f"Nothing was sent. {' '.join(subject.problems)}")
    return subject.notification_id


def _identify(recipient: Any) -> tuple[str, Any]:
    """Return the key of a recipient, and the primary key of a user."""
    if isinstance(recipient, Address):
        return recipient.key, None
    if recipient is None:
        raise InvalidRecipient("Pass the recipient too, a user or an Address: why(notification, user).")
    if not isinstance(recipient, get_user_model()) or recipient.pk is None:
        raise InvalidRecipient(f"The recipient must be one saved user or one Address, not {recipient!r:.80}.")
    return user_key(recipient.pk), recipient.pk


def _explain(
    notification: Notification, key: str, user_pk: Any, deliveries: list[Delivery], dropped: list[NotificationLog]
) -> Explanation:
    now = clock.now(router.db_for_write(Delivery))
    known = load_people(notification.cluster, [] if user_pk is None else [user_pk])
    person = known.get(user_pk) or Person(key)
    explainer = DeliveryExplainer(person, deliveries, now)
    channels = [explainer.explain(delivery) for delivery in deliveries]
    channels += [channel for row in dropped for channel in explain_drop(row, person)]
    return Explanation(notification.event, key, now, explainer.zone, tuple(channels), _get_name(person))


def _get_name(person: Person) -> str:
    """Return a user as the admin names them. An address is known only by its key."""
    if person.user is not None:
        return str(person.user)
    return "" if person.has_no_account else f"{person.key} (deleted)"
