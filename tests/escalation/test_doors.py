"""The command, the admin, the checks, explain() and the answers to SMS."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from notifications.checks import run_checks
from notifications.checks.escalation import check_reachable
from notifications.escalation.answers import acknowledge_by_phone
from notifications.events import NOTIFICATION_EVENTS, Escalation, Step
from notifications.manager import NotificationManager
from notifications.models import Delivery, EscalationPolicy, EscalationRun, Notification, Rota
from notifications.phone.answers import Wish, find_wish, receive_answer
from notifications.recipients import Address
from tests.escalation.conftest import START
from tests.escalation.events import Alarms, make_event
from tests.factories import ClusterFactory

pytestmark = pytest.mark.django_db

TEXTS = {"BACKEND": "example_project.quality.channels.TextStandIn", "OPTIONS": {"file": "x.jsonl"}}


def run_command(capsys, *options):
    call_command("run_escalations", *options)
    return capsys.readouterr().out


def test_the_command(story, capsys, settings):
    story.send()
    assert run_command(capsys) == "No escalation is due.\n"
    story.now += timedelta(minutes=15)
    assert run_command(capsys, "--dry-run") == (f"{story.run}: step 1, to user:supervisor.\nDue: 1 escalation.\n")
    assert run_command(capsys) == "1 step sent.\n"
    story.now += timedelta(minutes=15)
    Group.objects.all().delete()
    assert run_command(capsys) == "1 step sent, 1 step without anybody to reach.\n"
    EscalationRun.objects.update(pages=[[]], position=0, due_at=START)
    with pytest.raises(CommandError, match="1 escalation could not go on"):
        call_command("run_escalations")
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENABLED": False}
    assert "ENABLED" in run_command(capsys)


def test_explain_shows_the_chain(story):
    context = {"message": "Pump 3 has stopped.", "title": None}
    ward = User.objects.get(username="ward")
    User.objects.filter(username="supervisor").delete()
    explanation = NotificationManager.explain(Alarms.PUMP, ward, context=context)
    steps = [(step.at - START, step.people, step.channels) for step in explanation.chain]
    assert steps == [
        (timedelta(minutes=15), (), ("app", "email")),
        (timedelta(minutes=30), ("Directors",), ("email",)),
        *[(timedelta(minutes=minutes), ("office@example.com",), ("email",)) for minutes in (60, 70, 80)],
    ]
    text = str(explanation)
    assert "If nobody acknowledges it:\n  03:15 on Monday 2 November 2026, UTC: nobody, by app, email." in text
    assert "There is no user 'supervisor'." in text
    assert explanation.as_dict()["chain"][1]["targets"] == ["role:Directors"]
    assert not EscalationRun.objects.exists()


def find_messages(*ids):
    return [message for message in run_checks(None) if message.id in ids]


def test_checks_name_targets_that_do_not_exist(event, settings):
    steps = (
        Step(timedelta(minutes=1), "supervisor"),
        Step(timedelta(minutes=2), "path:nowhere.at_all"),
        Step(timedelta(minutes=3), "address:pager=12"),
        Step(timedelta(minutes=4), "address:nonsense"),
    )
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation(steps))
    texts = [message.msg for message in find_messages("klaxon.E041") if "pump_failed" in message.msg]
    assert len(texts) == 4
    assert "has no 'supervisor'" in texts[0]
    assert "nowhere" in texts[1]
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ESCALATION_TARGETS": {"supervisor": "role:Supervisors"}}
    assert "has no 'supervisor'" not in str(find_messages("klaxon.E041"))


def test_checks_of_the_setting(settings):
    for wrong in ({"supervisor": 5}, {"supervisor": [5]}):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ESCALATION_TARGETS": wrong}
        assert "ESCALATION_TARGETS" in str(find_messages("klaxon.E001"))


def test_checks_that_read_the_database(story):
    assert check_reachable(None) == []
    policy = EscalationPolicy.objects.create(event=Alarms.PUMP.value)
    policy.steps.create(after=timedelta(minutes=5), targets="user:nobody\nrota:surgery")
    Rota.objects.create(cluster=ClusterFactory(), key="surgery", name="Surgery", time_zone="Europe/Berlin")
    found = check_reachable(None, ["default"])
    assert {message.id for message in found} == {"klaxon.W021"}
    texts = " ".join(message.msg for message in found)
    assert "There is no user 'nobody'" in texts
    assert "rota surgery of" in texts


@pytest.fixture
def staff(story):
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


def test_the_admin_of_escalations(story, staff):
    alarm = story.send()
    story.wait(minutes=16)
    page = staff.get(reverse("admin:klaxon_escalationrun_change", args=[story.run.pk])).content.decode()
    assert "role:Directors" in page
    assert f"{alarm.event} #{alarm.pk}" in page
    listing = reverse("admin:klaxon_escalationrun_changelist")
    for action, state in (("escalate_now", "active"), ("acknowledge", "acknowledged"), ("resolve_runs", "resolved")):
        for count in (1, 0):
            data = {"action": action, "_selected_action": [story.run.pk]}
            answer = staff.post(listing, data, follow=True).content.decode()
            if action != "escalate_now":
                assert f"{count} escalation" in answer
        assert story.run.state == state
    assert story.run.entries.last().by.username == "chief"


def test_staff_without_the_permission_have_no_actions(story, staff):
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_escalationrun"))
    story.send()
    staff.force_login(viewer)
    page = staff.get(reverse("admin:klaxon_escalationrun_changelist")).content.decode()
    assert "resolve_runs" not in page
    assert staff.get(reverse("admin:klaxon_escalation_unreachable")).status_code == 403


def test_the_admin_of_policies(story, staff):
    prefix = "steps"
    data = {
        "event": Alarms.PUMP.value,
        "enabled": "on",
        "repeat_every": "00:10:00",
        f"{prefix}-TOTAL_FORMS": "2",
        f"{prefix}-INITIAL_FORMS": "0",
        f"{prefix}-0-after": "00:05:00",
        f"{prefix}-0-targets": "user:ward",
        f"{prefix}-0-repeat": "3",
        f"{prefix}-1-after": "00:20:00",
        f"{prefix}-1-targets": "ufo:1",
        f"{prefix}-1-repeat": "0",
    }
    url = reverse("admin:klaxon_escalationpolicy_add")
    assert "is not a target" in staff.post(url, data).content.decode()
    data[f"{prefix}-1-targets"] = "role:Directors"
    assert "Step 2 of an Escalation must begin after step 1" in staff.post(url, data).content.decode()
    data[f"{prefix}-0-repeat"] = "1"
    assert staff.post(url, data).status_code == 302
    assert EscalationPolicy.objects.get().build().steps[1].targets == ("role:Directors",)
    Group.objects.all().delete()
    page = staff.get(reverse("admin:klaxon_escalation_unreachable")).content.decode()
    assert "There is no group &#x27;Directors&#x27;" in page
    assert (
        "What escalations cannot reach"
        in staff.get(reverse("admin:klaxon_escalationpolicy_changelist")).content.decode()
    )


def test_the_admin_of_rotas(staff):
    rota = Rota.objects.create(cluster=ClusterFactory(), key="surgery", name="Surgery", time_zone="Europe/Berlin")
    layer = rota.layers.create(starts_on="2026-11-02", hand_over="08:00")
    for name, row in (("rota", rota), ("rotalayer", layer)):
        assert staff.get(reverse(f"admin:klaxon_{name}_change", args=[row.pk])).status_code == 200
        assert staff.get(reverse(f"admin:klaxon_{name}_changelist")).status_code == 200
    assert staff.get(reverse("admin:klaxon_timeoff_changelist")).status_code == 200


@pytest.mark.parametrize("text", ["OK", "ok.", "Okay!", "Bestätigt", "ACK"])
def test_words_that_acknowledge(text):
    assert find_wish(text) is Wish.ACKNOWLEDGE


def test_an_answer_acknowledges(story, settings):
    channels = {**settings.NOTIFICATIONS["CHANNELS"], "sms": TEXTS}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": channels}
    steps = (Step(timedelta(minutes=1), "address:phone=+4915112345678", ["sms"]),)
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation(steps))
    story.send()
    story.wait(minutes=2)
    delivery = Delivery.objects.get(channel="sms")
    assert not acknowledge_by_phone("+4915112345678")
    Delivery.objects.filter(pk=delivery.pk).update(state="sent")
    receive_answer(Wish.ACKNOWLEDGE, "+4915100000000", "Twilio", "1")
    assert story.run.state == "active"
    receive_answer(Wish.ACKNOWLEDGE, "+4915112345678", "Twilio", "2")
    assert story.run.state == "acknowledged"
    assert story.run.entries.last().by_key == Address(phone="+4915112345678").key


def test_why_shows_the_steps_to_come(story):
    notification = story.send()
    ward = User.objects.get(username="ward")
    story.wait(minutes=16)
    for subject in (notification, Notification.objects.get(escalates=notification)):
        explanation = NotificationManager.why(subject, ward)
        assert explanation.chain_state == "active"
        assert [(step.at - START, step.people) for step in explanation.chain] == [
            (timedelta(minutes=30), ("Directors",)),
            *[(timedelta(minutes=minutes), ("office@example.com",)) for minutes in (60, 70, 80)],
        ]
    assert "Escalation: active.\nIf nobody acknowledges it:\n  03:30 on Monday" in str(explanation)
    NotificationManager.acknowledge(notification, ward)
    explanation = NotificationManager.why(notification, ward)
    assert (explanation.chain, explanation.as_dict()["chain_state"]) == ((), "acknowledged")
    assert "If nobody" not in str(explanation)


def test_why_of_what_does_not_escalate(story):
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=None)
    explanation = NotificationManager.why(story.send(), User.objects.get(username="ward"))
    assert (explanation.chain, explanation.chain_state) == ((), "")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"targets": "supervisor"}, "has no &#x27;supervisor&#x27;"),
        ({"targets": "path:nowhere.at_all"}, "No module named &#x27;nowhere&#x27;"),
        ({"targets": "address:pager=12"}, "no channel of this site sends to an address of the kind"),
        (
            {"channels": "sms"},
            "no template for the channel sms. The template &#x27;notifications/lift_stuck/sms.txt&#x27;",
        ),
    ],
)
def test_the_admin_refuses_steps_that_cannot_be_sent(staff, settings, values, text):
    channels = {**settings.NOTIFICATIONS["CHANNELS"], "sms": TEXTS}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": channels}
    with NOTIFICATION_EVENTS.restored():
        NOTIFICATION_EVENTS[Alarms.LIFT] = make_event(Alarms.LIFT.value, escalation=None)
        step = {"after": "00:15:00", "targets": "user:ada", "repeat": "0", **values}
        data = {"event": "lift_stuck", "enabled": "on", "repeat_every": "00:15:00", "steps-INITIAL_FORMS": "0"}
        data |= {"steps-TOTAL_FORMS": "1", **{f"steps-0-{name}": value for name, value in step.items()}}
        assert text in staff.post(reverse("admin:klaxon_escalationpolicy_add"), data).content.decode()
        assert not EscalationPolicy.objects.exists()
        policy = EscalationPolicy.objects.create(event="lift_stuck")
        policy.steps.create(**{**step, "after": timedelta(minutes=15)})
        assert "step 1 of lift_stuck" in str([one.msg for one in check_reachable(None, ["default"])])


def test_the_admin_says_at_once_whom_a_policy_does_not_reach(staff):
    with NOTIFICATION_EVENTS.restored():
        NOTIFICATION_EVENTS[Alarms.LIFT] = make_event(Alarms.LIFT.value, escalation=None)
        data = {"event": "lift_stuck", "enabled": "on", "repeat_every": "00:15:00", "steps-INITIAL_FORMS": "0"}
        data |= {"steps-TOTAL_FORMS": "1", "steps-0-after": "00:15:00", "steps-0-targets": "user:nobody"}
        page = staff.post(reverse("admin:klaxon_escalationpolicy_add"), {**data, "steps-0-repeat": "0"}, follow=True)
        assert "tep 1 of lift_stuck: There is no user &#x27;nobody&#x27;." in page.content.decode()
