"""Many requests at the same moment, in real threads with connections of their own."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from notifications.models import Bucket, IdempotentRequest, Notification
from tests.api.conftest import Api

pytestmark = [pytest.mark.needs("ninja"), pytest.mark.django_db(transaction=True)]
CALLS = 50


def run_in_threads(call, count=CALLS, threads=10):
    def run(number):
        try:
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(count)))


def test_fifty_sends_with_one_key_are_one_notification_and_one_answer(ann, olga, issue):
    program = Api(token=issue(olga))
    body = {"event": "message", "recipients": [{"user": str(ann.pk)}], "context": {"message": "Hi", "title": None}}
    answers = run_in_threads(lambda number: program.post("notifications", body, Idempotency_Key="the-same"))
    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = {answer.content for answer in answers if answer.status_code == 202}
    assert len(accepted) == 1
    assert Notification.objects.count() == IdempotentRequest.objects.count() == 1


def test_a_limit_is_exact_for_requests_at_the_same_moment(ann, issue, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "API": {"THROTTLE": "7/d", "ADDRESS_THROTTLE": ""}}
    program = Api(token=issue(ann))
    statuses = run_in_threads(lambda number: program.get("inbox/counts").status_code, count=20)
    assert sorted(statuses) == [200] * 7 + [429] * 13
    assert Bucket.objects.count() == 1
