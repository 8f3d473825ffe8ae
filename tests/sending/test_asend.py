"""``asend()``: ``send()`` for async code."""

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.http import JsonResponse
from django.test import AsyncClient
from django.urls import path

from notifications.exceptions import CalledFromAsyncCode, InvalidContext, UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from notifications.recipients import Members
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
ORDER = {"order_number": "7"}


async def ship(request):
    result = await NotificationManager.asend(ShopEvents.ORDER_SHIPPED, Members(None), None, ORDER)
    return JsonResponse({**result.as_dict(), "outcomes": len(await sync_to_async(list)(result.outcomes()))})


urlpatterns = [path("ship/", ship)]


def test_asend_queues_the_same_as_send():
    user = UserFactory()
    result = async_to_sync(NotificationManager.asend)(
        event_name=ShopEvents.ORDER_SHIPPED, recipients=[user], context=ORDER, channels=["app"], cancel_key="x"
    )
    assert (result.queued, Notification.objects.get().cancel_key) == (1, "x")


def test_asend_raises_the_same_errors_as_send():
    with pytest.raises(InvalidContext):
        async_to_sync(NotificationManager.asend)(ShopEvents.ORDER_SHIPPED, [UserFactory()], None, {})


@pytest.mark.urls("tests.sending.test_asend")
def test_asend_works_in_an_async_view():
    UserFactory.create_batch(2)
    response = async_to_sync(AsyncClient().get)("/ship/")
    assert response.json() == {"queued": 4, "held": 0, "dropped": 0, "reasons": {}, "outcomes": 4}


def test_asend_joins_a_transaction_of_the_thread_that_waits_for_it():
    with transaction.atomic():
        async_to_sync(NotificationManager.asend)(ShopEvents.ORDER_SHIPPED, [UserFactory()], None, ORDER)
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("send", r"await NotificationManager\.asend\("),
        ("send_notification", r"await sync_to_async\(NotificationManager\.send_notification\)"),
        ("cancel", r"await sync_to_async\(NotificationManager\.cancel\)"),
        ("explain", r"await sync_to_async\(NotificationManager\.explain\)"),
        ("why", r"await sync_to_async\(NotificationManager\.why\)"),
        ("acknowledge", r"await sync_to_async\(NotificationManager\.acknowledge\)"),
        ("resend", r"await sync_to_async\(NotificationManager\.resend\)"),
    ],
)
def test_the_error_of_a_synchronous_call_in_async_code_names_the_call_to_write(name, instead):
    async def view():
        return getattr(NotificationManager, name)(ShopEvents.ORDER_SHIPPED, [], None, ORDER)

    with pytest.raises(
        CalledFromAsyncCode, match=rf"NotificationManager\.{name}\(\) was called in async code.*{instead}"
    ):
        async_to_sync(view)()


def test_a_synchronous_call_is_allowed_if_django_allows_async_unsafe(monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    async def view():
        return NotificationManager.send("no_such_event", [])

    with pytest.raises(UnknownEvent):
        async_to_sync(view)()
