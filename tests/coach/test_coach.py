from datetime import UTC, datetime
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError

from example_project.coach.faults import KNOWN, device_name, event_for, rules
from example_project.coach.notification_events import CoachEvents
from example_project.coach.simulation import make_drive
from notifications.can.faults import FaultChange
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, Notification
from notifications.recipients import Members
from tests.can.candump import bridge, faults
from tests.spool.outage import outage


def change(kind: str, *lamps: str) -> FaultChange:
    return FaultChange(kind, "rvc", "can0", 68, 69, None, 131, 1, lamps, 2, datetime(2026, 1, 1, tzinfo=UTC))


def simulate(path, **options) -> str:
    out = StringIO()
    call_command("simulate_coach", str(path), stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def coach(db, settings) -> Cluster:
    settings.COACH_SLUG = "rosinante"
    settings.NOTIFICATIONS = {"CAN_RULES": "example_project.coach.faults.rules"}
    cluster = Cluster.objects.create(name="Rosinante", slug="rosinante")
    cluster.members.add(User.objects.create_user("sancho", "sancho@example.com"))
    User.objects.create_user("stranger", "stranger@example.com")
    return cluster


@pytest.mark.parametrize(
    ("kind", "lamps", "event"),
    [
        ("raised", ["red"], CoachEvents.COACH_FAULT_CRITICAL),
        ("raised", ["yellow", "red"], CoachEvents.COACH_FAULT_CRITICAL),
        ("raised", ["yellow"], CoachEvents.COACH_FAULT_WARNING),
        ("raised", [], CoachEvents.COACH_FAULT_WARNING),
        ("cleared", ["red"], CoachEvents.COACH_FAULT_CLEARED),
    ],
)
def test_the_lamps_decide_how_urgent_a_fault_is(kind, lamps, event):
    assert event_for(change(kind, *lamps)) is event


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_the_rules_go_on_with_what_they_knew(coach):
    KNOWN.clear()
    with outage(), pytest.raises(OperationalError):
        list(rules(change("raised", "red")))
    list(rules(change("raised", "red")))
    with outage():
        [send] = rules(change("cleared", "red"))
    assert (send.cluster, send.recipients) == (coach, Members(coach))


def test_priorities_and_channels():
    told = {
        member: (NOTIFICATION_EVENTS[member].priority.name, NOTIFICATION_EVENTS[member].channels)
        for member in CoachEvents
    }
    assert told == {
        CoachEvents.COACH_FAULT_CRITICAL: ("CRITICAL", ("email", "app")),
        CoachEvents.COACH_FAULT_WARNING: ("HIGH", ("email", "app")),
        CoachEvents.COACH_FAULT_CLEARED: ("LOW", ("app",)),
    }


@pytest.mark.django_db
@pytest.mark.parametrize(("lamps", "score"), [([], 79), (["yellow"], 84)])
def test_a_warning_with_a_lamp_goes_before_one_without(coach, lamps, score):
    for send in rules(change("raised", *lamps)):
        NotificationManager.send(send.event_name, send.recipients, send.cluster, send.context)
    assert set(Delivery.objects.values_list("score", flat=True)) == {score}


def test_an_unknown_device_is_told_by_its_number():
    assert (device_name(68), device_name(0x45)) == ("control panel", "device 0x45")


@pytest.mark.needs("can")
def test_a_simulated_drive_raises_and_clears_two_faults(tmp_path):
    path = tmp_path / "coach.log"
    simulate(path, minutes=2)
    told = [(fault["kind"], fault["dsa"], fault["spn"], fault["fmi"], fault["lamps"]) for fault in faults(replay=path)]
    assert told == [
        ("raised", 101, 131, 1, ["yellow"]),
        ("raised", 94, 73, 7, ["red"]),
        ("cleared", 94, 73, 7, ["red"]),
        ("cleared", 101, 131, 1, ["yellow"]),
    ]


@pytest.mark.needs("can")
@pytest.mark.parametrize("minutes", [1, 7])
def test_a_simulated_drive_has_no_damaged_line_and_its_own_start(tmp_path, minutes):
    path = tmp_path / "coach.log"
    simulate(path, minutes=minutes, start="2026-03-01T12:00:00+00:00", seed=4)
    assert path.read_text().startswith(f"({datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp():.0f}.")
    _out, err = bridge(replay=path, json=True, dry_run=True)
    assert "0 malformed, 2 faults raised, 2 cleared" in err


def test_the_same_seed_writes_the_same_recording(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, minutes=1, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_simulated_frames_are_in_order_and_a_healthy_device_is_never_silent_for_long():
    drive = list(make_drive(300, seed=3))
    assert drive == sorted(drive)
    panel = [frame.after for frame in drive if frame.arbitration_id == 0x19FECA44]
    assert max(later - earlier for earlier, later in zip(panel, panel[1:], strict=False)) < 6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"minutes": 0}, "more than 0 and at most 1440"),
        ({"minutes": 1441}, "at most 1440"),
        ({"minutes": float("nan")}, "at most 1440"),
        ({"start": "noon"}, "such as 2026"),
        ({"rate": 0}, "more than 0"),
        ({"slcan": True}, "Give one of"),
    ],
)
def test_simulations_that_cannot_work_are_told(tmp_path, options, told):
    with pytest.raises(CommandError, match=told):
        simulate(tmp_path / "coach.log", **options)


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(CommandError, match="cannot be written"):
        simulate(tmp_path / "none" / "coach.log")


@pytest.mark.needs("can")
def test_a_drive_reaches_the_members_of_the_coach_and_nobody_else(tmp_path, coach):
    path = tmp_path / "coach.log"
    simulate(path, minutes=1)
    out, _err = bridge(replay=path)
    assert "4 notifications queued" in out
    Dispatcher().run_until_idle()
    assert {item.to[0] for item in mail.outbox} == {"sancho@example.com"}
    assert sorted(item.subject for item in mail.outbox) == [
        "Red lamp: main furnace",
        "Warning: water heater below the normal range",
    ]
    assert sorted(InboxItem.objects.values_list("title", flat=True)) == [
        "All well again: main furnace",
        "All well again: water heater",
        "Red lamp: main furnace",
        "Warning: water heater below the normal range",
    ]


@pytest.mark.needs("can")
def test_the_mail_tells_what_is_wrong_in_text_and_html(tmp_path, coach):
    simulate(tmp_path / "coach.log", minutes=1)
    bridge(replay=tmp_path / "coach.log")
    Dispatcher().run_until_idle()
    [red] = [item for item in mail.outbox if item.subject.startswith("Red lamp")]
    [(html, _kind)] = red.alternatives
    assert "Problem: mechanical part not responding (SPN 73, FMI 7)" in red.body
    assert "the main furnace of Rosinante has lit its red lamp" in red.body
    assert "mechanical part not responding (SPN 73, FMI 7)" in html
    assert red.body.count("\n\n\n") == 0


@pytest.mark.needs("can")
def test_a_fault_and_its_end_share_a_correlation_id(tmp_path, coach):
    simulate(tmp_path / "coach.log", minutes=1)
    bridge(replay=tmp_path / "coach.log")
    ids = list(Notification.objects.order_by("pk").values_list("correlation_id", flat=True))
    assert ids[0] == ids[3] != ids[1] == ids[2]
