"""Generated requests of all kinds of callers: no answer is an error of the site, and each fits the description.

``KLAXON_API_EXAMPLES`` is the number of examples for each operation; ``KLAXON_API_PHASES`` names more phases.
"""

import os

import pytest

from notifications.models import Cluster, WebhookEndpoint
from notifications.webhooks import create_endpoint
from tests.api.conftest import Api
from tests.api.generated import call_all, format_failures

pytestmark = [pytest.mark.needs("ninja"), pytest.mark.django_db(transaction=True)]
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
def test_no_generated_request_finds_a_failure(kind, ann, olga, put, issue, endpoint, live_server):
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
