"""Generated requests of all kinds of callers: no answer is an error of the site, and each fits the description.

``KLAXON_API_EXAMPLES`` is the number of examples for each operation; ``KLAXON_API_PHASES`` names more phases.
"""

import os

import pytest
from django.contrib.auth.models import User
from django.core.management.color import no_style
from django.db import connection

from notifications.core import clock
from notifications.escalation import start_by_hand
from notifications.manager import NotificationManager
from notifications.models import (
    Cluster,
    Delivery,
    EscalationRun,
    InboxItem,
    Notification,
    Rota,
    StaffTemplate,
    Suppression,
    WebhookAttempt,
    WebhookEndpoint,
)
from notifications.webhooks import create_endpoint
from tests.api.conftest import Api
from tests.api.generated import call_all, format_failures

pytestmark = [pytest.mark.needs("ninja"), pytest.mark.django_db(transaction=True)]
# The id of the examples in the description.
EXAMPLE = 42
EXAMPLES = int(os.environ.get("KLAXON_API_EXAMPLES", "1"))
PHASES = tuple(os.environ.get("KLAXON_API_PHASES", "fuzzing,stateful").split(","))


@pytest.fixture
def endpoint(settings, monkeypatch, db):
    """An endpoint with the id of the examples, which schemathesis uses too, and a resolver that knows all hosts."""
    answer = [(2, 1, 6, "", ("93.184.215.14", 443))]
    monkeypatch.setattr("notifications.channels.address_guard._look_up", lambda host, port, timeout: answer)
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": {"log": {}, "webhook": {}}}
    created = create_endpoint(None, "https://hooks.example.com/first").endpoint
    WebhookEndpoint.objects.filter(pk=created.pk).update(uid="ep_5f3a9c0d1e2b4a6f8c7d9e0b")
    WebhookAttempt.objects.create(
        **{"pk": EXAMPLE, "endpoint": created, "message_id": "msg_1", "event": "message", "at": clock.now()},
        **{"duration": 0.1, "accepted": False},
    )


@pytest.fixture
def objects(endpoint, olga, put):
    """Objects with the id of the examples, so that requests reach what they are about."""
    [item] = put(olga)
    InboxItem.objects.filter(pk=item.pk).update(id=EXAMPLE)
    template = StaffTemplate.objects.create(
        pk=EXAMPLE, event="message", channel="app", cluster=Cluster.objects.default()
    )
    template.save_version({"subject": "Hi", "html": "", "text": "Hi", "short": ""}, 0, olga, "")
    Suppression.objects.suppress([("email", "gone@example.com")], Suppression.Cause.MANUAL, clock.now(), None, "")
    Suppression.objects.update(id=EXAMPLE, cluster=Cluster.objects.default())
    sent = Notification.objects.get(
        pk=NotificationManager.send("message", olga, context={"message": "Hi"}).notification_id
    )
    deliveries = Delivery.objects.filter(notification=sent.pk)
    keys = list(deliveries.values_list("pk", flat=True))
    sent.pk = EXAMPLE
    sent.save(force_insert=True)
    Delivery.objects.filter(pk__in=keys).update(notification=EXAMPLE, state="dead")
    User.objects.get_or_create(pk=7)
    run = start_by_hand(Notification.objects.get(pk=EXAMPLE), None)
    EscalationRun.objects.filter(pk=run.pk).update(id=EXAMPLE)
    Rota.objects.create(pk=EXAMPLE, cluster=Cluster.objects.default(), key="surgery", name="S", time_zone="UTC")
    models = [EscalationRun, Rota, InboxItem, StaffTemplate, Suppression, Notification, WebhookAttempt, User]
    with connection.cursor() as cursor:
        # On PostgreSQL, a sequence does not notice ids that it has not given itself.
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


def build_headers(kind, users, issue):
    ann, olga = users
    if kind == "anonymous":
        return {}
    if kind == "user":
        cookies = Api(ann).client.cookies
        token = "t" * 32
        return {"Cookie": f"sessionid={cookies['sessionid'].value}; csrftoken={token}", "X-CSRFToken": token}
    if kind == "key":
        return {"Authorization": f"Bearer {issue(olga)}"}
    if kind == "wrong scope":
        return {"Authorization": f"Bearer {issue(olga, 'inbox:read')}"}
    foreign = Cluster.objects.create(name="Foreign", slug="foreign")
    return {"Authorization": f"Bearer {issue(olga, clusters=[foreign])}"}


@pytest.mark.parametrize("kind", ["anonymous", "user", "key", "wrong scope", "foreign cluster"])
def test_no_generated_request_finds_a_failure(kind, ann, olga, put, issue, objects, live_server):
    put(olga, 3)
    put(ann, 3)
    headers = build_headers(kind, (ann, olga), issue)
    found = call_all(live_server.url, headers, EXAMPLES, PHASES)
    print(kind, dict(sorted(found.statuses.items())))  # noqa: T201 - the numbers of a long run
    assert found.failures == [], format_failures(found.failures)
    assert found.statuses.total() > 30
    if kind in ("user", "key"):
        assert found.statuses[200] > 10
    else:
        assert not found.statuses[201] + found.statuses[202]
