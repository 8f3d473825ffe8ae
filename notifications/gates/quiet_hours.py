"""Quiet hours and delivery windows: what is wanted waits for its hour. Nothing is dropped here."""

import logging
from datetime import datetime

from notifications.gates.facts import Facts
from notifications.hours import PATIENCE, Hours, Timetable, site_quiet_hours, windows_from
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Hold, Reason
from notifications.zones import known_zone

logger = logging.getLogger("notifications.gates")


def quiet_hours(facts: Facts) -> Answer:
    """Hold until the first instant at which it is neither quiet nor outside the windows of the channel.

    Windows count until eight days after the delivery was wanted, so that nothing waits for ever; quiet hours always do.
    """
    timetable = timetable_of(facts)
    return _answer(facts, timetable) if timetable else Deliver()


def timetable_of(facts: Facts) -> Timetable | None:
    """The hours that this is to keep on this channel, or None if it may go at any."""
    return None if facts.event.goes_at_any_hour else hours_of_person(facts)


def hours_of_person(facts: Facts) -> Timetable | None:
    """The hours that all keep which does not go at any hour, such as a digest, whatever is in it."""
    # A channel without addresses, such as the log, wakes nobody.
    if not facts.kind or facts.person.has_no_account:
        return None
    settings = facts.person.settings
    quiet, windows = _quiet_hours(settings), _windows(settings, facts.channel)
    if quiet is None and not windows:
        return None
    return Timetable(known_zone(settings.time_zone if settings else ""), quiet, windows)


def first_open(facts: Facts, timetable: Timetable | None, moment: datetime) -> datetime:
    """The first instant, not before ``moment``, at which it may go out."""
    return timetable.first_open(moment, facts.wanted_at + PATIENCE) if timetable else moment


def _answer(facts: Facts, timetable: Timetable) -> Answer:
    moment = facts.moment
    until = first_open(facts, timetable, moment)
    if until == moment:
        return Deliver()
    if timetable.after_quiet(moment) > moment:
        own = facts.person.settings is not None and facts.person.settings.chooses_quiet_hours
        whose = "user" if own else "site"
        return Hold(until, Reason.QUIET_HOURS, f"quiet hours of this {whose}: {timetable.quiet} {timetable.zone.key}")
    windows = ", ".join(map(str, timetable.windows))
    rule = f"delivery windows of this user for {facts.channel}: {windows} {timetable.zone.key}"
    return Hold(until, Reason.DELIVERY_WINDOW, rule)


def _quiet_hours(settings: UserSettings | None) -> Hours | None:
    return settings.quiet_hours if settings else site_quiet_hours()


def _windows(settings: UserSettings | None, channel: str) -> tuple[Hours, ...]:
    if settings is None or not settings.delivery_windows:
        return ()
    try:
        return windows_from(settings.windows_for(channel))
    except (TypeError, ValueError) as error:
        # Written past the validation of the settings; it must not keep their mail back.
        logger.warning("The delivery windows of settings %s are left out: %s", settings.pk, error)
        return ()
