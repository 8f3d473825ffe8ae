"""Why something did or did not arrive: who is asked about, and what the tables have of it."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import router

from notifications.core import clock
from notifications.core.primary import read_from_primary
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.explain.delivery_explainer import Teller
from notifications.explain.dropped import refusals
from notifications.explain.explanation import Explanation
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import SendResult
from notifications.recipients import Address, user_key
from notifications.sending.enqueue import ALL_RECIPIENTS
from notifications.sending.gates import Person, load_people


@read_from_primary()
def why(subject: Delivery | Notification | SendResult, recipient: Any) -> Explanation:
    """The story of one delivery, or of all that one recipient got or did not get of a notification.

    :raises InvalidOption, InvalidRecipient: if it is none of these, or gone, or the recipient is missing or none.
    """
    rows = Delivery.objects.select_related("notification__cluster", "merged_into")
    if isinstance(subject, Delivery):
        delivery = rows.filter(pk=subject.pk).first()
        if delivery is None:
            raise InvalidOption(f"The delivery {subject} is gone, or was never saved.")
        return _told(delivery.notification, delivery.recipient_key, delivery.recipient_id, [delivery], [])
    notification_id = _notification_id(subject)
    key, user_pk = _who(recipient)
    notification = Notification.objects.select_related("cluster").filter(pk=notification_id).first()
    if notification is None:
        raise InvalidOption(f"The notification {subject} is gone, or was never saved.")
    mine = list(rows.filter(notification=notification, recipient_key=key).order_by("pk"))
    drops = NotificationLog.objects.filter(notification=notification, kind=NotificationLog.Kind.DROP, delivery=None)
    refused = list(drops.filter(recipient_key__in=(key, ALL_RECIPIENTS)).order_by("pk"))
    return _told(notification, key, user_pk, mine, refused)


def _notification_id(subject: Any) -> Any:
    if isinstance(subject, Notification):
        return subject.pk
    if not isinstance(subject, SendResult):
        raise InvalidOption(f"A Delivery, a Notification or a SendResult can be explained, not {subject!r:.80}.")
    if subject.spooled:
        raise InvalidOption("This send is spooled, so there is no notification yet. Run manage.py replay_spool.")
    if subject.notification_id is None:
        raise InvalidOption(f"Nothing was sent. {' '.join(subject.problems)}")
    return subject.notification_id


def _who(recipient: Any) -> tuple[str, Any]:
    if isinstance(recipient, Address):
        return recipient.key, None
    if recipient is None:
        raise InvalidRecipient("Name the recipient too, a user or an Address: why(notification, user).")
    if not isinstance(recipient, get_user_model()) or recipient.pk is None:
        raise InvalidRecipient(f"Of a notification one saved user or one Address is explained, not {recipient!r:.80}.")
    return user_key(recipient.pk), recipient.pk


def _told(
    notification: Notification, key: str, user_pk: Any, deliveries: list[Delivery], refused: list[NotificationLog]
) -> Explanation:
    now = clock.now(router.db_for_write(Delivery))
    known = load_people(notification.cluster, [] if user_pk is None else [user_pk])
    person = known.get(user_pk) or Person(key)
    teller = Teller(person, deliveries, now)
    channels = [teller.delivery(row) for row in deliveries] + [
        told for row in refused for told in refusals(row, person)
    ]
    return Explanation(notification.event, key, now, teller.zone, tuple(channels), _name(person))


def _name(person: Person) -> str:
    """As the admin has it. An address is known by its key alone."""
    if person.user is not None:
        return str(person.user)
    return "" if person.has_no_account else f"{person.key} (deleted)"
