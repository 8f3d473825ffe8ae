"""The chains of the programme's design document, in simulated time."""

import re
from datetime import timedelta

import pytest
from django.test import Client

from example_project.residency import people
from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service import notify_acgme_warning, notify_coverage_needed, notify_schedule_conflict
from notifications.manager import NotificationManager
from notifications.models import EscalationRun, Notification
from notifications.testing import simulated
from tests.residency.conftest import at

NIGHT = at("2026-01-05 23:30")
OFFICE, EMERGENCY = "gme-office@scheduler.example", "emergency@scheduler.example"
VIOLATION_TABLE = [
    (0, "coordinator"),
    (0, "program-director"),
    (60, OFFICE),
    *[(minutes, EMERGENCY) for minutes in (120, 135, 150, 165)],
]
GAP_TABLE = [
    (0, "coordinator"),
    (15, "attending-1"),
    (30, "program-director"),
    (60, OFFICE),
    *[(minutes, EMERGENCY) for minutes in (120, 135, 150, 165)],
]
CONTEXT = {
    "violation_type": "80-hour rule",
    "severity": "CRITICAL",
    "person_name": "PGY1-01",
    "violation_details": "Exceeded 80 hours in week 12",
    "recommended_action": "Adjust the schedule",
}


def warn(user):
    return notify_acgme_warning(recipient_id=user.pk, **CONTEXT)


def list_mails(timeline, event):
    """The minutes after the start and the recipients of the emails."""
    arrivals = timeline.arrived(event, channel="email")
    return [(round((one.at - NIGHT).total_seconds() / 60), str(one.recipient)) for one in arrivals]


def test_a_violation_walks_its_chain_exactly_as_its_table_says(program, coordinator):
    with simulated(NIGHT, people.ZONE) as timeline:
        explained = NotificationManager.explain(ResidencyEvents.ACGME_WARNING, coordinator, program, context=CONTEXT)
        timeline.at(NIGHT, lambda: warn(coordinator))
        timeline.run()
        assert list_mails(timeline, ResidencyEvents.ACGME_WARNING) == VIOLATION_TABLE
        chain = [(round((step.at - NIGHT).total_seconds() / 60), *step.people) for step in explained.chain]
        assert chain == VIOLATION_TABLE[1:]
        assert EscalationRun.objects.get().state == "exhausted"


@pytest.mark.parametrize(("minutes", "count"), [(10, 2), (70, 3), (140, 5)])
def test_the_link_in_an_email_stops_it(coordinator, minutes, count):
    director = people.get_user("program-director")

    def press():
        first = Notification.objects.get(event="acgme_warning", escalates=None)
        [message] = timeline.arrived(ResidencyEvents.ACGME_WARNING, to=director, channel="email")
        [path] = re.findall(r"^Acknowledge: https?://[^/]+(/\S+)$", message.body, re.MULTILINE)
        client = Client()
        assert client.get(path).status_code == 200
        assert EscalationRun.objects.get(notification=first.pk).state == "active"
        assert client.post(path).status_code == 200

    with simulated(NIGHT, people.ZONE) as timeline:
        timeline.at(NIGHT, lambda: warn(coordinator))
        timeline.at(NIGHT + timedelta(minutes=minutes), press)
        timeline.run()
        assert list_mails(timeline, ResidencyEvents.ACGME_WARNING) == VIOLATION_TABLE[:count]
        assert EscalationRun.objects.get().acknowledged_by == director


def test_a_gap_goes_to_whoever_is_on_call(coordinator):
    with simulated(NIGHT, people.ZONE) as timeline:
        timeline.at(
            NIGHT, lambda: notify_coverage_needed(recipient_ids=[coordinator.pk], unit="ICU", needed_from=NIGHT)
        )
        timeline.run()
        assert list_mails(timeline, ResidencyEvents.COVERAGE_NEEDED) == GAP_TABLE


def test_a_conflict_goes_to_the_coordinator_after_an_hour(resident):
    with simulated(NIGHT, people.ZONE) as timeline:
        values = {"person_name": "PGY1-01", "first": "Ward 3A", "second": "Clinic"}
        timeline.at(NIGHT, lambda: notify_schedule_conflict(recipient_id=resident.pk, **values))
        timeline.run()
        assert (60, "coordinator") in list_mails(timeline, ResidencyEvents.SCHEDULE_CONFLICT)
