"""The tables of the programme's own design document, row by row, just inside and just outside."""

from datetime import date, timedelta

import pytest

from example_project.residency import people
from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service import (
    notify_absence_reported,
    notify_acgme_limit_near,
    notify_acgme_warning,
    notify_assignment_changed,
    notify_schedule_conflict,
    notify_schedule_published,
    remind_of_shift,
    remind_of_shift_at_once,
)
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Bucket
from notifications.testing import simulated
from tests.residency.conftest import at

pytestmark = pytest.mark.usefixtures("without_escalation")

MORNING = at("2026-01-05 08:00")
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = timedelta(days=1)


def violation(user, person="PGY1-01"):
    return notify_acgme_warning(
        recipient_id=user.pk,
        violation_type="80-hour rule",
        severity="CRITICAL",
        person_name=person,
        violation_details="Exceeded 80 hours in week 12",
        recommended_action="Adjust the schedule",
    )


def near(user, person="PGY1-01"):
    return notify_acgme_limit_near(
        recipient_id=user.pk, violation_type="80-hour rule", person_name=person, hours=78.0, limit=80.0
    )


def published(user, period="January 2026"):
    return notify_schedule_published(
        recipient_ids=[user.pk],
        period=period,
        coverage_rate=98.5,
        total_assignments=450,
        violations_count=0,
        publisher_name="Dr. Smith",
    )


def changed(user, rotation="Inpatient Medicine"):
    return notify_assignment_changed(
        recipient_id=user.pk, rotation_name=rotation, start_date=MORNING + DAY, change="Ward 3B instead of 3A"
    )


SHIFT = {"rotation_name": "Inpatient Medicine", "location": "Ward 3A", "duration_weeks": 4}


def reminded(user, location="Ward 3A", moment=MORNING):
    return remind_of_shift(recipient_id=user.pk, **{**SHIFT, "location": location}, start_date=moment + DAY)


def absent(user, person="PGY1-01"):
    return notify_absence_reported(
        recipient_id=user.pk, person_name=person, first_day=date(2026, 1, 7), last_day=date(2026, 1, 8)
    )


def conflict(user):
    return notify_schedule_conflict(recipient_id=user.pk, person_name="PGY1-01", first="Ward 3A", second="Clinic")


def play(moments, call):
    """What arrives in the app when a call is made at these moments after the morning: seconds after it, and merged."""
    with simulated(MORNING, people.ZONE) as timeline:
        for number, after in enumerate(moments):
            timeline.at(MORNING + after, lambda number=number, after=after: call(number, after))
        timeline.run()
    return [(one.at - MORNING, one.merged) for one in timeline.arrived(channel="app")]


DEDUP = [(violation, 4 * HOUR), (near, 4 * HOUR), (published, 24 * HOUR), (changed, 1 * HOUR)]


