"""The three use cases of the laboratory's own design document, and the alerts that had placeholders only."""

import json
from datetime import UTC, datetime, time
from io import StringIO

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db.migrations.executor import MigrationExecutor

from example_project.quality import alerts, reports
from example_project.quality.notification_events import QualityEvents
from notifications.core import clock
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.exceptions import InvalidRecipient
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, Notification, Pause, UserSettings
from notifications.recipients import Address
from notifications.testing import simulated

NIGHT = "2026-11-20 03:00"
MONITORING = "https://monitoring.quality.example/hooks/klaxon"
TEAM_ROOM = "https://slack.quality.example/services/team-room"


def run_over(laboratory):
    creator = User.objects.get(username="test-creator")
    return reports.execution_completed(laboratory, creator, suite="checkout", passed=340, failed=0, seconds=12.5)


def unhealthy(laboratory):
    return reports.health_check_failed(laboratory, component="Report store", problem="No answer")


def threshold(laboratory):
    return reports.quality_threshold_exceeded(laboratory, metric="Flaky tests", value=4.2, threshold=3.0)


def alert(laboratory):
    return alerts.trigger(alerts.Alert(laboratory, "Late", "warning", "Three runs have not begun."))


TABLE = {
    run_over: {("test-creator", "email"), ("test-creator", "websocket"), ("qa-manager", "websocket")},
    unhealthy: {("administrator", "email"), ("administrator-who-wants-no-mail", "email"), (MONITORING, "webhook")},
    threshold: {("quality-engineer", "email"), ("quality-engineer", "app"), ("project-manager", "app")},
    alert: {("quality-engineer", "email"), (TEAM_ROOM, "slack"), (MONITORING, "webhook")},
}


def arrived(timeline):
    return {(str(one.recipient), one.channel) for one in timeline.arrivals}


@pytest.mark.parametrize("happens", TABLE, ids=lambda happens: happens.__name__)
def test_who_gets_it_on_which_channel(laboratory, happens):
    with simulated(NIGHT) as timeline:
        timeline.at(NIGHT, lambda: happens(laboratory))
        timeline.run()
    assert arrived(timeline) == TABLE[happens]
    assert len(timeline.arrivals) == len(TABLE[happens])


def test_the_creator_who_has_not_subscribed_gets_the_mail_alone(laboratory):
    creator = User.objects.get(username="test-creator")
    with simulated(NIGHT) as timeline:
        timeline.at(
            NIGHT,
            lambda: reports.execution_completed(laboratory, creator, suite="Search", passed=1, failed=0, seconds=1.0),
        )
        timeline.run()
    assert arrived(timeline) == {("test-creator", "email")}


@pytest.mark.parametrize(("happens", "hour"), [(unhealthy, 3), (threshold, 7), (run_over, 7)])
def test_only_what_is_urgent_comes_in_quiet_hours(laboratory, happens, hour):
    for user in User.objects.all():
        UserSettings.objects.update_or_create(
            user=user, cluster=laboratory, defaults={"quiet_from": time(22), "quiet_until": time(7)}
        )
    with simulated(NIGHT) as timeline:
        timeline.at(NIGHT, lambda: happens(laboratory))
        timeline.run()
    assert {arrival.at.hour for arrival in timeline.arrivals} == {hour}


def test_who_is_given_the_role_hears_of_the_next_failure(laboratory):
    newcomer = User.objects.create_user("newcomer", "newcomer@quality.example")
    laboratory.members.add(newcomer)
    with simulated(NIGHT) as timeline:
        timeline.at(NIGHT, lambda: unhealthy(laboratory))
        timeline.at("2026-11-20 04:00", lambda: Group.objects.get(name="system administrators").user_set.add(newcomer))
        timeline.at("2026-11-20 05:00", lambda: unhealthy(laboratory))
        timeline.run()
    timeline.assert_arrived(QualityEvents.HEALTH_CHECK_FAILED, to=newcomer, at="2026-11-20 05:00")


def test_another_laboratory_hears_of_nothing(laboratory):
    elsewhere = Cluster.objects.create(name="Elsewhere", slug="elsewhere")
    results = [happens(elsewhere) for happens in (run_over, threshold)]
    assert [result.queued for result in results] == [0, 0]
    assert set(results[1].reasons) == {"not_member"}


