"""The usage examples of the programme's own design document."""

from datetime import time, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from example_project.residency import people
from example_project.residency.digests import sections
from example_project.residency.models import Shift
from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service import (
    notify_acgme_warning,
    notify_schedule_conflict,
    notify_schedule_published,
    remind_of_shift,
    remind_of_shift_at_once,
    update_preferences,
)
from notifications.models import Cluster, Delivery, NotificationLog, UserSettings
from notifications.recipients import Address
from notifications.testing import simulated
from tests.residency.conftest import at

OFFICE = Address(url="https://gme.example/hooks/acgme")
VIOLATION = {
    "violation_type": "80-hour rule",
    "severity": "CRITICAL",
    "person_name": "PGY1-01",
    "violation_details": "Exceeded 80 hours in week 12 (92 hours)",
    "recommended_action": "Adjust schedule immediately to prevent violation",
}
SHIFT = {"rotation_name": "Inpatient Medicine", "location": "Ward 3A", "duration_weeks": 4}


def test_example_1_an_acgme_warning(program, coordinator):
    with simulated("2026-01-05 03:00", people.ZONE) as timeline:
        timeline.at("2026-01-05 03:00", lambda: notify_acgme_warning(program, coordinator, **VIOLATION))
        timeline.run()
    for channel in ("app", "email"):
        timeline.assert_arrived(ResidencyEvents.ACGME_WARNING, to=coordinator, channel=channel, at="2026-01-05 03:00")
    mail = timeline.arrived(channel="email")[0]
    assert mail.title == "ACGME violation: 80-hour rule (CRITICAL)"
    assert "PGY1-01: Exceeded 80 hours in week 12 (92 hours)." in mail.body
    assert "Recommended: Adjust schedule immediately to prevent violation." in mail.body


def test_example_1_with_a_webhook(program, coordinator):
    with simulated("2026-01-05 03:00") as timeline:
        timeline.at(timeline.now, lambda: notify_acgme_warning(program, coordinator, webhook=OFFICE, **VIOLATION))
        timeline.run()
    assert sorted(arrival.channel for arrival in timeline.arrivals) == ["app", "email", "webhook"]
    [hook] = timeline.arrived(to=OFFICE)
    assert hook.body.strip() == "CRITICAL: 80-hour rule, PGY1-01: Exceeded 80 hours in week 12 (92 hours)"


@pytest.mark.parametrize(("severity", "score"), [("CRITICAL", 100), ("critical", 100), ("HIGH", 95)])
def test_the_base_score_and_its_modifier(program, coordinator, severity, score):
    notify_acgme_warning(program, coordinator, **{**VIOLATION, "severity": severity})
    assert {delivery.score for delivery in Delivery.objects.all()} == {score}


def test_example_2_a_schedule_is_published(program):
    with simulated("2026-01-05 09:00", people.ZONE) as timeline:
        timeline.at(
            timeline.now,
            lambda: notify_schedule_published(
                program,
                people.residents(),
                period="January 2026",
                coverage_rate=98.5,
                total_assignments=450,
                violations_count=0,
                publisher_name="Dr. Smith",
            ),
        )
        timeline.run()
    assert {(str(one.recipient), one.channel) for one in timeline.arrivals} == {
        (name, channel) for name in people.RESIDENTS for channel in ("app", "email")
    }
    assert "450 assignments, 98.5 % covered, no violations." in timeline.arrived(channel="email")[0].body


def test_example_3_a_notification_in_the_future(program, resident):
    with simulated("2026-01-13 07:00", people.ZONE) as timeline:
        remind_of_shift(
            program, resident, **SHIFT, start_date=at("2026-01-15 07:00"), send_at=timeline.now + timedelta(hours=24)
        )
        timeline.run(until="2026-01-14 06:59:59")
        assert timeline.arrivals == []
        timeline.run()
    for channel in ("app", "email", "sms"):
        timeline.assert_arrived(ResidencyEvents.SHIFT_REMINDER_24H, to=resident, channel=channel, at="2026-01-14 07:00")
    [item] = timeline.arrived(channel="app")
    assert item.body.strip() == "Inpatient Medicine, Ward 3A, from 15 January 2026, 07:00, for 4 weeks."


@pytest.fixture
def chosen(program, resident):
    return update_preferences(
        resident,
        program,
        enabled_channels=["in_app", "email"],
        notification_types={ResidencyEvents.ACGME_WARNING: True, ResidencyEvents.SHIFT_REMINDER_1H: False},
        quiet_hours_start=22,
        quiet_hours_end=7,
    )


def test_example_4_preferences_are_stored(chosen, program, resident):
    assert UserSettings.objects.get(user=resident, cluster=program) == chosen
    assert (chosen.quiet_from, chosen.quiet_until) == (time(22), time(7))
    assert chosen.get_notification_preference(ResidencyEvents.SHIFT_REMINDER_24H, "email")
    assert not chosen.get_notification_preference(ResidencyEvents.SHIFT_REMINDER_24H, "sms")
    assert not chosen.get_notification_preference("shift_reminder_1h", "email")