@pytest.mark.parametrize(("send", "window"), DEDUP, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_repeat_is_folded_within_the_window_and_told_after_it(program, resident, send, window):
    def same(number, after):
        return send(resident)

    assert len(play([timedelta(), window - SECOND], same)) == 1
    # A week later, so that nothing of the first round matters.
    assert len(play([7 * DAY, 7 * DAY + window], same)) == 2


@pytest.mark.parametrize("send", [violation, near, published, changed])
def test_something_else_is_told_at_once(program, resident, send):
    sent = play([timedelta(), SECOND], lambda number, after: send(resident, f"number {number}"))
    assert sum(max(merged, 1) for _, merged in sent) == 2


def test_reminders_are_never_folded(program, resident):
    [(_, merged)] = play([timedelta(), timedelta()], lambda number, after: reminded(resident))
    assert merged == 2


BATCH = [(changed, 15 * MINUTE), (reminded, 1 * HOUR), (absent, 30 * MINUTE)]


@pytest.mark.parametrize(("send", "window"), BATCH, ids=lambda value: getattr(value, "__name__", str(value)))
def test_what_comes_within_the_window_is_one_message_and_what_comes_after_it_another(program, resident, send, window):
    def another(number, after):
        moment = {"moment": MORNING + after} if send is reminded else {}
        return send(resident, f"number {number}", **moment)

    assert play([timedelta(), window - SECOND], another) == [(window, 2)]
    late = 7 * DAY + window + SECOND
    assert play([7 * DAY, late], another) == [(7 * DAY + window, 0), (late + window, 0)]


def test_five_changes_are_one_summary(program, resident):
    with simulated(MORNING, people.ZONE) as timeline:
        for minute in range(5):
            timeline.at(MORNING + minute * MINUTE, lambda minute=minute: changed(resident, f"Ward {minute}"))
        timeline.run()
    [mail] = timeline.arrived(ResidencyEvents.ASSIGNMENT_CHANGED, channel="email")
    assert (mail.merged, mail.at, mail.title) == (5, MORNING + 15 * MINUTE, "Changes of assignments (5)")


@pytest.mark.parametrize("before", [1 * HOUR, 3 * HOUR])
def test_a_reminder_waits_for_no_others_that_would_come_too_late(program, resident, before):
    start = MORNING + before
    with simulated(MORNING, people.ZONE) as timeline:
        timeline.at(MORNING, lambda: remind_of_shift_at_once(recipient_id=resident.pk, **SHIFT, start_date=start))
        timeline.run()
    for channel in ("app", "email", "sms"):
        timeline.assert_arrived(ResidencyEvents.SHIFT_REMINDER_1H, to=resident, channel=channel, at=start - HOUR)


def test_critical_warnings_wait_for_no_batch(program, resident):
    assert play([timedelta(), SECOND], lambda number, after: violation(resident, f"PGY1-0{number}")) == [
        (timedelta(), 0),
        (SECOND, 0),
    ]


RATES = [
    (conflict, "app", 100, 36 * SECOND),
    (conflict, "email", 50, 72 * SECOND),
    (near, "app", 20, 3 * MINUTE),
]


@pytest.mark.parametrize(("send", "channel", "most", "wait"), RATES, ids=["user", "email", "type"])
def test_so_many_come_at_once_and_the_next_one_when_its_turn_has_come(
    program, resident, only, send, channel, most, wait
):
    only(resident, channel)
    with simulated(MORNING, people.ZONE) as timeline:
        for number in range(most + 1):
            person = {"person": f"PGY1-{number}"} if send is near else {}
            timeline.at(MORNING, lambda person=person: send(resident, **person))
        timeline.run()
    times = [arrival.at - MORNING for arrival in timeline.arrived(to=resident)]
    assert times == [timedelta()] * most + [wait]


def waits(timeline, channel):
    return [arrival.at - MORNING for arrival in timeline.arrived(channel=channel)]


def test_who_reads_in_the_app_and_by_mail_gets_a_hundred_an_hour_and_fifty_mails(program, resident):
    with simulated(MORNING, people.ZONE) as timeline:
        for _ in range(101):
            timeline.at(MORNING, lambda: conflict(resident))
        timeline.run()
    assert waits(timeline, "app") == [timedelta()] * 100 + [36 * SECOND]
    assert waits(timeline, "email") == [timedelta()] * 50 + [number * 72 * SECOND for number in range(1, 52)]


def test_who_reads_in_the_app_and_by_mail_gets_ten_warnings_of_a_kind_an_hour(program, resident):
    with simulated(MORNING, people.ZONE) as timeline:
        for number in range(11):
            timeline.at(MORNING, lambda number=number: near(resident, f"PGY1-{number}"))
        timeline.run()
    in_the_app, by_mail = waits(timeline, "app"), waits(timeline, "email")
    assert in_the_app[:10] == by_mail[:10] == [timedelta()] * 10
    assert sorted(in_the_app[10:] + by_mail[10:]) == [3 * MINUTE, 6 * MINUTE]


def test_another_recipient_has_an_hour_of_their_own(program, resident, coordinator):
    with simulated(MORNING, people.ZONE) as timeline:
        for user in (resident, coordinator):
            for number in range(10):
                timeline.at(MORNING, lambda user=user, number=number: near(user, f"PGY1-{number}"))
        timeline.run()
    assert {arrival.at for arrival in timeline.arrivals} == {MORNING}
    assert len(timeline.arrivals) == 40


def test_critical_warnings_pass_their_limit_but_are_counted(program, resident, only):
    only(resident, "app")  # which they do not care about either
    with simulated(MORNING, people.ZONE) as timeline:
        for number in range(15):
            timeline.at(MORNING, lambda number=number: violation(resident, f"PGY1-{number}"))
        timeline.run()
    assert {arrival.at for arrival in timeline.arrivals} == {MORNING}
    assert len(timeline.arrivals) == 30
    assert Bucket.objects.filter(key__contains="acgme_warning").exists()


def test_the_numbers_stand_at_the_events_as_in_the_document():
    # Ten an hour, on two channels each.
    told = {
        event.name: (event.dedup_window, event.batch_window, event.limit)
        for member, event in NOTIFICATION_EVENTS.items()
        if isinstance(member, ResidencyEvents) and (event.dedup_window or event.batch_window or event.limit)
    }
    assert told == {
        "acgme_warning": (14_400, 0, "20/h"),
        "acgme_limit_near": (14_400, 0, "20/h"),
        "schedule_published": (86_400, 0, None),
        "assignment_changed": (3_600, 900, None),
        "shift_reminder_24h": (0, 3_600, None),
        "shift_reminder_1h": (0, 3_600, None),
        "absence_reported": (0, 1_800, None),
    }
