"""The usage examples of the programme's own design document, as they are written there but for their imports."""

from datetime import datetime, time, timedelta
from functools import partial
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import SyncToAsync, async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.utils import timezone

from example_project.residency import async_service, people, service
from example_project.residency.async_service import notify_acgme_warning, notify_schedule_published
from example_project.residency.digests import sections
from example_project.residency.models import Shift
from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.notification_events import ResidencyEvents as NotificationType
from example_project.residency.service import NotificationService, update_preferences
from notifications.delivering.dispatcher import Dispatcher
from notifications.models import Cluster, Delivery, Notification, NotificationLog, UserSettings
from notifications.recipients import Address
from notifications.testing import simulated, travelling
from tests.residency.conftest import at

pytestmark = pytest.mark.usefixtures("without_escalation")

OFFICE = Address(url="https://gme.example/hooks/acgme")
VIOLATION = {
    "violation_type": "80-hour rule",
    "severity": "CRITICAL",
    "person_name": "PGY1-01",
    "violation_details": "Exceeded 80 hours in week 12 (92 hours)",
    "recommended_action": "Adjust schedule immediately to prevent violation",
}
SHIFT = {"rotation_name": "Inpatient Medicine", "location": "Ward 3A", "duration_weeks": 4}


def call(example):
    """Run an example as async code does."""
    return async_to_sync(example)()


def test_example_1_send_acgme_warning(coordinator):
    db, coordinator_id = "default", coordinator.pk

    async def example():
        await notify_acgme_warning(
            db=db,
            recipient_id=coordinator_id,
            violation_type="80-hour rule",
            severity="CRITICAL",
            person_name="PGY1-01",
            violation_details="Exceeded 80 hours in week 12 (92 hours)",
            recommended_action="Adjust schedule immediately to prevent violation",
        )

    with simulated("2026-01-05 03:00", people.ZONE) as timeline:
        timeline.at("2026-01-05 03:00", lambda: call(example))
        timeline.run()
    for channel in ("app", "email"):
        timeline.assert_arrived(ResidencyEvents.ACGME_WARNING, to=coordinator, channel=channel, at="2026-01-05 03:00")
    mail = timeline.arrived(channel="email")[0]
    assert mail.title == "ACGME violation: 80-hour rule (CRITICAL)"
    assert "PGY1-01: Exceeded 80 hours in week 12 (92 hours)." in mail.body
    assert "Recommended: Adjust schedule immediately to prevent violation." in mail.body


def test_example_1_with_a_webhook(coordinator):
    warn = partial(service.notify_acgme_warning, recipient_id=coordinator.pk, webhook=OFFICE, **VIOLATION)
    with simulated("2026-01-05 03:00") as timeline:
        timeline.at(timeline.now, warn)
        timeline.run()
    assert sorted(arrival.channel for arrival in timeline.arrivals) == ["app", "email", "webhook"]
    [hook] = timeline.arrived(to=OFFICE)
    assert hook.body.strip() == "CRITICAL: 80-hour rule, PGY1-01: Exceeded 80 hours in week 12 (92 hours)"


@pytest.mark.parametrize(("severity", "score"), [("CRITICAL", 100), ("critical", 100), ("HIGH", 95)])
def test_the_base_score_and_its_modifier(program, coordinator, severity, score):
    service.notify_acgme_warning(recipient_id=coordinator.pk, **{**VIOLATION, "severity": severity})
    assert {delivery.score for delivery in Delivery.objects.all()} == {score}


