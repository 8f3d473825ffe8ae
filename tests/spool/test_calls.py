"""The record of a call in the spool."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User

from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery
from notifications.recipients import Address, Members
from notifications.spool.calls import replay
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SHIPPED = {"order_number": "7", "eta": date(2026, 11, 20)}


def send(recipients, event=ShopEvents.ORDER_SHIPPED, context=SHIPPED, cluster=None, **options):
    return NotificationManager.send(event, recipients, cluster, context, **options)


@pytest.fixture
def user():
    return UserFactory()


class TestRecord:
    def one(self, spooled):
        [record] = spooled()
        return record

    def test_recipients_are_stored_by_key(self, spool, spooled, user):
        cluster, address = ClusterFactory(), Address(email="ann@example.com", phone="+491511")
        evaluated = User.objects.all()
        list(evaluated)
        with outage():
            send([user, address, Members(cluster), Members(None), evaluated])
        assert self.one(spooled)["recipients"] == {
            "users": [user.pk, user.pk],
            "addresses": [{"email": "ann@example.com", "phone": "+491511"}],
            "members": [cluster.pk, None],
            "groups": [],
            "group_names": [],
            "topics": [],
            "to": [],
        }

    @pytest.mark.parametrize(
        ("recipients", "kept"),
        [
            (lambda user: user, "users"),
            (lambda user: (one for one in [user]), "users"),
            (lambda user: {user}, "users"),
            (lambda user: Address(email="ann@example.com"), "addresses"),
            (lambda user: Members(None), "members"),
        ],
    )
    def test_recipients_from_any_iterable_are_kept(self, spool, spooled, user, recipients, kept):
        given = recipients(user)
        with outage():
            send(given)
        assert len(self.one(spooled)["recipients"][kept]) == 1

    def test_the_options_of_the_call_are_stored(self, spool, spooled, user):
        actor, cluster = UserFactory(), ClusterFactory()
        with travelling(NOON), outage():
            send(
                [user],
                cluster=cluster,
                channels=["email"],
                level="warning",
                send_at=datetime(2026, 4, 1, tzinfo=UTC),
                idempotency_key="order-7",
                actor=actor,
                topic="orders",
                campaign="spring",
                correlation_id="abc",
                cancel_key="cancel-7",
            )
        record = self.one(spooled)
        assert record.pop("recipients")
        assert record == {
            "partition": "default",
            "asked_at": {"$datetime": NOON.isoformat()},
            "event": "order_shipped",
            "cluster": cluster.pk,
            "attachments": [],
            "context": {"order_number": "7", "eta": {"$date": "2026-11-20"}},
            "channels": ["email"],
            "priority": 2,
            "score": 79,
            "may_repeat": True,
            "actor": actor.pk,
            "options": {
                "idempotency_key": "order-7",
                "topic": "orders",
                "campaign": "spring",
                "correlation_id": "abc",
                "cancel_key": "cancel-7",
                "send_at": {"$datetime": "2026-04-01T00:00:00+00:00"},
                "expires_at": None,
            },
        }

    def test_each_call_without_an_idempotency_key_gets_its_own(self, spool, spooled, user):
        with outage():
            send([user], actor=AnonymousUser())
            send([user])
        first, second = (record["options"]["idempotency_key"] for record in spooled())
        assert first.startswith("spool:")
        assert first != second

    def test_a_text_to_the_group_of_the_setting_is_spooled(self, spool, spooled, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MESSAGE_RECIPIENTS": "Operators"}
        with outage():
            assert NotificationManager.send_notification("The lift is out of order.").spooled
        record = self.one(spooled)
        assert (record["event"], record["cluster"], record["recipients"]["group_names"]) == (
            "message", None, ["Operators"],
        )  # fmt: skip
        Group.objects.create(name="Operators").user_set.add(operator := UserFactory())
        replay(record)
        assert {row.recipient for row in Delivery.objects.filter(channel="app")} == {operator}


def test_a_context_keeps_its_types(spool, spooled, user):
    with outage():
        NotificationManager.send(ShopEvents.NEWSLETTER, [user], None, {"total": Decimal("1.50"), "at": NOON})
    [record] = spooled()
    assert record["context"] == {"total": {"$decimal": "1.50"}, "at": {"$datetime": NOON.isoformat()}}
    assert not Cluster.objects.exists()
