"""Quiet hours and delivery windows: what is wanted waits for its hour. Nothing is dropped here."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from notifications.core.hours import SEARCH_PERIOD, Hours, Timetable, get_site_quiet_hours, parse_windows
from notifications.core.rules import join_rules
from notifications.core.zones import get_zone
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts

logger = logging.getLogger("notifications.gates")


def quiet_hours(facts: Facts) -> Answer:
    """Hold until the first instant at which it is neither quiet nor outside the windows of the channel.

    Windows count until eight days after the delivery was wanted, so that nothing waits for ever; quiet hours always do.
    """
    timetable = get_timetable(facts)
    return _answer(facts, timetable) if timetable else Deliver()


def get_timetable(facts: Facts) -> Timetable | None:
    """The hours that this is to keep on this channel, or None if it may go at any."""
    return None if facts.event.goes_at_any_hour else get_person_timetable(facts)


def get_person_timetable(facts: Facts) -> Timetable | None:
    """The hours that all keep which does not go at any hour, such as a digest, whatever is in it."""
    # A channel without addresses, such as the log, wakes nobody.
    if not facts.kind or facts.person.has_no_account:
        return None
    settings = facts.person.settings
    quiet, windows = _quiet_hours(settings), _windows(settings, facts.channel)
    if quiet is None and not windows:
        return None
    return Timetable(get_zone(settings.time_zone if settings else ""), quiet, windows)


def first_open(timetable: Timetable | None, moment: datetime, wanted_at: datetime) -> datetime:
    """The first instant, not before ``moment``, at which it may go out."""
    return timetable.find_opening(moment, wanted_at + SEARCH_PERIOD) if timetable else moment


def openings_without_each(
    facts: Facts, timetable: Timetable | None, moment: datetime, wanted_at: datetime
) -> dict[Rule, datetime]:
    """The first instants if one or the other of these hours were not kept, by its rule."""
    found = {}
    if timetable and timetable.quiet:
        found[_quiet_rule(facts, timetable)] = first_open(replace(timetable, quiet=None), moment, wanted_at)
    if timetable and timetable.windows:
        found[_windows_rule(facts, timetable)] = first_open(replace(timetable, windows=()), moment, wanted_at)
    return found


def find_deciding_rule(until: datetime, without: Mapping[Rule, datetime]) -> Rule:
    """What decides on a moment: the rules without which it would be another. Where it takes several of them, all.

    :param without: by rule, the moment that it would be without it.
    """
    alone = tuple(rule for rule, moment in without.items() if moment != until)
    return join_rules(RuleKind.EACH_OF, alone) if alone else join_rules(RuleKind.TOGETHER, tuple(without))


def _answer(facts: Facts, timetable: Timetable) -> Answer:
    moment = facts.moment
    until = first_open(timetable, moment, facts.wanted_at)
    if until == moment:
        return Deliver()
    without = openings_without_each(facts, timetable, moment, facts.wanted_at)
    return Hold(
        until, _reason(timetable, moment, [at != until for at in without.values()]), find_deciding_rule(until, without)
    )


def _reason(timetable: Timetable, moment: datetime, decide: Sequence[bool]) -> Reason:
    """What is waited for; where quiet hours and windows are kept, whichever decides.

    :param decide: of each kind of hours that are kept, quiet hours first, whether the moment would be another without.
    """
    if decide == [False, True]:
        return Reason.DELIVERY_WINDOW
    is_quiet = decide == [True, False] or timetable.skip_quiet_hours(moment) > moment
    return Reason.QUIET_HOURS if is_quiet else Reason.DELIVERY_WINDOW


def _quiet_rule(facts: Facts, timetable: Timetable) -> Rule:
    own = facts.person.settings is not None and facts.person.settings.chooses_quiet_hours
    detail = {"hours": str(timetable.quiet), "zone": timetable.zone.key}
    return Rule(RuleKind.QUIET_HOURS, "user" if own else "site", detail)


def _windows_rule(facts: Facts, timetable: Timetable) -> Rule:
    windows = ", ".join(map(str, timetable.windows))
    detail = {"channel": facts.channel, "hours": windows, "zone": timetable.zone.key}
    return Rule(RuleKind.DELIVERY_WINDOWS, "user", detail)


def _quiet_hours(settings: UserSettings | None) -> Hours | None:
    return settings.quiet_hours if settings else get_site_quiet_hours()


def _windows(settings: UserSettings | None, channel: str) -> tuple[Hours, ...]:
    if settings is None or not settings.delivery_windows:
        return ()
    try:
        return parse_windows(settings.windows_for(channel))
    except (TypeError, ValueError) as error:
        # Written past the validation of the settings; it must not keep their mail back.
        logger.warning("The delivery windows of settings %s are left out: %s", settings.pk, error)
        return ()
