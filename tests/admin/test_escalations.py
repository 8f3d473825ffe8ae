"""The actions on escalations that ask first: send the next step, snooze, and hand over."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications.admin import escalation_actions
from notifications.core import clock
from notifications.escalation.start import start
from notifications.events import Escalation, NotificationPriority, Step
from notifications.models import Cluster, EscalationEntry, EscalationRun, Notification
from tests.admin.conftest import customers, send
from tests.admin.test_pages import list_url

URL = list_url(EscalationRun)
STEPS = [Step(timedelta(minutes=minutes), [f"user:ann{minutes // 10}"]) for minutes in (10, 20, 30)]


@pytest.fixture
def run(cluster: Cluster) -> EscalationRun:
    [owner, *_others] = customers(5)
    first = Notification.objects.get(pk=send([owner], dispatch=False))
    escalation = Escalation(STEPS)
    return start(first, escalation, escalation.list_pages(NotificationPriority.CRITICAL), clock.now(), "default")


def choose(client: Client, action: str, *runs: EscalationRun, **more: Any) -> Any:
    return client.post(URL, {"action": action, "_selected_action": [run.pk for run in runs], **more})


def confirm(client: Client, page: Any, **values: Any) -> str:
    """Submit the confirmation page, and return the page that follows."""
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.content.decode()))
    return client.post(URL, {**fields, **values}, follow=True).content.decode()


def kinds(run: EscalationRun) -> list[str]:
    return list(EscalationEntry.objects.filter(run=run.pk).order_by("pk").values_list("kind", flat=True))


def test_a_second_click_sends_no_second_step(boss: Client, run: EscalationRun) -> None:
    page = choose(boss, "escalate_now", run)
    assert "Send the next step of 1 escalation now?" in page.content.decode()
    assert "by_hand" not in kinds(run)
    assert "1 escalation was changed." in confirm(boss, page, reason="now")
    assert "0 escalations were changed. 1 was skipped." in confirm(boss, page)
    assert kinds(run).count("by_hand") == 1
    assert LogEntry.objects.filter(change_message="escalated by hand").count() == 1
    run.refresh_from_db()
    assert run.position == 1


def test_an_escalation_is_snoozed(boss: Client, run: EscalationRun) -> None:
    page = choose(boss, "snooze_runs", run)
    assert "1 escalation was changed." in confirm(boss, page, minutes="45")
    run.refresh_from_db()
    assert timedelta(minutes=44) < run.due_at - clock.now() <= timedelta(minutes=45)
    assert kinds(run)[-1] == "snoozed"
    assert "0 escalations were changed." in confirm(boss, page, minutes="90")


@pytest.mark.parametrize("minutes", ["", "0", "-5", "99999999", "x"])
def test_a_wrong_time_is_asked_for_again(minutes: str, boss: Client, run: EscalationRun) -> None:
    page = choose(boss, "snooze_runs", run)
    text = confirm(boss, page, minutes=minutes)
    assert "errorlist" in text
    assert f'name="confirmed" value="{run.pk}-' in text
    assert "snoozed" not in kinds(run)


def test_an_escalation_is_handed_over_once(boss: Client, run: EscalationRun) -> None:
    to = User.objects.get(username="ann4")
    page = choose(boss, "hand_over_runs", run)
    assert "Hand over 1 escalation?" in page.content.decode()
    assert "1 escalation was changed." in confirm(boss, page, to=str(to.pk), reason="I am ill")
    assert "0 escalations were changed." in confirm(boss, page, to=str(to.pk))
    entry = EscalationEntry.objects.filter(run=run.pk).latest("pk")
    assert (entry.kind, entry.targets, entry.note, entry.by.username) == (
        "handed_over",
        ["user:ann4"],
        "I am ill",
        "boss",
    )


def test_nobody_is_handed_an_escalation_who_does_not_exist(boss: Client, run: EscalationRun) -> None:
    page = choose(boss, "hand_over_runs", run)
    User.objects.filter(username="ann4").update(is_active=False)
    for to in ("", "0", str(User.objects.get(username="ann4").pk)):
        assert "errorlist" in confirm(boss, page, to=to)
    assert "handed_over" not in kinds(run)


def test_what_has_changed_since_the_question_is_skipped(boss: Client, run: EscalationRun) -> None:
    page = choose(boss, "escalate_now", run)
    choose(boss, "acknowledge", run)
    assert "1 was skipped." in confirm(boss, page)
    assert kinds(run)[-1] == "acknowledged"


@pytest.mark.parametrize("action", ["acknowledge", "resolve_runs"])
def test_too_many_escalations_are_refused(action: str, boss: Client, run: EscalationRun, monkeypatch: Any) -> None:
    monkeypatch.setattr("notifications.admin.escalation.MAX_RUNS", 0)
    choose(boss, action, run)
    assert kinds(run) == ["started"]


@pytest.mark.parametrize("action", ["acknowledge", "resolve_runs"])
def test_many_escalations_need_as_many_queries_as_one(action: str, boss: Client, run: EscalationRun) -> None:
    counts = []
    for number in (1, 6):
        escalation = Escalation(STEPS)
        for index in range(number):
            sent = Notification.objects.get(pk=send(customers(1, f"{number}{index}"), dispatch=False))
            start(sent, escalation, escalation.list_pages(NotificationPriority.CRITICAL), clock.now(), "default")
        with CaptureQueriesContext(connection) as queries:
            choose(boss, action, run, select_across="1")
        counts.append(len(queries))
        assert not EscalationRun.objects.filter(state="active").exists()
        assert LogEntry.objects.count() == EscalationRun.objects.count()
    assert counts[0] == counts[1]


def test_an_action_asks_for_at_most_a_fixed_number(boss: Client, run: EscalationRun, monkeypatch: Any) -> None:
    monkeypatch.setattr(escalation_actions, "MAX_RUNS", 1)
    other = Notification.objects.get(pk=send(customers(1, "bob"), dispatch=False))
    escalation = Escalation(STEPS)
    start(other, escalation, escalation.list_pages(NotificationPriority.CRITICAL), clock.now(), "default")
    page = choose(boss, "escalate_now", run, select_across="1").content.decode()
    assert "The action changes at most 1 escalations at once." in page


@pytest.mark.parametrize("action", ["escalate_now", "snooze_runs", "hand_over_runs"])
def test_the_actions_require_the_permission(action: str, staff_with: Any, run: EscalationRun) -> None:
    clerk = staff_with("view_escalationrun")
    assert action not in clerk.get(URL).content.decode()
    confirmed = f"{run.pk}-{EscalationEntry.objects.latest('pk').pk}"
    to = User.objects.get(username="ann4").pk
    choose(clerk, action, run, confirmed=confirmed, minutes="5", to=to)
    assert kinds(run) == ["started"]
