"""Hold deliveries for a digest or batch. This gate drops nothing."""

import logging
from datetime import datetime, timedelta

from notifications import conf
from notifications.core.hours import DAYS, Timetable, find_next_hour, get_zone
from notifications.events import NotificationPriority, key_of
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts
from notifications.sending.gates.quiet_hours import (
    find_deciding_rule,
    find_opening,
    find_openings_without_each,
    get_person_timetable,
    get_timetable,
)

DIGEST_INTERVALS = (UserSettings.Digest.DAILY, UserSettings.Digest.WEEKLY)

logger = logging.getLogger("notifications.gates")


def digest(facts: Facts) -> Answer:
    """Hold for the user's digest or, if the user has none, for the batch window of the event.

    CRITICAL deliveries do not wait, nor do deliveries that would expire before then. Channels without addresses, such
    as the log, never wait, so they keep one entry for each notification.
    """
    if facts.effective_priority == NotificationPriority.CRITICAL or not facts.kind:
        return Deliver()
    hold = _hold_for_digest(facts) or _hold_for_batch(facts)
    return hold if hold and _is_before_expiry(facts, hold.until) else Deliver()


def _is_before_expiry(facts: Facts, until: datetime) -> bool:
    return facts.expires_at is None or until < facts.expires_at


def _hold_for_digest(facts: Facts) -> Hold | None:
    settings = facts.person.settings
    # The host's own preference source may return any value.
    if (
        settings is None
        or settings.digest not in DIGEST_INTERVALS
        or not facts.event.may_wait_for_digest(facts.effective_priority)
    ):
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
