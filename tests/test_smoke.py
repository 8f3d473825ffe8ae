import pytest
from django.contrib.auth.models import User
from django.core import mail

from notifications.dispatch.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Delivery, InboxItem, NotificationLog
from tests.shop.notification_events import ShopEvents


@pytest.mark.django_db
def test_smoke(django_assert_max_num_queries):
    users = User.objects.bulk_create(User(username=f"u{i}", email=f"u{i}@example.com") for i in range(100))
    for n in (1, 100):
        with django_assert_max_num_queries(99) as q:
            r = NotificationManager.send(ShopEvents.ORDER_SHIPPED, users[:n], None, {"order_number": "7", "eta": None})
        print(n, len(q.captured_queries), r.as_dict())
    for x in q.captured_queries:
        print(x["sql"][:150])
    t = Dispatcher().run_until_idle()
    print(t, len(mail.outbox), InboxItem.objects.count(), NotificationLog.objects.count())
    print(mail.outbox[0].message().as_string())
    print(Delivery.objects.values()[0])
