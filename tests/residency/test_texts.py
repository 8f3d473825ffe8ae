"""Every kind of notification renders on each of its channels; what is told by mail betrays no duty schedule."""

from datetime import date
from inspect import signature

import pytest

from example_project.residency import people, service
from example_project.residency.notification_events import ResidencyEvents
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, Notification
from notifications.testing import simulated, travelling
from tests.residency.conftest import at

START = at("2026-01-15 07:45")
SWAP = {"resident_name": "PGY1-02", "shift": "Ward 3A, 15 January, 07:45"}
SHIFT = {"rotation_name": "Inpatient Medicine", "location": "Ward 3A", "start_date": START, "duration_weeks": 4}
STRESS = {"unit": "Cardiology", "coverage_rate": 61.5}
CALLS = {
    "schedule_published": (
        service.notify_schedule_published,
        {
            "period": "January 2026",
            "coverage_rate": 98.5,
            "total_assignments": 450,
            "violations_count": 2,
            "publisher_name": "Dr. Smith",
        },
    ),
    "schedule_conflict": (
        service.notify_schedule_conflict,
        {"person_name": "PGY1-01", "first": "Ward 3A", "second": "15 January, 07:45"},
    ),
    "assignment_changed": (
        service.notify_assignment_changed,
        {"rotation_name": "Inpatient Medicine", "start_date": START, "change": "Ward 3A instead of 3B"},
    ),
    "swap_requested": (service.notify_swap_requested, SWAP),
    "swap_approved": (service.notify_swap_approved, SWAP),
    "swap_rejected": (service.notify_swap_rejected, {**SWAP, "reason": "Too many hours"}),
    "swap_matched": (service.notify_swap_matched, SWAP),
    "acgme_warning": (
        service.notify_acgme_warning,
        {
            "violation_type": "80-hour rule",
            "severity": "HIGH",
            "person_name": "PGY1-01",
            "violation_details": "92 hours",
            "recommended_action": "Adjust",
        },
    ),
    "acgme_limit_near": (
        service.notify_acgme_limit_near,
        {"violation_type": "80-hour rule", "person_name": "PGY1-01", "hours": 78.0, "limit": 80.0},
    ),
    "acgme_resolved": (
        service.notify_acgme_resolved,
        {"violation_type": "80-hour rule", "person_name": "PGY1-01"},
    ),
    "resilience_warning": (service.notify_resilience_warning, STRESS),
    "resilience_critical": (service.notify_resilience_critical, STRESS),
    "resilience_recovered": (service.notify_resilience_recovered, STRESS),
    "coverage_needed": (service.notify_coverage_needed, {"unit": "Cardiology", "needed_from": START}),
    "coverage_secured": (service.notify_coverage_secured, {"unit": "Cardiology", "covered_by": "PGY1-02"}),
    "absence_reported": (
        service.notify_absence_reported,
        {"person_name": "PGY1-01", "first_day": date(2026, 1, 15), "last_day": date(2026, 1, 16)},
    ),
    "shift_reminder_24h": (service.remind_of_shift, SHIFT),
    "shift_reminder_1h": (service.remind_of_shift_at_once, SHIFT),
    "tdy_reminder": (service.notify_tdy_reminder, {"begins_on": date(2026, 1, 15), "days": 30}),
    "credential_expiring": (
        service.notify_credential_expiring,
        {"credential": "ACLS", "expires_on": date(2026, 3, 1)},
    ),
    "equipment_issue": (service.notify_equipment_issue, {"equipment": "Monitor 4", "problem": "No picture"}),
}
SCHEDULES = (
    "schedule_conflict", "assignment_changed", "swap_requested", "swap_approved", "swap_rejected", "swap_matched",
    "coverage_needed", "absence_reported", "shift_reminder_24h", "shift_reminder_1h", "tdy_reminder",
)  # fmt: skip
PRIORITIES = {
    "CRITICAL": {"acgme_warning", "resilience_critical", "coverage_needed"},
    "HIGH": {
        "schedule_conflict", "acgme_limit_near", "resilience_warning", "coverage_secured", "shift_reminder_1h",
    },
    "LOW": {"resilience_recovered", "credential_expiring", "equipment_issue"},
}  # fmt: skip


