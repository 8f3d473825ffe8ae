"""What an escalation sends and when, and what stops it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

from notifications import escalation
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, Escalation, NotificationPriority, Step
from notifications.exceptions import AppendOnlyViolation, InvalidOption, NotPermitted
from notifications.manager import NotificationManager
from notifications.models import (
    Delivery,
    EscalationEntry,
    EscalationPolicy,
    EscalationRun,
    Mute,
    Notification,
    Suppression,
    UserSettings,
    cluster_or_default,
)
from notifications.signals import escalation_exhausted
from tests.escalation.conftest import START
from tests.escalation.events import CHAIN, Alarms, make_event

pytestmark = pytest.mark.django_db

ALL_PAGES = [
    (15, "supervisor", "app", "email"),
    (30, "deputy", "email"),
    (30, "director", "email"),
    (60, "office@example.com", "email"),
    (70, "office@example.com", "email"),
    (80, "office@example.com", "email"),
]


def user(name):
    return User.objects.get(username=name)


def test_nobody_answers(story):
    heard = []
    escalation_exhausted.connect(lambda run, **_: heard.append(run.pk), weak=False, dispatch_uid="test")
    try:
        story.send()
        story.wait(hours=3)
    finally:
        escalation_exhausted.disconnect(dispatch_uid="test")
    assert story.list_pages() == ALL_PAGES
    assert story.run.state == "exhausted"
    assert story.kinds == ["started", *["sent"] * 5, "exhausted"]
    assert story.run.entries.last().at == START + timedelta(minutes=90)
    assert heard == [story.run.pk]


@pytest.mark.parametrize(("minutes", "pages"), [(14, 0), (15, 1), (45, 3), (75, 5)])
def test_an_acknowledgement_stops_it(story, minutes, pages):
    alarm = story.send()
    story.wait(minutes=minutes)
    assert NotificationManager.acknowledge(alarm, user("ward"))
    assert not NotificationManager.acknowledge(alarm, user("ward"))
    story.wait(hours=3)
    assert story.list_pages() == ALL_PAGES[:pages]
    assert story.run.state == "acknowledged"
    assert story.run.acknowledged_by == user("ward")
    assert story.kinds.count("acknowledged") == 1


def test_whoever_got_a_page_can_acknowledge_it(story):
    story.send()
    story.wait(minutes=31)
    page = Notification.objects.filter(escalates__isnull=False).last()
    NotificationManager.acknowledge(page, user("director"))
    story.wait(hours=3)
    assert len(story.list_pages()) == 3
    # What had not been sent to the deputy yet is cancelled.
    states = Delivery.objects.filter(notification__escalates__isnull=False).values_list("state", flat=True)
    assert set(states) == {"cancelled"}


def test_a_rollback_undoes_an_acknowledgement(story):
    alarm = story.send()
    with transaction.atomic():
        NotificationManager.acknowledge(alarm, user("ward"))
        transaction.set_rollback(True)
    assert story.run.state == "active"


def test_pages_pass_what_people_can_turn_off(story):
    supervisor, cluster = user("supervisor"), cluster_or_default(None)
    UserSettings.objects.create(
        user=supervisor,
        cluster=cluster,
        channels={"email": False, "app": False},
        quiet_from="00:00",
        quiet_until="23:59",
        digest="daily",
    )
    Mute.objects.create(user=supervisor, cluster=cluster, kind="event", value=Alarms.PUMP.value)
    story.send()
    story.wait(minutes=16)
    assert story.list_pages() == ALL_PAGES[:1]
    rows = Delivery.objects.filter(recipient=supervisor)
    assert {row.state for row in rows} == {"ready"}
    assert {row.notification.priority for row in rows} == {NotificationPriority.CRITICAL}


def test_a_worker_lets_pages_pass_too(story):
    supervisor, cluster = user("supervisor"), cluster_or_default(None)
    UserSettings.objects.create(user=supervisor, cluster=cluster, channels={"email": False})
    story.send()
    story.wait(minutes=16)
    Dispatcher().run_until_idle()
    assert Delivery.objects.get(recipient=supervisor, channel="email").state == "sent"


def test_pages_do_not_pass_membership_and_suppression(story):
    User.objects.filter(username="deputy").update(is_active=False)
    Suppression.objects.suppress([("email", "director@example.com")], Suppression.Cause.MANUAL, START)
    story.send()
    story.wait(minutes=31)
    assert story.list_pages() == [*ALL_PAGES[:1], (30, "office@example.com", "email")]
    assert story.kinds == ["started", "sent", "unreachable", "sent"]
    # The repetitions keep their distances.
    story.wait(minutes=30)
    assert [page[0] for page in story.list_pages()] == [15, 30, 40, 50]


def test_a_target_that_does_not_exist_is_recorded_and_skipped(story):
    user("supervisor").delete()
    Group.objects.all().delete()
    story.send()
    story.wait(minutes=20)
    assert story.list_pages() == [(15, "office@example.com", "email")]
    notes = story.run.entries.filter(kind="unreachable").values_list("note", flat=True)
    assert "There is no user 'supervisor'" in notes[0]
    assert "There is no group 'Directors'" in notes[1]


def fail(notification):
    raise ZeroDivisionError("on purpose")


def find_ward(notification):
    return User.objects.filter(username="ward")


def test_a_function_of_the_site(story):
    steps = (
        Step(timedelta(), f"path:{__name__}.fail"),
        Step(timedelta(minutes=5), ["path:nowhere.at_all", f"path:{__name__}.find_ward"]),
    )
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation(steps))
    story.send()
    story.wait(minutes=1)
    assert story.list_pages() == [(0, "ward", "app", "email")]
    assert "ZeroDivisionError: on purpose" in story.run.entries.get(kind="unreachable").note
    assert "nowhere" in story.run.entries.get(kind="sent").note


@pytest.mark.parametrize(
    ("priority", "minutes"),
    [("CRITICAL", [0, 15, 45, 105]), ("HIGH", [15, 30, 60, 120]), ("MEDIUM", [60, 75, 105, 165]), ("LOW", [])],
)
def test_the_default_chain_starts_by_priority(story, settings, priority, minutes):
    names = {"supervisor": "supervisor", "director": "director", "office": "deputy", "emergency": "ward"}
    targets = {name: f"user:{user}" for name, user in names.items()}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ESCALATION_TARGETS": targets}
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(priority=NotificationPriority[priority], escalation=True)
    story.send()
    escalation.run_due()
    story.wait(hours=2, minutes=50)
    assert [page[0] for page in story.list_pages()][:4] == minutes
    assert EscalationRun.objects.exists() == bool(minutes)


def test_send_at_counts(story):
    story.send(send_at=START + timedelta(hours=1))
    story.wait(minutes=76)
    assert [page[0] for page in story.list_pages()] == [75]


def test_a_late_worker_does_not_send_several_steps_at_once(story):
    story.send()
    story.now += timedelta(hours=2)
    story.wait(minutes=16)
    assert [page[0] for page in story.list_pages()] == [120, 135, 135]


def test_cancelled_and_expired_notifications_do_not_escalate(story):
    story.send(cancel_key="pump 3")
    NotificationManager.cancel(None, "pump 3")
    story.wait(hours=1)
    assert story.run.state == "cancelled"
    story.run.delete()
    story.send(expires_at=story.now + timedelta(minutes=10))
    story.wait(hours=1)
    assert story.run.state == "cancelled"
    assert "expired" in story.run.entries.last().note
    assert story.list_pages() == []


def test_duplicates_and_repeated_calls_start_nothing(story):
    story.send(idempotency_key="one")
    story.send(idempotency_key="one")
    assert EscalationRun.objects.count() == 1
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(dedup_window=3600, dedup_keys=("message",))
    story.send()
    story.send()
    assert EscalationRun.objects.count() == 2


def test_an_acknowledgement_that_ends(story):
    alarm = story.send()
    story.wait(minutes=20)
    escalation.acknowledge(alarm, user("ward"), timedelta(minutes=40))
    story.wait(minutes=39)
    assert story.run.state == "acknowledged"
    story.wait(minutes=2)
    assert story.list_pages()[1] == (60, "deputy", "email")
    assert story.kinds[-2:] == ["went_on", "sent"]
    # The same user can acknowledge again, although their acknowledgement is stored already.
    NotificationManager.acknowledge(alarm, user("ward"))
    story.wait(hours=3)
    assert len(story.list_pages()) == 3


def test_resolving(story):
    story.send()
    story.wait(minutes=16)
    assert escalation.resolve(story.run, user("ward"), "The pump runs.")
    assert not escalation.resolve(story.run, user("ward"))
    story.wait(hours=3)
    assert story.list_pages() == ALL_PAGES[:1]
    assert not escalation.acknowledge_run(story.run, user("ward"))
    assert story.run.entries.last().note == "The pump runs."


def test_snoozing(story):
    story.send()
    until = START + timedelta(hours=5)
    assert escalation.snooze(story.run, user("ward"), until)
    assert not escalation.snooze(story.run, user("ward"), until)
    story.wait(hours=5, minutes=16)
    assert [page[0] for page in story.list_pages()] == [300, 315, 315]
    with pytest.raises(InvalidOption, match="next 30 days"):
        escalation.snooze(story.run, user("ward"), START)


def test_handing_over(story):
    story.send()
    assert escalation.hand_over(story.run, user("ward"), user("deputy"))
    assert not escalation.hand_over(story.run, user("ward"), user("deputy"))
    assert story.list_pages() == [(0, "deputy", "app", "email")]
    story.wait(minutes=16)
    assert story.list_pages()[1:] == ALL_PAGES[:1]
    User.objects.filter(username="director").update(is_active=False)
    with pytest.raises(InvalidOption, match="cannot be reached"):
        escalation.hand_over(story.run, user("deputy"), user("director"))


def test_escalating_by_hand(story):
    alarm = story.send()
    assert escalation.escalate(story.run, user("ward"))
    assert [page[:2] for page in story.list_pages()] == [(0, "supervisor")]
    escalation.start_by_hand(alarm, user("ward"))
    story.wait(minutes=31)
    assert [page[0] for page in story.list_pages()] == [0, 0, 0, 30]


def test_escalating_what_has_no_escalation(story, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ESCALATION_TARGETS": {"supervisor": "user:supervisor"}}
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(priority=NotificationPriority.LOW, escalation=None)
    alarm = story.send()
    assert not EscalationRun.objects.exists()
    escalation.start_by_hand(alarm, user("ward"), "Nobody answers.")
    assert [page[:2] for page in story.list_pages()] == [(0, "supervisor")]


def test_strangers_may_not_act(story):
    story.send()
    for action in (escalation.resolve, escalation.escalate, escalation.acknowledge_run):
        with pytest.raises(NotPermitted, match="not one of its recipients"):
            action(story.run, user("deputy"))
    User.objects.filter(username="deputy").update(is_superuser=True)
    assert escalation.acknowledge_run(story.run, user("deputy"))


def test_a_policy_in_the_table_replaces_that_of_the_code(story):
    policy = EscalationPolicy.objects.create(event="PUMP_failed")
    policy.steps.create(after=timedelta(minutes=5), targets="user:deputy\nuser:director", channels="app")
    story.send()
    story.wait(minutes=20)
    assert story.list_pages() == [(5, "deputy", "app"), (5, "director", "app")]
    own = EscalationPolicy.objects.create(event=Alarms.PUMP.value, cluster=cluster_or_default(None), enabled=False)
    story.send()
    assert EscalationRun.objects.count() == 1
    own.delete()
    policy.delete()
    story.send()
    assert EscalationRun.objects.last().pages[0][3] == ["user:supervisor"]


def test_a_policy_in_the_table_for_an_event_without_one(story):
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=None)
    policy = EscalationPolicy.objects.create(event=Alarms.PUMP.value)
    policy.steps.create(after=timedelta(minutes=5), targets="user:deputy")
    story.send()
    assert story.run.pages == [[300.0, 1, 0, ["user:deputy"], []]]


def test_the_history_is_append_only(story):
    story.send()
    with pytest.raises(AppendOnlyViolation):
        EscalationEntry.objects.all().delete()


def test_an_error_of_one_escalation_does_not_stop_the_others(story, caplog):
    story.send()
    NOTIFICATION_EVENTS[Alarms.LIFT] = make_event(Alarms.LIFT.value)
    NotificationManager.send(Alarms.LIFT, [user("ward")], context={"message": "a", "title": None})
    Notification.objects.filter(event=Alarms.LIFT.value).update(context={"message": {"$": "unknown"}})
    broken = EscalationRun.objects.get(event=Alarms.LIFT.value)
    EscalationRun.objects.filter(pk=broken.pk).update(pages=[["x"]], due_at=START)
    story.now += timedelta(minutes=15)
    assert escalation.run_due().failed == [broken.pk]
    assert story.list_pages() == ALL_PAGES[:1]
    assert f"The escalation {broken.pk} could not go on" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": ()}, "at least one Step"),
        ({"steps": (Step(timedelta(1), ""),)}, "invalid target"),
        ({"steps": (Step(timedelta(1), "ufo:x"),)}, "invalid target"),
        ({"steps": (Step(timedelta(1), []),)}, "needs a target"),
        ({"steps": (Step(timedelta(-1), "a"),)}, "after of a Step"),
        ({"steps": (Step(timedelta(1), "a", repeat=-1),)}, "repeat of a Step"),
        ({"steps": (Step(timedelta(1), "a"), Step(timedelta(1), "b"))}, "Step 2"),
        ({"steps": (Step(timedelta(0), "a", repeat=2), Step(timedelta(minutes=20), "b"))}, "Step 2"),
        ({"repeat_every": timedelta(0)}, "repeat_every"),
        ({"acknowledged_for": timedelta(0)}, "acknowledged_for"),
    ],
)
def test_wrong_escalations(change, words):
    with pytest.raises(ValueError, match=words):
        Escalation(**{"steps": CHAIN.steps, **change})


@pytest.mark.parametrize("value", ["yes", 5, [Step(timedelta(1), "a")]])
def test_wrong_types(value):
    with pytest.raises(TypeError, match=r"escalation of event 'pump_failed' must be an Escalation"):
        make_event(escalation=value)


def test_an_event_that_escalates_waits_for_no_batch_or_digest():
    for option in ({"batch_window": 300}, {"digest": True}):
        with pytest.raises(ValueError, match="has an escalation"):
            make_event(priority=NotificationPriority.MEDIUM, **option)
    assert not make_event(priority=NotificationPriority.MEDIUM).may_wait_for_digest(3)


def test_the_log_does_not_count_as_reached(story):
    NOTIFICATION_EVENTS[Alarms.PUMP] = replace(make_event(), supported_channels=["app", "log"])
    User.objects.filter(username="supervisor").update(is_active=False)
    story.send()
    story.wait(minutes=20)
    assert story.kinds == ["started", "unreachable", "sent"]
