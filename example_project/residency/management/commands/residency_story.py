"""Simulate a Monday in January of the residency programme, and the digest of the week after."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand

from example_project.demo.rehearsal import rehearsal, sentences, tallies
from example_project.residency import people, service
from example_project.residency.models import Shift
from example_project.residency.notification_events import ResidencyEvents
from notifications.events import BuiltInEvents
from notifications.models import Cluster
from notifications.testing import Timeline

MONDAY = datetime(2026, 1, 5, tzinfo=ZoneInfo(people.ZONE))
CHAPTERS = {
    ResidencyEvents.SCHEDULE_PUBLISHED: "The schedule is published twice within an hour: it is sent once a day.",
    ResidencyEvents.ASSIGNMENT_CHANGED: "Three assignments of one resident change within 15 minutes, and one of them "
    "is entered twice: one message.",
    ResidencyEvents.ABSENCE_REPORTED: "Two residents report an absence within 30 minutes: one message.",
    ResidencyEvents.ACGME_WARNING: "A rule on duty hours is violated. A repeat is sent only after four hours. "
    "Violations are sent at night too.",
    ResidencyEvents.ACGME_LIMIT_NEAR: "Eleven residents approach a limit at once. A user gets ten such warnings an "
    "hour; the next one waits for its turn.",
    ResidencyEvents.SCHEDULE_CONFLICT: "An import finds 101 conflicts. A user gets 100 notifications an hour in the "
    "app and 50 by email.",
    ResidencyEvents.SHIFT_REMINDER_24H: "A shift begins tomorrow at 22:30. The reminder is due in quiet hours, so it "
    "waits for the morning.",
    ResidencyEvents.SHIFT_REMINDER_1H: "A shift begins in an hour: the reminder does not wait for a batch.",
    BuiltInEvents.WEEKLY_DIGEST: "One resident has chosen a weekly digest, which includes the figures of the week.",
}
CROWDED = (ResidencyEvents.ACGME_LIMIT_NEAR, ResidencyEvents.SCHEDULE_CONFLICT)
"""Events that the command summarises by numbers, because there are many notifications."""


class Command(BaseCommand):
    help = (
        "Show what the users of a residency programme get and when: repeats, batches, limits, quiet hours, digests. "
        "The command runs the real send() and worker with a simulated clock. Nothing is kept or leaves the process. "
        "It needs an empty database."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with rehearsal("2026-01-05 09:00", people.ZONE) as timeline:
            program = people.create_people()
            plan_schedule(timeline, program)
            plan_violations(timeline)
            plan_crowds(timeline)
            plan_reminders(timeline, program)
            timeline.run()
            for event, what in CHAPTERS.items():
                self.stdout.write(f"\n{self.style.MIGRATE_HEADING(what)}")
                describe = tallies if event in CROWDED else sentences
                for sentence in describe(timeline, event):
                    self.stdout.write(f"  {sentence}")
            [digest] = timeline.arrived(BuiltInEvents.WEEKLY_DIGEST)
            self.stdout.write("\n" + "\n".join(f"  | {line}" for line in digest.body.strip().splitlines()))


def on_monday(hours: int, minutes: int = 0) -> datetime:
    return MONDAY + timedelta(hours=hours, minutes=minutes)


def plan_schedule(timeline: Timeline, program: Cluster) -> None:
    people.choose_weekly_digest(["pgy2-01"], program)
    resident = people.get_user("pgy1-01")
    for hour in (9, 10):
        timeline.at(on_monday(hour, 30), publish_schedule)
    for minute, rotation in ((0, "Inpatient"), (5, "Clinic"), (7, "Clinic"), (14, "Night float")):
        timeline.at(on_monday(11, minute), lambda rotation=rotation: change_assignment(resident, rotation))
    for minute, name in ((0, "PGY1-01"), (20, "PGY1-02")):
        timeline.at(on_monday(12, minute), lambda name=name: report_absence(name))


def plan_violations(timeline: Timeline) -> None:
    for time, person in (((13,), "PGY1-01"), ((15,), "PGY1-01"), ((17,), "PGY1-01"), ((23, 30), "PGY1-02")):
        timeline.at(on_monday(*time), lambda person=person: report_violation(person))


def plan_crowds(timeline: Timeline) -> None:
    for number in range(1, 12):
        timeline.at(on_monday(14), lambda number=number: approach_limit(f"PGY1-{number:02}"))
    for _ in range(101):
        timeline.at(on_monday(16), report_conflict)


def plan_reminders(timeline: Timeline, program: Cluster) -> None:
    resident = people.get_user("pgy1-02")
    shift = {"rotation_name": "Night float", "location": "Ward 3A", "duration_weeks": 1}
    late, early = on_monday(22 + 24, 30), on_monday(19)
    service.remind_of_shift(recipient_id=resident.pk, **shift, start_date=late)
    service.remind_of_shift_at_once(recipient_id=resident.pk, **shift, start_date=early)
    worker = people.get_user("pgy2-01")
    for day in (1, 2, 9):
        Shift.objects.create(
            program=program, resident=worker, rotation_name="Clinic", starts_at=on_monday(24 * day + 7)
        )


def publish_schedule() -> None:
    service.notify_schedule_published(
        recipient_ids=[user.pk for user in people.residents()],
        period="January 2026",
        coverage_rate=98.5,
        total_assignments=450,
        violations_count=0,
        publisher_name="Dr. Smith",
    )


def change_assignment(resident: Any, rotation: str) -> None:
    service.notify_assignment_changed(
        recipient_id=resident.pk, rotation_name=rotation, start_date=on_monday(48), change="begins a day later"
    )


def report_absence(name: str) -> None:
    service.notify_absence_reported(
        recipient_id=people.get_user("coordinator").pk,
        person_name=name,
        first_day=date(2026, 1, 7),
        last_day=date(2026, 1, 8),
    )


def approach_limit(person: str) -> None:
    service.notify_acgme_limit_near(
        recipient_id=people.get_user("coordinator").pk,
        violation_type="80-hour rule",
        person_name=person,
        hours=78.0,
        limit=80.0,
    )


def report_conflict() -> None:
    service.notify_schedule_conflict(
        recipient_id=people.get_user("program-director").pk, person_name="PGY1-01", first="Ward 3A", second="Clinic"
    )


def report_violation(person: str) -> None:
    service.notify_acgme_warning(
        recipient_id=people.get_user("coordinator").pk,
        violation_type="80-hour rule",
        severity="CRITICAL",
        person_name=person,
        violation_details="Exceeded 80 hours in week 1 (92 hours)",
        recommended_action="Adjust the schedule immediately",
    )