def call(user, name, **changed):
    function, words = CALLS[name]
    words = {**words, **changed}
    is_to_many = "recipient_ids" in signature(function).parameters
    return function(**{"recipient_ids": [user.pk]} if is_to_many else {"recipient_id": user.pk}, **words)


def arrivals_of(user, name):
    with simulated("2026-01-05 09:00", people.ZONE) as timeline:
        timeline.at(timeline.now, lambda: call(user, name))
        timeline.run()
    return timeline.arrivals


def test_there_is_a_call_for_every_event():
    assert {member.value for member in ResidencyEvents} == set(CALLS)
    assert len(CALLS) >= 20


@pytest.mark.parametrize("name", CALLS)
def test_it_renders_on_each_of_its_channels(program, resident, name):
    arrivals = arrivals_of(resident, name)
    expected = set(NOTIFICATION_EVENTS.named(name).channels) - {"webhook"}
    assert {arrival.channel for arrival in arrivals} == expected
    assert not Delivery.objects.exclude(state="sent").exists()
    for arrival in arrivals:
        assert (arrival.title or arrival.body).strip()
        assert "{{" not in arrival.title + arrival.body


DATED = [name for name, (_, words) in CALLS.items() if any(isinstance(value, date) for value in words.values())]


@pytest.mark.parametrize("name", DATED)
def test_iso_texts_are_as_good_as_dates_and_times(program, resident, name):
    _, words = CALLS[name]
    texts = {key: value.isoformat() for key, value in words.items() if isinstance(value, date)}
    with travelling(at("2026-01-05 09:00")):
        for given in ({}, texts):
            call(resident, name, **given)
    first, second = Notification.objects.all()
    assert (first.values, first.send_at, first.expires_at) == (second.values, second.send_at, second.expires_at)


@pytest.mark.parametrize(
    ("name", "argument", "kind"),
    [("shift_reminder_24h", "start_date", "datetime"), ("tdy_reminder", "begins_on", "date")],
)
def test_a_text_that_is_no_date_is_refused(program, resident, name, argument, kind):
    with pytest.raises(ValueError, match=f"'tomorrow' must be an ISO {kind} such as 2026-01-15"):
        call(resident, name, **{argument: "tomorrow"})


@pytest.mark.parametrize("name", SCHEDULES)
def test_where_and_when_somebody_is_on_duty_is_told_in_the_app_alone(program, resident, name):
    arrivals = arrivals_of(resident, name)
    words = ("Ward", "Inpatient", "15", "07:45")
    betraying = [arrival for arrival in arrivals if any(word in arrival.title + arrival.body for word in words)]
    assert {arrival.channel for arrival in betraying} == {"app"}
    assert "email" in {arrival.channel for arrival in arrivals}


def test_the_html_carries_the_colour_of_its_urgency_and_a_button(program, resident, mailoutbox):
    with travelling(at("2026-01-05 09:00")):
        for name in ("acgme_warning", "schedule_published", "equipment_issue"):
            call(resident, name)
        Dispatcher().run_until_idle()
    html = [mail.alternatives[0].content for mail in mailoutbox]
    bars = [f'class="bar" bgcolor="{colour}"' for colour in ("#b42318", "#003366", "#52606d")]
    assert all(bar in text for bar, text in zip(bars, html, strict=True))
    assert all("http://127.0.0.1:8000/notifications/inbox/" in text for text in html)


@pytest.mark.parametrize("name", CALLS)
def test_how_urgent_it_is(name):
    named = {event: priority for priority, events in PRIORITIES.items() for event in events}
    assert NOTIFICATION_EVENTS.named(name).priority.name == named.get(name, "MEDIUM")
