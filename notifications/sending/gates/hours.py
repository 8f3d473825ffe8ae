"""The gates that hold deliveries: for quiet hours, delivery windows, digests and batches.

They drop nothing, except what would wait for a digest that the user has turned off.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from notifications import conf
from notifications.conf import has_subscribers
from notifications.core.hours import (
    DAYS,
    SEARCH_PERIOD,
    Hours,
    Timetable,
    find_next_hour,
    get_site_quiet_hours,
    get_zone,
    parse_windows,
)
from notifications.core.rules import join_rules
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, BuiltInEvents, NotificationPriority, key_of
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts

logger = logging.getLogger("notifications.gates")

DIGEST_INTERVALS = (UserSettings.Digest.DAILY, UserSettings.Digest.WEEKLY)


def quiet_hours(facts: Facts) -> Answer:
    """Hold until the first instant that is outside the quiet hours and inside the delivery windows of the channel.

    Delivery windows are ignored from eight days after ``wanted_at``, so that no delivery waits forever. Quiet hours
    always apply.
    """
    if facts.person.settings is None and not conf.current().quiet_hours:
        return Deliver()
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
    quiet = settings.quiet_hours if settings else get_site_quiet_hours()
    windows = _get_windows(settings, facts.channel)
    if quiet is None and not windows:
        return None
    return Timetable(get_zone(settings.time_zone if settings else ""), quiet, windows)


def find_opening(timetable: Timetable | None, moment: datetime, wanted_at: datetime) -> datetime:
    """Return the first instant, not before ``moment``, at which the delivery may be sent."""
    return timetable.find_opening(moment, wanted_at + SEARCH_PERIOD) if timetable else moment


def find_openings_without_each(
    facts: Facts, timetable: Timetable | None, moment: datetime, wanted_at: datetime
) -> dict[Rule, datetime]:
    """Return by rule when the delivery could be sent if this rule did not apply.

    With quiet hours until 07:00 and a delivery window from 09:00, the time is 09:00 without the quiet hours and 07:00
    without the window.
    """
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
        _choose_reason(timetable, moment, until, without),
        find_deciding_rule(until, without),
    )


def _choose_reason(timetable: Timetable, moment: datetime, until: datetime, without: Mapping[Rule, datetime]) -> Reason:
    """Return the reason of a hold: if both quiet hours and windows apply, the one that decides on ``until``.

    If both or neither decide, it is the one that applies at ``moment``, quiet hours first.

    :param without: by rule, the time without that rule.
    """
    decisive = {rule.kind for rule, time in without.items() if time != until}
    quiet_hours_decide = RuleKind.QUIET_HOURS in decisive
    windows_decide = RuleKind.DELIVERY_WINDOWS in decisive
    if quiet_hours_decide == windows_decide:
        quiet_hours_decide = timetable.skip_quiet_hours(moment) > moment
    return Reason.QUIET_HOURS if quiet_hours_decide else Reason.DELIVERY_WINDOW


def _build_quiet_rule(facts: Facts, timetable: Timetable) -> Rule:
    is_users = facts.person.settings is not None and facts.person.settings.has_own_quiet_hours
    detail = {"hours": str(timetable.quiet), "zone": timetable.zone.key}
    return Rule(RuleKind.QUIET_HOURS, "user" if is_users else "site", detail)


def _build_windows_rule(facts: Facts, timetable: Timetable) -> Rule:
    windows = ", ".join(map(str, timetable.windows))
    detail = {"channel": facts.channel, "hours": windows, "zone": timetable.zone.key}
    return Rule(RuleKind.DELIVERY_WINDOWS, "user", detail)


def _get_windows(settings: UserSettings | None, channel: str) -> tuple[Hours, ...]:
    if settings is None or not settings.delivery_windows:
        return ()
    try:
        return parse_windows(settings.windows_for(channel))
    except (TypeError, ValueError) as error:
        # Settings that were saved without validation must not hold deliveries forever.
        logger.warning("The delivery windows of settings %s are ignored: %s", settings.pk, error)
        return ()


def digest(facts: Facts) -> Answer:
    """Hold for the user's digest or, if the user has none, for the batch window of the event.

    CRITICAL deliveries do not wait, nor do deliveries that would expire before then. Channels without addresses, such
    as the log, and those with subscribers, such as webhooks, never wait, so they keep one entry for each notification.
    """
    if facts.effective_priority == NotificationPriority.CRITICAL or not facts.kind or has_subscribers(facts.channel):
        return Deliver()
    hold = None
    if facts.person.settings is not None:
        hold = _hold_for_digest(facts, facts.person.settings)
    if hold is None and facts.event.batch_window:
        hold = _hold_for_batch(facts)
    if hold is None or (facts.expires_at is not None and facts.expires_at <= hold.until):
        return Deliver()
    if hold.reason is Reason.DIGEST and (rule := find_digest_opt_out(facts.person.settings, facts.channel)):
        return Drop(Reason.PREFERENCE, rule)
    return hold


def find_digest_opt_out(settings: UserSettings | None, channel: str) -> Rule | None:
    """Return the rule by which a user has turned off their digest on a channel; None if they have not.

    What would wait for it is dropped, because who unsubscribes from a digest does not want its items one by one.
    """
    if settings is None:
        return None
    member = DIGESTS.get(settings.digest, BuiltInEvents.DAILY_DIGEST)
    event = NOTIFICATION_EVENTS[member]
    choice = settings.find_choice(event.name, event.category, channel)
    return None if choice is None or choice[0] else choice[1]


def _hold_for_digest(facts: Facts, settings: UserSettings) -> Hold | None:
    # The host's own preference source may return any value.
    is_used = settings.digest in DIGEST_INTERVALS
    if not is_used or not facts.event.may_wait_for_digest(facts.effective_priority):
        return None
    if facts.channel not in map(key_of, conf.current().digest_channels):
        return None
    zone = get_zone(settings.time_zone)
    weekly = settings.digest == UserSettings.Digest.WEEKLY
    try:
        due = find_next_hour(facts.decision_time, settings.digest_hour, settings.digest_day if weekly else None, zone)
    except ValueError as error:
        # Settings that were saved without validation must not hold deliveries forever.
        logger.warning("The digest of settings %s is ignored: %s", settings.pk, error)
        return None
    day = f" on {DAYS[settings.digest_day]}" if weekly else ""
    detail = {"interval": settings.digest, "time": f"{settings.digest_hour:02}:00{day}", "zone": zone.key}
    rule = Rule(RuleKind.DIGEST, "user", detail)
    # The limit on waiting for delivery windows counts from the hour of the digest.
    return _build_hold(facts, Reason.DIGEST, rule, get_person_timetable(facts), due, due)


def _hold_for_batch(facts: Facts) -> Hold | None:
    seconds = facts.event.batch_seconds
    # A call with a send_at means that time, not the end of a batch window after it.
    if not seconds or (facts.has_own_time and not facts.event.batch_scheduled):
        return None
    due = facts.decision_time + timedelta(seconds=seconds)
    rule = Rule(RuleKind.BATCH, "event", {"seconds": seconds})
    return _build_hold(facts, Reason.BATCH, rule, get_timetable(facts), due, facts.wanted_at)


def _build_hold(
    facts: Facts, reason: Reason, rule: Rule, timetable: Timetable | None, due: datetime, wanted_at: datetime
) -> Hold:
    until = find_opening(timetable, due, wanted_at)
    hours = find_openings_without_each(facts, timetable, due, wanted_at)
    return Hold(until, reason, find_deciding_rule(until, {rule: _find_due_otherwise(facts, reason), **hours}))


def _find_due_otherwise(facts: Facts, reason: Reason) -> datetime:
    """Return when the delivery would be sent if it did not wait for this."""
    batch = _hold_for_batch(facts) if reason is Reason.DIGEST else None
    return batch.until if batch else find_opening(get_timetable(facts), facts.decision_time, facts.wanted_at)
