"""Mistakes of staff and of the site: nothing is lost, the next step is sent, and the checks name the fault."""

from datetime import date, datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, transaction
from django.test import Client
from django.urls import reverse

from notifications import escalation
from notifications.checks.escalation import check_reachable
from notifications.escalation.schedules import load_schedule
from notifications.events import NOTIFICATION_EVENTS, Escalation, Step
from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, EscalationPolicy, EscalationRun, Notification, Rota
from tests.escalation.conftest import START
from tests.escalation.events import Alarms, make_event
from tests.factories import ClusterFactory

pytestmark = pytest.mark.django_db
MINUTES = timedelta(minutes=1)


def user(name):
    return User.objects.get(username=name)


def list_warnings():
    return [message.msg for message in check_reachable(None, ["default"])]


def test_a_broken_policy_prevents_no_notification(story, caplog):
    policy = EscalationPolicy.objects.create(event=Alarms.PUMP.value)
    assert story.send().escalation_run.pages[0][3] == ["user:supervisor"]
    assert "The escalation policy pump_failed (*) is ignored. An Escalation needs at least one Step." in caplog.text
    assert list_warnings()[0] == "Escalation: policy pump_failed (*). An Escalation needs at least one Step."
    policy.steps.create(after=5 * MINUTES, targets="user:deputy")
    assert not [text for text in list_warnings() if "pump_failed" in text]


def test_a_rota_whose_zone_is_gone_still_works(story, event, settings):
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation([Step(MINUTES, "rota:surgery")]))
    rota = Rota.objects.create(
        cluster=Cluster.objects.default(), key="surgery", name="Surgery", time_zone="Europe/Atlantis"
    )
    layer = rota.layers.create(starts_on=date(2026, 1, 1), hand_over=time(8))
    layer.members.create(user=user("deputy"))
    text = "There is no time zone Europe/Atlantis, so UTC is used."
    assert [message for message in list_warnings() if text in message]
    story.send()
    story.wait(minutes=1)
    assert {page[1] for page in story.list_pages()} == {"deputy"}
    client = Client()
    client.force_login(user("ward"))
    assert "UTC" in client.get(reverse("notifications:rotas")).content.decode()
    assert "UTC" in client.get(reverse("notifications:rota", args=[rota.pk])).content.decode()


def test_a_turn_has_at_least_a_day(db):
    rota = Rota.objects.create(cluster=Cluster.objects.default(), key="surgery", name="Surgery", time_zone="UTC")
    with pytest.raises(IntegrityError), transaction.atomic():
        rota.layers.create(starts_on=date(2026, 1, 1), hand_over=time(8), turn_days=0)


def test_the_override_made_last_holds_though_the_clock_was_set_back(story):
    rota = Rota.objects.create(cluster=Cluster.objects.default(), key="surgery", name="Surgery", time_zone="UTC")
    for name in ("director", "deputy"):
        rota.overrides.create(user=user(name), starts_at=START, ends_at=START + timedelta(hours=1))
        story.now -= timedelta(hours=2)
    assert load_schedule(rota).find_holder(START) == user("deputy").pk


def test_an_unexpected_error_does_not_stop_the_chain(story, monkeypatch):
    story.send()
    send, calls = escalation.engine.send_page, []

    def fail_first(*args):
        calls.append(args)
        if len(calls) == 1:
            raise ZeroDivisionError("a mistake of the site")
        return send(*args)

    monkeypatch.setattr(escalation.engine, "send_page", fail_first)
    story.wait(minutes=15)
    assert story.kinds == ["started", "unreachable", "sent"]
    assert story.run.entries.all()[1].note == "ZeroDivisionError: a mistake of the site"
    assert {page[:2] for page in story.list_pages()} == {(15, "director"), (15, "deputy")}


def test_an_outage_of_the_database_skips_no_step(story, monkeypatch):
    story.send()
    error = OperationalError("the database is locked")
    error.__cause__ = __import__("sqlite3").OperationalError("locked")
    error.__cause__.sqlite_errorcode = 5
    with monkeypatch.context() as patch:
        patch.setattr(escalation.engine, "send_page", lambda *args: (_ for _ in ()).throw(error))
        story.now += 15 * MINUTES
        assert escalation.run_due().failed == [story.run.pk]
    assert story.kinds == ["started"]
    assert escalation.run_due().sent == 1