def test_example_4_and_they_hold(chosen, program, resident):
    with simulated("2026-01-14 22:30", people.ZONE) as timeline:
        timeline.at(
            timeline.now,
            lambda: remind_of_shift(program, resident, **SHIFT, start_date=at("2026-01-15 22:30")),
        )
        timeline.at(
            timeline.now,
            lambda: remind_of_shift_at_once(program, resident, **SHIFT, start_date=at("2026-01-15 22:30")),
        )
        timeline.at(timeline.now, lambda: notify_acgme_warning(program, resident, **VIOLATION))
        timeline.run()
    told = {(one.event, one.channel): f"{one.at:%H:%M}" for one in timeline.arrivals}
    assert told == {
        ("acgme_warning", "app"): "22:30",
        ("acgme_warning", "email"): "22:30",
        ("shift_reminder_24h", "app"): "07:00",
        ("shift_reminder_24h", "email"): "07:00",
    }
    dropped = NotificationLog.objects.filter(reason="preference").values_list("event", "channel")
    assert set(dropped) == {
        ("shift_reminder_24h", "sms"),
        ("shift_reminder_1h", "app"),
        ("shift_reminder_1h", "email"),
        ("shift_reminder_1h", "sms"),
    }


def test_a_preference_that_was_chosen_before_is_kept(chosen, program, resident):
    again = update_preferences(
        resident,
        program,
        enabled_channels=["in_app"],
        notification_types={ResidencyEvents.SWAP_MATCHED: False},
        quiet_hours_start=23,
        quiet_hours_end=6,
    )
    assert again.pk == chosen.pk
    assert again.events == {"acgme_warning": True, "shift_reminder_1h": False, "swap_matched": False}


def test_the_weekly_summary_tells_hours_shifts_and_what_must_be_looked_at(program, resident):
    # The first began before the week that is told of, and ended in it.
    for day in (5, 7, 13):
        Shift.objects.create(
            program=program,
            resident=resident,
            rotation_name="Inpatient Medicine",
            starts_at=at(f"2026-01-{day:02} 07:00"),
            hours=13,
        )
    people.reads_weekly(["pgy1-01"], program)
    with simulated("2026-01-08 09:00", people.ZONE) as timeline:
        timeline.at(
            "2026-01-08 10:00",
            lambda: notify_schedule_conflict(program, resident, person_name="PGY1-01", first="Ward", second="Clinic"),
        )
        timeline.at(
            "2026-01-09 10:00",
            lambda: notify_schedule_published(
                program,
                resident,
                period="February 2026",
                coverage_rate=97.0,
                total_assignments=440,
                violations_count=2,
                publisher_name="Dr. Smith",
            ),
        )
        timeline.run()
    [summary] = timeline.arrived("weekly_digest")
    assert summary.at == at("2026-01-12 08:00")
    for line in (
        "Hours worked: 26",
        "Shifts completed: 2",
        "Shifts in the next seven days: 1",
        "To be looked at\n  A conflict in the schedule",
        "- The schedule for February 2026 is published",
    ):
        assert line in summary.body


def test_figures_come_in_a_week_without_notifications_too(program, resident):
    Shift.objects.create(
        program=program, resident=resident, rotation_name="Clinic", starts_at=at("2026-01-14 07:00"), hours=10
    )
    people.reads_weekly(["pgy1-01", "coordinator"], program)
    with simulated("2026-01-13 09:00", people.ZONE) as timeline:
        timeline.run(until="2026-01-27")
    [figures] = timeline.arrivals
    assert (figures.recipient, figures.at) == (resident, at("2026-01-19 08:00"))
    assert "Hours worked: 10" in figures.body


def test_another_cluster_gets_no_figures(program, resident):
    shift = {"program": program, "resident": resident, "rotation_name": "Clinic"}
    Shift.objects.create(**shift, starts_at=at("2026-01-06 07:00"))
    elsewhere = Cluster.objects.create(name="Elsewhere", slug="elsewhere")
    week = "weekly", at("2026-01-05"), at("2026-01-12")
    assert sections(elsewhere, [resident], *week) == {}
    assert list(sections(program, [resident], *week)) == [resident.pk]


def test_the_story_tells_when_everything_arrives(program_settings, mailoutbox):
    out = StringIO()
    call_command("residency_story", stdout=out)
    for sentence in (
        "Mon 05 09:30  pgy1-01 got it by app: The schedule for January 2026 is published",
        "Mon 05 10:30  pgy1-01 did not get it by email: event: the same as",
        "Mon 05 11:15  pgy1-01 got it by app, 3 in one: Changes of assignments (3)",
        "Mon 05 23:30  coordinator got it by email: ACGME violation",
        "Mon 05 18:00  pgy1-02 got it by sms: You have a shift in an hour.",
        "Tue 06 07:00  pgy1-02 got it by app",
        "Mon 12 08:00  pgy2-01 got it by email: Your week",
        "Hours worked: 24",
    ):
        assert sentence in out.getvalue()


def test_the_story_leaves_nothing_behind(program_settings, mailoutbox):
    for _ in range(2):
        call_command("residency_story", stdout=StringIO())
    assert not User.objects.exists()
    assert not Delivery.objects.exists()
    assert mailoutbox == []
