"""Digests and batches: what can wait does so until it goes out together with others. Nothing is dropped here."""

import logging
from datetime import datetime, timedelta

from notifications import conf
from notifications.events import NotificationPriority, key_of
from notifications.gates.facts import Facts
from notifications.gates.quiet_hours import first_open, hours_of_person, timetable_of
from notifications.hours import DAYS, next_time
from notifications.models import UserSettings
from notifications.outcomes import Answer, Deliver, Hold, Reason
from notifications.zones import known_zone

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
    zone = known_zone(settings.time_zone)
    weekly = settings.digest == UserSettings.Digest.WEEKLY
    try:
        due = next_time(facts.moment, settings.digest_hour, settings.digest_day if weekly else None, zone)
    except ValueError as error:
        # Written past the validation of the settings; it must not keep their mail back.
        logger.warning("The digest of settings %s is left out: %s", settings.pk, error)
        return None
    day = f" on {DAYS[settings.digest_day]}" if weekly else ""
    rule = f"{settings.digest} digest of this user: {settings.digest_hour:02}:00{day} {zone.key}"
    return Hold(first_open(facts, hours_of_person(facts), due), Reason.DIGEST, rule)


def _for_batch(facts: Facts) -> Hold | None:
    seconds = facts.event.batch_seconds
    if not seconds:
        return None
    due = facts.moment + timedelta(seconds=seconds)
    rule = f"event: batch window of {seconds:g} seconds"
    return Hold(first_open(facts, timetable_of(facts), due), Reason.BATCH, rule)