def find_bad_and_good(notification):
    return (one for one in [user("deputy"), 5, None])


def test_a_bad_recipient_does_not_cost_the_others_of_the_step(story):
    path = f"path:{__name__}.find_bad_and_good"
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation([Step(MINUTES, [path, "user:director"])]))
    story.send()
    story.wait(minutes=1)
    assert {page[1] for page in story.list_pages()} == {"deputy", "director"}
    note = story.run.entries.last().note
    assert "5 is not a recipient" in note
    assert "None is not a recipient" in note


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_what_was_cancelled_or_has_expired_is_not_escalated_by_hand(story, how):
    notification = story.send(expires_at=START + 5 * MINUTES if how == "expired" else None)
    if how == "cancelled":
        Notification.objects.update(cancelled_at=START)
    story.now += 6 * MINUTES
    ward, run = user("ward"), story.run
    with pytest.raises(InvalidOption, match=how):
        escalation.start_by_hand(notification, ward)
    assert not escalation.hand_over(run, ward, user("deputy"))
    assert run.state == "cancelled"
    assert not escalation.escalate(run, ward)
    assert not escalation.snooze(run, ward, story.now + MINUTES)
    assert story.kinds == ["started", "cancelled"]
    assert not Delivery.objects.filter(notification__escalates=notification).exists()


def test_an_exhausted_escalation_that_is_handed_over_runs_again(story):
    notification = story.send()
    story.wait(hours=2)
    run = story.run
    assert run.state == "exhausted"
    assert escalation.hand_over(run, user("ward"), user("deputy"))
    assert (run.state, run.ended_at) == ("active", None)
    assert escalation.acknowledge(notification, user("ward"), hold_for=20 * MINUTES)
    assert story.run.due_at == story.now + 20 * MINUTES


def test_each_acknowledgement_after_a_time_out_counts(story):
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(
        escalation=Escalation([Step(MINUTES, "user:deputy", repeat=5)], acknowledged_for=60 * MINUTES)
    )
    notification = story.send()
    for _ in range(3):
        assert escalation.acknowledge(notification, user("ward"))
        assert not escalation.acknowledge(notification, user("ward"))
        story.wait(minutes=61)
    assert escalation.acknowledge(notification, user("ward"), hold_for=MINUTES)
    assert story.kinds[-2:] == ["acknowledged", "snoozed"]


def test_wrong_values_are_named(story):
    notification, ward = story.send(), user("ward")
    run = story.run
    for value in (5, timedelta(), timedelta.max):
        with pytest.raises(InvalidOption, match="hold_for must be a timedelta"):
            escalation.acknowledge(notification, ward, hold_for=value)
    for value, text in ((None, "not None"), (timedelta(1), "must be a datetime"), (START + timedelta(31), "30 days")):
        with pytest.raises(InvalidOption, match=text):
            escalation.snooze(run, ward, value)
    with pytest.raises(InvalidOption, match="Pass an escalation"):
        escalation.resolve(notification, ward)
    with pytest.raises(InvalidOption, match="takes a saved Notification"):
        escalation.start_by_hand(run, ward)
    assert escalation.snooze(run, ward, datetime(2026, 11, 2, 9))  # noqa: DTZ001 - the point: it is naive
    assert story.run.due_at.hour == 9
    assert EscalationRun.objects.get().state == "active"


def list_everybody(notification):
    return [User.objects.order_by("pk"), user("ward")]


def test_explain_names_the_people_of_a_queryset(story):
    path = f"path:{__name__}.list_everybody"
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation([Step(MINUTES, path)]))
    context = {"message": "Pump 3 has stopped.", "title": None}
    [step] = NotificationManager.explain(Alarms.PUMP, user("ward"), context=context).chain
    assert step.people == ("ward, supervisor, director, deputy", "ward")


def test_the_check_names_the_clusters(story):
    Cluster.objects.default()
    other = ClusterFactory(name="Ward 7")
    found = list_warnings()
    assert "Escalation: step 1 of pump_failed (Ward 7). user:supervisor reaches nobody at present." in found
    assert not [text for text in found if "pump_failed" in text and "Default" in text]
    for name in ("Ward 8", "Ward 9", "Ward 10"):
        ClusterFactory(name=name)
    [text] = [text for text in list_warnings() if "user:supervisor reaches" in text]
    assert f"({other}, Ward 8, Ward 9, 1 more)" in text
