"""Hold deliveries for quiet hours and delivery windows. This gate drops nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from notifications.core.hours import SEARCH_PERIOD, Hours, Timetable, get_site_quiet_hours, get_zone, parse_windows
from notifications.core.rules import join_rules
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts

logger = logging.getLogger("notifications.gates")


def quiet_hours(facts: Facts) -> Answer:
    """Hold until the first instant that is outside the quiet hours and inside the delivery windows of the channel.

    Delivery windows are ignored from eight days after ``wanted_at``, so that no delivery waits forever. Quiet hours
    always apply.
    """
    timetable = get_timetable(facts)
    return _hold_until_open(facts, timetable) if timetable else Deliver()


def get_timetable(facts: Facts) -> Timetable | None:
    """Return the hours that apply to this delivery; None if it may be sent at any time."""
    return None if facts.event.is_sent_at_any_hour else get_person_timetable(facts)


def get_person_timetable(facts: Facts) -> Timetable | None:
    """Return the hours of this person and channel, whatever the event is; None if there are none.

    They apply to digests regardless of their items.
    """
    # A channel without addresses, such as the log, disturbs nobody.
    if not facts.kind or facts.person.has_no_account:
        return None
    settings = facts.person.settings
    quiet, windows = _get_quiet_hours(settings), _get_windows(settings, facts.channel)
    if quiet is None and not windows:
        return None
    return Timetable(get_zone(settings.time_zone if settings else ""), quiet, windows)


def find_opening(timetable: Timetable | None, moment: datetime, wanted_at: datetime) -> datetime:
    """Return the first instant, not before ``moment``, at which the delivery may be sent."""
    return timetable.find_opening(moment, wanted_at + SEARCH_PERIOD) if timetable else moment


def find_openings_without_each(
    facts: Facts, timetable: Timetable | None, moment: datetime, wanted_at: datetime
) -> dict[Rule, datetime]:
    """Return by rule when the delivery could be sent if this rule did not apply."""
    openings = {}
    if timetable and timetable.quiet:
        openings[_build_quiet_rule(facts, timetable)] = find_opening(replace(timetable, quiet=None), moment, wanted_at)
    if timetable and timetable.windows:
        openings[_build_windows_rule(facts, timetable)] = find_opening(
            replace(timetable, windows=()), moment, wanted_at
        )
    return openings


def find_deciding_rule(until: datetime, without: Mapping[Rule, datetime]) -> Rule:
    """Return the rule that decides on ``until``.

    It joins the rules without which the time would be another, or all rules if no single one changes it.

    :param without: by rule, the time without that rule.
    """
    decisive = tuple(rule for rule, moment in without.items() if moment != until)
    return join_rules(RuleKind.EACH_OF, decisive) if decisive else join_rules(RuleKind.TOGETHER, tuple(without))


def _hold_until_open(facts: Facts, timetable: Timetable) -> Answer:
    moment = facts.decision_time
    until = find_opening(timetable, moment, facts.wanted_at)
    if until == moment:
        return Deliver()
    without = find_openings_without_each(facts, timetable, moment, facts.wanted_at)
    return Hold(
        until,
        _choose_reason(timetable, moment, [at != until for at in without.values()]),
        find_deciding_rule(until, without),
    )


def _choose_reason(timetable: Timetable, moment: datetime, decides: Sequence[bool]) -> Reason:
    """Return the reason of a hold: if both quiet hours and windows apply, the one that decides.

    :param decides: for each that applies, quiet hours first, whether the time would be another without it.
    """
    if decides == [False, True]:
        return Reason.DELIVERY_WINDOW
    is_quiet = decides == [True, False] or timetable.skip_quiet_hours(moment) > moment
    return Reason.QUIET_HOURS if is_quiet else Reason.DELIVERY_WINDOW


def _build_quiet_rule(facts: Facts, timetable: Timetable) -> Rule:
    is_users = facts.person.settings is not None and facts.person.settings.has_own_quiet_hours
    detail = {"hours": str(timetable.quiet), "zone": timetable.zone.key}
    return Rule(RuleKind.QUIET_HOURS, "user" if is_users else "site", detail)


def _build_windows_rule(facts: Facts, timetable: Timetable) -> Rule:
    windows = ", ".join(map(str, timetable.windows))
    detail = {"channel": facts.channel, "hours": windows, "zone": timetable.zone.key}
    return Rule(RuleKind.DELIVERY_WINDOWS, "user", detail)


def _get_quiet_hours(settings: UserSettings | None) -> Hours | None:
    return settings.quiet_hours if settings else get_site_quiet_hours()


def _get_windows(settings: UserSettings | None, channel: str) -> tuple[Hours, ...]:
    if settings is None or not settings.delivery_windows:
        return ()
    try:
        return parse_windows(settings.windows_for(channel))
    except (TypeError, ValueError) as error:
        # Settings that were saved without validation must not hold deliveries forever.
        logger.warning("The delivery windows of settings %s are ignored: %s", settings.pk, error)
        return ()
