"""The service worker of web push in Chromium, under the policy ``default-src 'self'``."""

import json

import pytest

from tests.browser.gallery import ENVIRONMENT
from tests.factories import UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs("playwright", "uvicorn", "channels", "pywebpush"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.slow,
    pytest.mark.one_database,
]
MESSAGE = {
    "title": "Order 7",
    "body": "It is on its way.",
    "tag": "order-7",
    "navigate": "https://example.com/orders/7/",
}
READ = """() => navigator.serviceWorker.ready
  .then((registration) => registration.getNotifications())
  .then((shown) => shown.map(({ title, body, tag, data }) => ({ title, body, tag, ...data })))"""


@pytest.fixture
def site_environment():
    return ENVIRONMENT


def test_the_service_worker_shows_a_message(visit, reports, site):
    context = visit(UserFactory(username="ann"))
    context.grant_permissions(["notifications"])
    page = context.new_page()
    devtools, registrations = context.new_cdp_session(page), []
    devtools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(one["registrationId"] for one in event["registrations"]),
    )
    devtools.send("ServiceWorker.enable")
    page.goto("/notifications/push/")
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_timeout(200)
    data = json.dumps({"web_push": 8030, "notification": MESSAGE})
    message = {"origin": site.url, "registrationId": registrations[-1], "data": data}
    devtools.send("ServiceWorker.deliverPushMessage", message)
    page.wait_for_function(f"async () => (await ({READ})()).length > 0")
    assert page.evaluate(READ) == [MESSAGE]
    assert not reports.exists(), reports.read_text()
