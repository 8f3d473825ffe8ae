"""Digests and batches: what can wait does so until it goes out together with others. Nothing is dropped here."""

import logging
from datetime import datetime, timedelta

from notifications import conf
from notifications.core.hours import DAYS, Timetable, find_next_hour
from notifications.core.zones import get_zone
from notifications.events import NotificationPriority, key_of
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts
from notifications.sending.gates.quiet_hours import (
    find_deciding_rule,
    first_open,
    get_person_timetable,
    get_timetable,
    openings_without_each,
)

DIGESTS = (UserSettings.Digest.DAILY, UserSettings.Digest.WEEKLY)

logger = logging.getLogger("notifications.gates")


def digest(facts: Facts) -> Answer:
    """Hold for the user's digest or, where they have none, for the batch window of the event.

    What would have expired by then goes at once, and so does what is CRITICAL. A channel without addresses, such as
    the log, keeps one entry for each.
    """
    if facts.urgency == NotificationPriority.CRITICAL or not facts.kind:
        return Deliver()
    held = _for_digest(facts) or _for_batch(facts)
    return held if held and _in_time(facts, held.until) else Deliver()


def _in_time(facts: Facts, until: datetime) -> bool:
    return facts.expires_at is None or until < facts.expires_at


def _for_digest(facts: Facts) -> Hold | None:
    settings = facts.person.settings
    # A host's own preferences may have any word.
    if settings is None or settings.digest not in DIGESTS or not facts.event.may_wait_for_digest(facts.urgency):
        return None
    if facts.channel not in map(key_of, conf.current().digest_channels):
        return None
    zone = get_zone(settings.time_zone)
    weekly = settings.digest == UserSettings.Digest.WEEKLY
    try:
        due = find_next_hour(facts.moment, settings.digest_hour, settings.digest_day if weekly else None, zone)
    except ValueError as error:
        # Written past the validation of the settings; it must not keep their mail back.
        logger.warning("The digest of settings %s is left out: %s", settings.pk, error)
        return None
    day = f" on {DAYS[settings.digest_day]}" if weekly else ""
    detail = {"interval": settings.digest, "time": f"{settings.digest_hour:02}:00{day}", "zone": zone.key}
    rule = Rule(RuleKind.DIGEST, "user", detail)
    # The digest is wanted at its hour, so that is how long its windows are waited for.
    return _held(facts, Reason.DIGEST, rule, get_person_timetable(facts), due, due)


def _for_batch(facts: Facts) -> Hold | None:
    seconds = facts.event.batch_seconds
    # Whoever names a time means that time, not one that is a window later.
    if not seconds or (facts.has_own_time and not facts.event.batch_scheduled):
        return None
    due = facts.moment + timedelta(seconds=seconds)
    rule = Rule(RuleKind.BATCH, "event", {"seconds": seconds})
    return _held(facts, Reason.BATCH, rule, get_timetable(facts), due, facts.wanted_at)


def _held(
    facts: Facts, reason: Reason, rule: Rule, timetable: Timetable | None, due: datetime, wanted_at: datetime
) -> Hold:
    until = first_open(timetable, due, wanted_at)
    hours = openings_without_each(facts, timetable, due, wanted_at)
    return Hold(until, reason, find_deciding_rule(until, {rule: _otherwise(facts, reason), **hours}))


def _otherwise(facts: Facts, reason: Reason) -> datetime:
    """When it would go out if it did not wait for this."""
    batch = _for_batch(facts) if reason is Reason.DIGEST else None
    return batch.until if batch else first_open(get_timetable(facts), facts.moment, facts.wanted_at)
