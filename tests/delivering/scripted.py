"""A channel whose answers a test sets, and helpers for tests that use it."""

from datetime import timedelta

from django.utils.timezone import now

from notifications.channels import BaseChannel
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents


class ScriptedChannel(BaseChannel):
    """Gives the answers in ``answers``, or accepts; ``given`` contains the messages that it got."""

    answers: list = []
    given: list = []

    def prepare(self, delivery, rendered):
        return {"to": delivery.recipient_key, "text": rendered.text, "key": delivery.idempotency_key}

    def send(self, messages):
        for message in messages:
            type(self).given.append(message)
            answer = type(self).answers.pop(0) if type(self).answers else Verdict.ACCEPTED
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, Verdict):
                answer = {"verdict": answer}
            yield Receipt(message, provider="script", **answer)


def refuse_orders(count=1, **options):
    users = UserFactory.create_batch(count)
    return NotificationManager.send(ShopEvents.ORDER_REFUSED, users, None, {}, **options)


def dispatch(**options):
    return dict(Dispatcher(**options).run_until_idle())


def get_delivery():
    return Delivery.objects.get()


def begin_sending(count=2):
    """Queue deliveries and return them marked as *sending*."""
    refuse_orders(count)
    rows = Delivery.objects.claim("worker", now() + timedelta(minutes=1), 10)
    rows = Delivery.objects.with_notifications(rows)
    Delivery.objects.mark_sending(rows, now() + timedelta(minutes=1))
    return rows
