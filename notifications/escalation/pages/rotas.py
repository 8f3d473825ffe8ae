"""The pages of rotas: who is on call now and next, a month as a calendar, and a feed for calendar programs.

Members of the cluster of a rota see it, and staff with the permission ``klaxon.view_rota``. A feed is a signed link of
one user, because calendar programs cannot log in. It stops working when the user may not see the rota any more.
"""

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.signing import BadSignature, Signer
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from notifications import conf
from notifications.core import clock
from notifications.core.hours import first_instant
from notifications.core.languages import in_own_language
from notifications.escalation.ical import CalendarEvent, build_calendar
from notifications.escalation.rota import Schedule, Shift
from notifications.escalation.schedules import load_schedule
from notifications.models import Rota, get_cluster_model, get_members

TEMPLATES = "notifications/rotas/"
SALT = "notifications.rotas"
PERMISSION = "klaxon.view_rota"
FEED_PAST, FEED_FUTURE = timedelta(days=30), timedelta(days=180)
LOOK_AHEAD = timedelta(days=60)
MAX_ROTAS = 200


@dataclass(frozen=True)
class NamedShift:
    """A shift with the name of its member, and its times in the zone of the rota."""

    start: datetime
    end: datetime
    name: str
    is_override: bool

    @property
    def is_gap(self) -> bool:
        return not self.name

    @property
    def hours(self) -> str:
        """The times of a part that falls on one day. The end of the day is 24:00."""
        end = "24:00" if self.end.time() == time() else f"{self.end:%H:%M}"
        return f"{self.start:%H:%M}–{end}"

    @property
    def is_whole_day(self) -> bool:
        return self.hours == "00:00–24:00"


@dataclass(frozen=True)
class Day:
    """A day of the calendar with the parts of shifts that fall on it."""

    date: date
    is_today: bool
    shifts: Sequence[NamedShift]


def list_visible_rotas(user: Any) -> list[Rota]:
    """Return the rotas that a user may see, by name."""
    rotas = Rota.objects.with_plan().order_by("name", "pk")
    if user.has_perm(PERMISSION):
        return list(rotas[:MAX_ROTAS])
    clusters = get_cluster_model()._default_manager.filter(pk__in=Rota.objects.values("cluster"))
    own = [cluster.pk for cluster in clusters if get_members(cluster).filter(pk=user.pk).exists()]
    return list(rotas.filter(cluster__in=own)[:MAX_ROTAS])


def may_see(user: Any, rota: Rota) -> bool:
    """Return whether a user may see a rota."""
    is_member = get_members(rota.cluster).filter(pk=user.pk, is_active=True).exists()
    return user.is_active and (is_member or user.has_perm(PERMISSION))


def name_members(schedule: Schedule) -> dict[Any, str]:
    """Return the names of everybody in a schedule."""
    keys = {member for layer in schedule.layers for member in layer.members}
    keys |= {override.member for override in schedule.overrides}
    users = get_user_model()._default_manager.filter(pk__in=keys)
    return {user.pk: user.get_full_name() or user.get_username() for user in users}


def name_shift(shift: Shift, names: Mapping[Any, str], zone: ZoneInfo) -> NamedShift:
    name = "" if shift.member is None else names.get(shift.member, "?")
    return NamedShift(shift.start.astimezone(zone), shift.end.astimezone(zone), name, shift.source == "override")


def list_days(first: date, last: date, shifts: Iterable[NamedShift], zone: ZoneInfo, today: date) -> list[Day]:
    """Return the days from the first to the last with the parts of shifts that fall on each."""
    shifts, days = list(shifts), []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        start, end = (first_instant(datetime.combine(one, time()), zone) for one in (day, day + timedelta(days=1)))
        parts = [
            NamedShift(
                max(shift.start, start).astimezone(zone),
                min(shift.end, end).astimezone(zone),
                shift.name,
                shift.is_override,
            )
            for shift in shifts
            if shift.start < end and start < shift.end
        ]
        days.append(Day(day, day == today, parts))
    return days


