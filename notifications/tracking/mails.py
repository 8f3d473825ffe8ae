"""Record the reports of the mails in a mailbox, and of those that an email service receives."""

from collections import Counter

from django.db import router

from notifications.core.databases import read_from_primary
from notifications.exceptions import MissingExtra
from notifications.models import Delivery
from notifications.tracking.bounce_mails import find_named_ids, read_reports
from notifications.tracking.record import find_delivery, record_named

UNREADABLE = "unreadable"
UNREADABLE_HINT = (
    "Only flufl.bounce can read returned mails in the formats of old servers. "
    "Install it with: pip install 'django-klaxon[bounces]'"
)


def record_mail(raw: bytes) -> Counter[str]:
    """Record what a mail reports; return the number of its reports by what became of them.

    The keys are the results of :func:`~notifications.tracking.record.record_named`, and ``"unreadable"`` for a mail
    that names a delivery and that only flufl.bounce can read, which is not installed.
    """
    try:
        reports = read_reports(raw)
    except MissingExtra:
        # Anyone can write such a mail. Without the id of a delivery, the extra would not match it either.
        return Counter({UNREADABLE: 1}) if _names_delivery(raw) else Counter()
    return Counter(map(record_named, reports))


@read_from_primary()
def _names_delivery(raw: bytes) -> bool:
    return find_delivery(find_named_ids(raw), "", router.db_for_write(Delivery)) is not None