def test_without_simulation_the_stand_ins_and_the_mail_backend_get_it(laboratory, files, mailoutbox):
    run_over(laboratory)
    alert(laboratory)
    assert Dispatcher().run_until_idle() == {"sent": 6}
    lines = {
        name: [json.loads(line) for line in file.read_text().splitlines()]
        for name, file in files.items()
        if file.exists()
    }
    assert [line["text"] for line in lines["websocket"]] == ["checkout: 340 passed, 0 failed"] * 2
    assert [(line["to"], line["text"]) for line in lines["slack"]] == [
        (TEAM_ROOM, "*warning*: Late. Three runs have not begun.")
    ]
    assert [line["to"] for line in lines["webhook"]] == [MONITORING]
    assert {mail.subject for mail in mailoutbox} == {"checkout: all 340 tests passed", "[warning] Late"}


@pytest.mark.parametrize(("severity", "score"), [("critical", 94), ("warning", 79), ("info", 49), ("debug", 14)])
def test_the_severity_of_an_alert_decides_its_place_in_the_queue(laboratory, severity, score):
    alerts.trigger(alerts.Alert(laboratory, "Late", severity, "Three runs have not begun."))
    assert {delivery.score // 10 for delivery in Delivery.objects.all()} == {score // 10}


def test_of_an_alert_everyone_is_told_or_nobody(laboratory, monkeypatch):
    # The third of three sends is refused, when two have been queued.
    monkeypatch.setattr(alerts, "MONITORING", object())
    with pytest.raises(InvalidRecipient):
        alert(laboratory)
    assert not Notification.objects.exists()
    assert not Delivery.objects.exists()


def test_priorities_and_channels():
    told = {
        member: (NOTIFICATION_EVENTS[member].priority.name, NOTIFICATION_EVENTS[member].channels)
        for member in QualityEvents
    }
    assert told == {
        QualityEvents.EXECUTION_COMPLETED: ("MEDIUM", ("email", "websocket")),
        QualityEvents.HEALTH_CHECK_FAILED: ("CRITICAL", ("email", "webhook")),
        QualityEvents.QUALITY_THRESHOLD_EXCEEDED: ("MEDIUM", ("email", "app")),
        QualityEvents.ALERT_TRIGGERED: ("HIGH", ("email", "slack", "webhook")),
    }


def test_the_story_tells_who_got_what_and_why_others_did_not(db, files, capsys, mailoutbox):
    call_command("quality_story")
    told = capsys.readouterr().out
    assert "test-creator got it by email: Checkout: 2 tests failed" in told
    assert "qa-manager got it by websocket: Checkout: 338 passed, 2 failed" in told
    assert "qa-manager-who-left did not get it by websocket: MEMBERS_OF does not name this user" in told
    assert f"{MONITORING} got it by webhook: Report store: No answer for 30 seconds" in told
    assert "project-manager did not get it by email: user: channel email is off" in told
    assert f"{TEAM_ROOM} got it by slack" in told


def test_the_story_leaves_nothing_behind_and_can_be_told_again(db, files, mailoutbox):
    for _ in range(2):
        call_command("quality_story", stdout=StringIO())
    assert not User.objects.exists()
    assert not InboxItem.objects.exists()
    assert (mailoutbox, [file for file in files.values() if file.exists()]) == ([], [])


def somebody():
    User.objects.create_user("coordinator")


def elsewhere():
    Cluster.objects.create(name="Test laboratory", slug="test-laboratory")


def something_waiting():
    NotificationManager.send(
        BuiltInEvents.MESSAGE,
        [Address(email="a@example.com")],
        context={"message": "Later"},
        cluster=Cluster.objects.default(),
        send_at=datetime(2030, 1, 1, tzinfo=UTC),
    )


def mails_paused():
    Pause.objects.pause("email", "", clock.now())


@pytest.mark.parametrize("story", ["quality_story", "residency_story"])
@pytest.mark.parametrize(
    ("there", "named"),
    [
        (somebody, "users"),
        (elsewhere, "clusters"),
        (something_waiting, "clusters, notifications"),
        (mails_paused, "pauses"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_story_wants_a_database_of_its_own(db, files, mailoutbox, story, there, named):
    there()
    before = list(Delivery.objects.values())
    with pytest.raises(CommandError, match=f"this one contains {named}. Set DATABASE_URL"):
        call_command(story, stdout=StringIO())
    assert (list(Delivery.objects.values()), mailoutbox) == (before, [])


def test_the_story_asks_for_the_tables_that_it_needs(db, monkeypatch):
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda executor, targets: [("klaxon", False)])
    with pytest.raises(CommandError, match="manage.py migrate"):
        call_command("quality_story", stdout=StringIO())
