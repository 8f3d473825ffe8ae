"""Rotas in tables: who is on call, their pages, their feed and their use by an escalation."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from notifications.escalation import schedules
from notifications.escalation.ical import CalendarEvent, build_calendar
from notifications.escalation.pages.rotas import make_feed_path
from notifications.escalation.unreachable import find_gaps, find_unreachable
from notifications.events import NOTIFICATION_EVENTS, Escalation, Step
from notifications.models import Pause, Rota, RotaLayer, Suppression, TimeOff, cluster_or_default
from tests.escalation.conftest import START
from tests.escalation.events import Alarms, make_event
from tests.factories import ClusterFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def rota(db):
    """Three surgeons take turns of a week, which begin on Mondays at 08:00 in Berlin."""
    users = [User.objects.create_user(name, f"{name}@example.com") for name in ("anna", "ben", "cara")]
    cluster = ClusterFactory(members=users)
    rota = Rota.objects.create(cluster=cluster, key="surgery", name="Surgery", time_zone="Europe/Berlin")
    layer = rota.layers.create(starts_on=date(2026, 10, 26), hand_over=time(8), turn_days=7)
    for order, user in enumerate(users):
        layer.members.create(user=user, order=order)
    return rota


def load(rota):
    return schedules.load_schedule(Rota.objects.with_plan().get(pk=rota.pk))


def holder(rota, *moment):
    pk = load(rota).find_holder(datetime(*moment, tzinfo=UTC))
    return User.objects.get(pk=pk).username if pk else None


def test_turns_overrides_and_time_off(rota):
    cara = User.objects.get(username="cara")
    assert holder(rota, 2026, 11, 2, 6, 59) == "anna"
    assert holder(rota, 2026, 11, 2, 7) == "ben"
    rota.overrides.create(user=cara, starts_at=START, ends_at=START + timedelta(hours=5))
    assert holder(rota, 2026, 11, 2, 7) == "cara"
    TimeOff.objects.create(
        user=User.objects.get(username="ben"), starts_at=START, ends_at=START + timedelta(days=2), note="ill"
    )
    assert holder(rota, 2026, 11, 2, 12) is None
    assert len(load(rota).list_gaps(START, START + timedelta(days=7))) == 1


def test_days_without_hours_are_whole_days(rota):
    rota.layers.update(days=[0, 1])
    assert holder(rota, 2026, 11, 3, 22, 30) == "ben"
    assert holder(rota, 2026, 11, 3, 23) is None


def test_wrong_values(rota):
    with pytest.raises(ValidationError):
        Rota(cluster=rota.cluster, key="x", name="x", time_zone="Berlin").full_clean()
    for values in ({"hours_from": time(8)}, {"days": [7]}, {"days": "mon"}, {"turn_days": 0}):
        layer = RotaLayer(rota=rota, starts_on=date(2026, 1, 1), hand_over=time(8), **values)
        with pytest.raises(ValidationError):
            layer.full_clean()
    with pytest.raises(ValidationError):
        TimeOff(user=User.objects.first(), starts_at=START, ends_at=START).full_clean()


def test_an_escalation_finds_who_is_on_call(story, rota):
    default = Rota.objects.create(cluster=cluster_or_default(None), key="ward", name="Ward", time_zone="Europe/Berlin")
    default.cluster.members.add(*User.objects.all())
    for layer in rota.layers.all():
        copy = default.layers.create(starts_on=layer.starts_on, hand_over=layer.hand_over)
        for member in layer.members.all():
            copy.members.create(user=member.user, order=member.order)
    steps = (Step(timedelta(minutes=15), "rota:ward", repeat=20), Step(timedelta(hours=9), "rota:nowhere"))
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=Escalation(steps, timedelta(minutes=25)))
    story.send()
    story.wait(hours=9)
    pages = [(minutes, name) for minutes, name, *_ in story.list_pages()]
    # 08:00 in Berlin is four hours after the start.
    assert {name for minutes, name in pages if minutes < 240} == {"anna"}
    assert {name for minutes, name in pages if minutes >= 240} == {"ben"}
    assert "no rota 'nowhere'" in story.run.entries.get(kind="unreachable").note


def test_gaps_are_found_before_they_come(rota):
    assert list(find_gaps(START)) == []
    start = START + timedelta(days=20)
    TimeOff.objects.create(user=User.objects.get(username="anna"), starts_at=start, ends_at=start + timedelta(days=1))
    [finding] = find_gaps(START)
    assert "Nobody is on call from 2026-11-22 04:00" in finding.text
    assert list(find_gaps(start + timedelta(days=1))) == []


def test_what_escalations_cannot_reach(story, django_assert_max_num_queries):
    def list_texts():
        with django_assert_max_num_queries(60):
            return [finding.text for finding in find_unreachable(START) if "pump_failed" in finding.subject]

    assert list_texts() == []
    User.objects.filter(username="deputy").update(is_active=False)
    Suppression.objects.suppress([("email", "office@example.com")], Suppression.Cause.MANUAL, START)
    User.objects.filter(username="supervisor").delete()
    Pause.objects.pause("app", "", START)
    texts = list_texts()
    assert "There is no user 'supervisor'." in texts
    assert any("deputy cannot be reached (email: " in text for text in texts)
    assert "address:email=office@example.com reaches nobody at present." in texts
    assert "The channel app is paused." in texts


@pytest.fixture
def member(rota):
    client = Client()
    client.force_login(User.objects.get(username="anna"))
    return client


def test_the_calendar(rota, member):
    rota.overrides.create(
        user=User.objects.get(username="cara"), starts_at=START, ends_at=START + timedelta(hours=2), note="swap"
    )
    page = member.get(reverse("notifications:rota", args=[rota.pk]), {"month": "2026-11"}).content.decode()
    assert '<ol class="month" data-first="7">' in page
    assert page.count("<h3>") == 30
    assert '<span class="hours">04:00–06:00</span> cara <span class="mark">override</span>' in page
    assert "nobody is on call" not in page
    early = member.get(reverse("notifications:rota", args=[rota.pk]), {"month": "2026-10"}).content.decode()
    assert "nobody is on call" in early
    for month in ("", "x", "0001-01", "2026-13"):
        assert member.get(reverse("notifications:rota", args=[rota.pk]), {"month": month}).status_code == 200
    assert "Surgery" in member.get(reverse("notifications:rotas")).content.decode()


def test_strangers_see_no_rota(rota, member):
    stranger = User.objects.create_user("stranger")
    member.force_login(stranger)
    assert member.get(reverse("notifications:rota", args=[rota.pk])).status_code == 404
    assert "Surgery" not in member.get(reverse("notifications:rotas")).content.decode()
    member.logout()
    assert member.get(reverse("notifications:rotas")).status_code == 302


def test_the_feed(rota):
    anna, client = User.objects.get(username="anna"), Client()
    path = make_feed_path(anna, rota)
    response = client.get(path)
    assert response.headers["Content-Type"] == "text/calendar; charset=utf-8"
    lines = response.content.decode().split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    starts, ends = ([line for line in lines if line.startswith(name)] for name in ("DTSTART:", "DTEND:"))
    # Shifts follow each other without holes.
    assert [line.removeprefix("DTSTART:") for line in starts[1:]] == [line.removeprefix("DTEND:") for line in ends[:-1]]
    assert client.post(path).status_code == 405
    assert client.get(path.replace(".ics", "x.ics")).status_code == 404
    rota.cluster.members.remove(anna)
    assert client.get(path).status_code == 404


def test_calendars_escape_and_fold():
    summary = "Ä" * 60 + ";,\\\nX\x07"
    data = build_calendar("a;b", [CalendarEvent("1", START, START, summary)], START)
    assert all(len(line) <= 75 for line in data.split(b"\r\n"))
    unfolded = data.decode().replace("\r\n ", "")
    assert "SUMMARY:" + "Ä" * 60 + "\\;\\,\\\\\\nX\r\n" in unfolded
    assert "X-WR-CALNAME:a\\;b\r\n" in unfolded
    assert "DTSTART:20261102T030000Z" in unfolded


def test_the_shift_of_the_only_member_has_no_end(rota):
    client = Client()
    client.force_login(User.objects.get(username="anna"))
    assert "until" in client.get(reverse("notifications:rotas")).content.decode()
    rota.layers.get().members.exclude(user__username="anna").delete()
    page = client.get(reverse("notifications:rotas")).content.decode()
    assert "<strong>anna</strong>" in page
    assert "until" not in page
