"""What a change of preferences does to the notifications that wait. The gates decide, as a worker does later."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from notifications.core.rules import describe_rule
from notifications.events import NOTIFICATION_EVENTS
from notifications.explain.steps import GROUPED_REASONS, get_recipient_zone
from notifications.models import Delivery, Suppression
from notifications.models.suppression import SuppressedAddress
from notifications.outcomes import WAITING, Answer, Deliver, DeliveryState, Drop, Hold, Reason
from notifications.preference_centre.owner import Owner, Standing
from notifications.sending.gates import DIGEST_ITEM_GATES, RECHECKED_GATES, find_obstacle, recheck
from notifications.sending.gates.facts import build_facts, collect_addresses
from notifications.sending.gates.hours import find_digest_opt_out, find_opening, get_person_timetable, get_timetable

MAX_DELIVERIES = 500


@dataclass(frozen=True)
class Fate:
    """What happens to a waiting delivery: it is sent at a time, or is not sent.

    :param at: when it is sent at the earliest; None if it is not sent.
    :param rule: the rule that decides, as text; empty if it is sent at once.
    """

    at: datetime | None
    rule: str = ""


@dataclass(frozen=True)
class Forecast:
    """The effect of a change on the deliveries that wait.

    :param lines: a sentence for each fate of those that the change affects.
    :param unchanged: the number of the others.
    :param is_cut_off: whether there are more than were looked at.
    """

    lines: Sequence[str]
    unchanged: int
    is_cut_off: bool


def make_forecast(owner: Owner, before: Standing, after: Standing) -> Forecast:
    """Return what a change does to the deliveries that wait, at most the newest 500. Takes two queries."""
    waiting = Delivery.objects.filter(
        recipient=owner.user,
        notification__cluster_id=owner.cluster.pk,
        state__in=WAITING,
        channel__in=owner.channels,
    )
    rows = waiting.select_related("notification__cluster").defer("notification__context").order_by("-pk")
    found = [row for row in rows[: MAX_DELIVERIES + 1] if find_obstacle(row) is None]
    deliveries = found[:MAX_DELIVERIES]
    suppressed = Suppression.objects.find_suppressed(collect_addresses(deliveries))
    fates: Counter[Fate] = Counter()
    unchanged = 0
    for delivery in deliveries:
        fate = predict(delivery, after, suppressed)
        if fate == predict(delivery, before, suppressed):
            unchanged += 1
        else:
            fates[fate] += 1
    lines = [_describe_fate(fate, number, after) for fate, number in sorted(fates.items(), key=_get_order)]
    return Forecast(lines, unchanged, len(found) > MAX_DELIVERIES)


def predict(delivery: Delivery, standing: Standing, suppressed: frozenset[SuppressedAddress]) -> Fate:
    """Return what happens to a delivery when its time comes, if nothing else changes."""
    moment = max(standing.now, delivery.due_at or standing.now)
    waits_for_others = delivery.state == DeliveryState.HELD and delivery.reason in GROUPED_REASONS
    gates = DIGEST_ITEM_GATES if waits_for_others else RECHECKED_GATES
    answer = recheck(delivery, standing.person, suppressed, moment, gates)
    if waits_for_others and isinstance(answer, Deliver):
        answer = _decide_group(delivery, standing, suppressed, moment)
    return _build_fate(delivery, answer, moment, standing.now)


def _decide_group(
    delivery: Delivery, standing: Standing, suppressed: frozenset[SuppressedAddress], moment: datetime
) -> Answer:
    """Return the answer for the digest or batch of a delivery, which the quiet hours hold as a whole."""
    facts = build_facts(delivery, standing.person, suppressed, moment)
    is_digest = delivery.reason == Reason.DIGEST
    opt_out = find_digest_opt_out(standing.settings, delivery.channel) if is_digest else None
    if opt_out and not NOTIFICATION_EVENTS.find(delivery.notification.event).bypasses_preferences:
        return Drop(Reason.PREFERENCE, opt_out)
    timetable = get_person_timetable(facts) if is_digest else get_timetable(facts)
    return Hold(find_opening(timetable, moment, moment), Reason(delivery.reason))


def _build_fate(delivery: Delivery, answer: Answer, moment: datetime, now: datetime) -> Fate:
    if isinstance(answer, Drop):
        return Fate(None, describe_rule(answer.rule) or str(answer.reason.label))
    at = max(moment, answer.until) if isinstance(answer, Hold) else moment
    expires_at = delivery.notification.expires_at
    if expires_at is not None and expires_at <= at:
        return Fate(None, str(Reason.EXPIRED.label))
    if at <= now:
        return Fate(now)
    rule = describe_rule(answer.rule) if isinstance(answer, Hold) else ""
    return Fate(at, rule or str(Reason(delivery.reason).label if delivery.reason else ""))


def _get_order(item: tuple[Fate, int]) -> tuple[bool, float, str]:
    fate, _number = item
    return fate.at is None, fate.at.timestamp() if fate.at else 0, fate.rule


def _describe_fate(fate: Fate, number: int, standing: Standing) -> str:
    """Return a sentence such as "3 notifications wait until 07:00: quiet hours of this user: 22:00–07:00 UTC"."""
    if fate.at is None:
        text = ngettext("%(number)d notification is not sent", "%(number)d notifications are not sent", number)
    elif fate.at <= standing.now:
        text = ngettext("%(number)d notification is sent now", "%(number)d notifications are sent now", number)
    else:
        text = ngettext(
            "%(number)d notification waits until %(time)s", "%(number)d notifications wait until %(time)s", number
        )
    values = {"number": number, "time": _format_moment(fate.at, standing) if fate.at else ""}
    sentence = text % values
    return _("{sentence}: {rule}").format(sentence=sentence, rule=fate.rule) if fate.rule else f"{sentence}."


def _format_moment(moment: datetime, standing: Standing) -> str:
    """Return a time in the zone of the user: the hour today, otherwise also the day."""
    zone = get_recipient_zone(standing.person)
    local = timezone.localtime(moment, zone)
    hour = f"{local:%H:%M}"
    if local.date() == timezone.localtime(standing.now, zone).date():
        return hour
    return _("{time} on {day}").format(time=hour, day=date_format(local, "SHORT_DATE_FORMAT"))