def test_example_2_send_schedule_published_notification(program):
    db, all_resident_ids = "default", [user.pk for user in people.residents()]

    async def example():
        await notify_schedule_published(
            db=db,
            recipient_ids=all_resident_ids,
            period="January 2026",
            coverage_rate=98.5,
            total_assignments=450,
            violations_count=0,
            publisher_name="Dr. Smith",
        )

    with simulated("2026-01-05 09:00", people.ZONE) as timeline:
        timeline.at(timeline.now, lambda: call(example))
        timeline.run()
    assert {(str(one.recipient), one.channel) for one in timeline.arrivals} == {
        (name, channel) for name in people.RESIDENTS for channel in ("app", "email")
    }
    assert "450 assignments, 98.5 % covered, no violations." in timeline.arrived(channel="email")[0].body


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("zone", ["UTC", "America/Chicago"])
def test_example_3_schedule_future_notification(program, resident, zone):
    db, resident_id = "default", resident.pk
    UserSettings.objects.filter(user=resident).update(quiet_from=None, quiet_until=None)
    service = NotificationService(db)

    with timezone.override(zone):
        service.schedule_notification(
            recipient_id=resident_id,
            notification_type=NotificationType.SHIFT_REMINDER_24H,
            data={
                "rotation_name": "Inpatient Medicine",
                "location": "Ward 3A",
                "start_date": "2026-01-15 07:00",
                "duration_weeks": 4,
            },
            send_at=datetime.utcnow() + timedelta(hours=24),  # noqa: DTZ003 - as the document has it
        )

    told = Notification.objects.get()
    assert abs(told.send_at - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
    assert told.values["start_date"] == datetime(2026, 1, 15, 7, tzinfo=ZoneInfo(zone))
    with travelling(told.send_at - timedelta(seconds=1)) as clock:
        assert Dispatcher().run_until_idle() == {}
        clock.forward(seconds=1)
        assert Dispatcher().run_until_idle() == {"sent": 3}


def test_a_reminder_with_a_time_of_its_own_goes_out_at_that_time(resident):
    with simulated("2026-01-13 07:00", people.ZONE) as timeline:
        service.remind_of_shift(
            recipient_id=resident.pk, **SHIFT, start_date="2026-01-15 07:00-06:00", send_at="2026-01-14 07:00-06:00"
        )
        timeline.run()
    for channel in ("app", "email", "sms"):
        timeline.assert_arrived(ResidencyEvents.SHIFT_REMINDER_24H, to=resident, channel=channel, at="2026-01-14 07:00")
    [item] = timeline.arrived(channel="app")
    assert item.body.strip() == "Inpatient Medicine, Ward 3A, from 15 January 2026, 07:00, for 4 weeks."


@pytest.fixture
def chosen(program, resident):
    db, user_id = "default", resident.pk

    async def example():
        service = NotificationService(db)

        await service.update_user_preferences(
            user_id=user_id,
            enabled_channels=["in_app", "email"],  # Disable SMS
            notification_types={
                NotificationType.ACGME_WARNING.value: True,
                NotificationType.SHIFT_REMINDER_1H.value: False,  # Disable 1h reminders
            },
            quiet_hours_start=22,  # 10 PM
            quiet_hours_end=7,  # 7 AM
        )

    call(example)
    return UserSettings.objects.get(user=resident, cluster=program)


def test_example_4_preferences_are_stored(chosen):
    assert (chosen.quiet_from, chosen.quiet_until) == (time(22), time(7))
    assert chosen.get_notification_preference(ResidencyEvents.SHIFT_REMINDER_24H, "email")
    assert not chosen.get_notification_preference(ResidencyEvents.SHIFT_REMINDER_24H, "sms")
    assert not chosen.get_notification_preference("shift_reminder_1h", "email")


def test_example_4_and_they_hold(chosen, resident):
    start = at("2026-01-15 22:30")
    with simulated("2026-01-14 22:30", people.ZONE) as timeline:
        for send, words in (
            (service.remind_of_shift, {**SHIFT, "start_date": start}),
            (service.remind_of_shift_at_once, {**SHIFT, "start_date": start}),
            (service.notify_acgme_warning, VIOLATION),
        ):
            timeline.at(timeline.now, partial(send, recipient_id=resident.pk, **words))
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


def test_what_is_not_given_stays_as_it_was_chosen(chosen, resident):
    again = update_preferences(user_id=resident.pk, notification_types={ResidencyEvents.SWAP_MATCHED: False})
    assert again.pk == chosen.pk
    assert again.events == {"acgme_warning": True, "shift_reminder_1h": False, "swap_matched": False}
    assert (again.channels, again.quiet_from, again.quiet_until) == (chosen.channels, time(22), time(7))


@pytest.mark.parametrize("word", ["in_app", "app", "APP"])
def test_the_inbox_goes_by_both_of_its_names(resident, word):
    settings = update_preferences(user_id=resident.pk, enabled_channels=[word])
    assert settings.channels == {"app": True, "email": False, "sms": False}


def test_a_channel_that_nobody_knows_is_refused(resident):
    with pytest.raises(ValueError, match="enabled_channels names pager; it takes app, email, sms, in_app"):
        update_preferences(user_id=resident.pk, enabled_channels=["email", "pager"])


def test_quiet_hours_can_be_cleared(chosen, resident):
    cleared = update_preferences(user_id=resident.pk, quiet_hours_start=None, quiet_hours_end=None)
    assert (cleared.quiet_from, cleared.quiet_until, cleared.quiet_hours) == (None, None, None)
    with pytest.raises(ValidationError, match="both a beginning and an end"):
        update_preferences(user_id=resident.pk, quiet_hours_start=22)


def test_ids_that_lead_to_no_user_or_to_no_one_programme_are_refused(program, resident):
    with pytest.raises(ValueError, match="No user has the id 0"):
        service.notify_swap_matched(recipient_id=0, resident_name="PGY1-02", shift="Clinic")
    other = Cluster.objects.create(name="Surgery Residency", slug="surgery")
    other.members.add(resident)
    swap = {"recipient_id": resident.pk, "resident_name": "PGY1-02", "shift": "Clinic"}
    with pytest.raises(ValueError, match="several programmes; name the right one"):
        service.notify_swap_matched(**swap)
    service.notify_swap_matched(**swap, program=other)
    assert Notification.objects.get().cluster == other
    other.members.clear()
    program.members.clear()
    with pytest.raises(ValueError, match="belong to no programme"):
        service.notify_swap_matched(**swap)


def test_async_code_has_every_function_of_the_service():
    functions = {name for name in service.__all__ if name != "NotificationService"}
    assert {name for name, value in vars(async_service).items() if isinstance(value, SyncToAsync)} == functions


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
    people.choose_weekly_digest(["pgy1-01"], program)
    with simulated("2026-01-08 09:00", people.ZONE) as timeline:
        timeline.at(
            "2026-01-08 10:00",
            lambda: service.notify_schedule_conflict(
                recipient_id=resident.pk, person_name="PGY1-01", first="Ward", second="Clinic"
            ),
        )
        timeline.at(
            "2026-01-09 10:00",
            lambda: service.notify_schedule_published(
                recipient_ids=[resident.pk],
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
    people.choose_weekly_digest(["pgy1-01", "coordinator"], program)
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