@method_decorator([never_cache, in_own_language], name="dispatch")
class RotaList(LoginRequiredMixin, View):
    """The rotas of the user, with who is on call now."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        now, rows = clock.cached_now(), []
        for rota in list_visible_rotas(request.user):
            schedule = load_schedule(rota)
            rows.append({"rota": rota, **describe_now(schedule, now, name_members(schedule))})
        return render(request, f"{TEMPLATES}list.html", {"rows": rows})


@method_decorator([never_cache, in_own_language], name="dispatch")
class RotaCalendar(LoginRequiredMixin, View):
    """A month of a rota. ``?month=2026-11`` selects it; by default, it is the present one in the zone of the rota."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        rota = Rota.objects.with_plan().filter(pk=pk).first()
        if rota is None or not may_see(request.user, rota):
            raise Http404("There is no such rota.")
        now, zone = clock.cached_now(), rota.zone
        today = now.astimezone(zone).date()
        month = parse_month(request.GET.get("month", ""), today)
        schedule = load_schedule(rota)
        names = name_members(schedule)
        days = self.list_month(schedule, names, month, today)
        context = {
            "rota": rota,
            "month": month,
            "previous": month - timedelta(days=1),
            "next": (month + timedelta(days=31)).replace(day=1),
            "days": days,
            "offset": month.weekday() + 1,
            "has_gaps": any(shift.is_gap for day in days for shift in day.shifts),
            "feed_url": request.build_absolute_uri(make_feed_path(request.user, rota)),
            **describe_now(schedule, now, names),
        }
        return render(request, f"{TEMPLATES}calendar.html", context)

    def list_month(self, schedule: Schedule, names: Mapping[Any, str], month: date, today: date) -> list[Day]:
        zone = schedule.zone
        last = month.replace(day=calendar.monthrange(month.year, month.month)[1])
        start = first_instant(datetime.combine(month, time()), zone)
        end = first_instant(datetime.combine(last + timedelta(days=1), time()), zone)
        shifts = [name_shift(shift, names, zone) for shift in schedule.list_shifts(start, end)]
        return list_days(month, last, shifts, zone, today)


def parse_month(text: str, today: date) -> date:
    """Return the first day of a month such as ``2026-11``; that of today if it is none."""
    try:
        month = datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007 - only its date is used
    except ValueError:
        return today.replace(day=1)
    is_shown = abs(month.year - today.year) <= 10
    return month if is_shown else today.replace(day=1)


def describe_now(schedule: Schedule, now: datetime, names: Mapping[Any, str]) -> dict[str, Any]:
    """Return who is on call now, whether that ends in the next 60 days, and who is next."""
    horizon = now + LOOK_AHEAD
    shifts = schedule.list_shifts(now, horizon)
    following = schedule.find_next(now)
    return {
        "current": name_shift(shifts[0], names, schedule.zone),
        "has_end": shifts[0].end < horizon,
        "following": name_shift(following, names, schedule.zone) if following else None,
    }


def make_feed_path(user: Any, rota: Rota) -> str:
    """Return the path of the feed of a rota for one user."""
    token = Signer(salt=SALT, sep=".").sign_object([str(user.pk), rota.pk])
    return reverse("notifications:rota-feed", args=[token])


@login_not_required
@never_cache
@require_safe
def show_feed(request: HttpRequest, token: str) -> HttpResponse:
    """Return the shifts of a rota in the format iCalendar: of the last 30 days and the next 180.

    :raises Http404: if the token is invalid, or its user may not see the rota any more.
    """
    try:
        user_key, rota_pk = Signer(salt=SALT, sep=".").unsign_object(token)
    except (BadSignature, ValueError) as error:
        raise Http404("This address is not valid.") from error
    user = get_user_model()._default_manager.filter(pk=user_key).first()
    rota = Rota.objects.with_plan().filter(pk=rota_pk).first()
    if user is None or rota is None or not may_see(user, rota):
        raise Http404("This address is not valid.")
    now = clock.cached_now()
    response = HttpResponse(build_feed(rota, now), content_type="text/calendar; charset=utf-8")
    response.headers["Content-Disposition"] = f'inline; filename="{rota.key}.ics"'
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def build_feed(rota: Rota, now: datetime) -> bytes:
    """Return the calendar of a rota around a time."""
    schedule = load_schedule(rota)
    names, host = name_members(schedule), conf.current().base_url.partition("//")[2] or "klaxon"
    events = []
    # From whole days, so that the first shift keeps its start, and with it its id, for a day.
    start = first_instant(datetime.combine((now - FEED_PAST).astimezone(rota.zone).date(), time()), rota.zone)
    for shift in schedule.list_shifts(start, start + FEED_PAST + FEED_FUTURE):
        name = _("Nobody is on call") if shift.member is None else names.get(shift.member, "?")
        uid = f"rota-{rota.pk}-{shift.start:%Y%m%dT%H%M%S}@{host}"
        events.append(CalendarEvent(uid, shift.start, shift.end, f"{rota.name}: {name}"))
    return build_calendar(rota.name, events, now)
