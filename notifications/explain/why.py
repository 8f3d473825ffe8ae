"""``why()``: what happened to a delivery, or to a notification for one recipient, and what it waits for."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.utils.translation import gettext as _

from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.core.databases import read_from_primary
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.explain.chain import follow_chain
from notifications.explain.deliveries import DeliveryExplainer, find_rule
from notifications.explain.explanation import ChannelExplanation, Explanation, Happened
from notifications.explain.remedies import Subject
from notifications.explain.steps import build_step, describe_step, join_sentences
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Drop, Reason, SendResult
from notifications.recipients import Address
from notifications.sending.enqueue import ALL_RECIPIENTS
from notifications.sending.gates import Person, load_people

MAX_ROWS = 1000
"""How many of the latest log rows are read."""


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
        return _explain(delivery.notification, delivery.recipient_key, delivery.recipient_id, [delivery])
    notification_id = _get_notification_id(subject)
    key, user_pk = _identify(recipient)
    notification = Notification.objects.select_related("cluster").filter(pk=notification_id).first()
    if notification is None:
        raise InvalidOption(f"The notification {subject} has been deleted or was never saved.")
    deliveries = rows.filter(notification=notification, recipient_key=key).order_by("pk")
    return _explain(notification, key, user_pk, list(deliveries), with_drops=True)


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
    notification: Notification, key: str, user_pk: Any, deliveries: Sequence[Delivery], with_drops: bool = False
) -> Explanation:
    now = clock.now(router.db_for_write(Delivery))
    person = load_people(notification.cluster, [] if user_pk is None else [user_pk]).get(user_pk) or Person(key)
    rows = NotificationLog.objects.filter(notification=notification, recipient_key__in=(key, ALL_RECIPIENTS))
    log = sorted(rows.order_by("-pk")[:MAX_ROWS], key=lambda row: row.pk)
    explainer = DeliveryExplainer(person, deliveries, log, now)
    channels = [explainer.explain(delivery) for delivery in deliveries]
    drops = [row for row in log if with_drops and row.kind == NotificationLog.Kind.DROP and row.delivery_id is None]
    channels += [_explain_drop(row, channel, person) for row in drops for channel in _get_channels(row)]
    # A user is named as the admin does. An address is known only by its key.
    name = str(person.user or "" if person.user or person.has_no_account else f"{key} (deleted)")
    chain = follow_chain(notification, router.db_for_write(Notification))
    return Explanation(
        notification.event, key, now, explainer.zone, tuple(channels), name, tuple(chain.steps), chain.state
    )


def _explain_drop(row: NotificationLog, channel: str, person: Person) -> ChannelExplanation:
    """Explain why ``send()`` dropped a recipient; there is no delivery."""
    text = row.error_message or str(row.get_reason_display())
    if row.recipient_key == ALL_RECIPIENTS and row.reason == Reason.SWITCHED_OFF:
        text = _("Klaxon was switched off, so the whole send was rejected and its recipients were not recorded")
    elif row.recipient_key == ALL_RECIPIENTS:
        text = _("the queue was full, so the whole send was rejected and its recipients were not recorded")
    answer = Drop(Reason(row.reason), find_rule(text, person, row.event, channel))
    step = build_step("send", answer, Subject(row.event, channel, row.recipient_key))
    return ChannelExplanation(
        channel,
        describe_step(_("It was not sent"), step),
        (step,),
        answer,
        state=str(DeliveryState.DROPPED),
        reason=row.reason,
        story=(Happened(row.sent_at, join_sentences(_("send() dropped it"), step.rule)),),
    )


def _get_channels(row: NotificationLog) -> Iterator[str]:
    """Yield the channels of a drop; only a row about all recipients has several.

    The column may have cut off the end of the last name.
    """
    event = NOTIFICATION_EVENTS.named(row.event)
    for name in filter(None, map(str.strip, row.channel.split(","))):
        longer = (channel for channel in (event.channels if event else ()) if channel.startswith(name))
        yield name if event and name in event.channels else next(longer, name)
