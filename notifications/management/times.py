"""Parse times on the command line."""

from datetime import datetime

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime


def parse_time(text: str | None, option: str) -> datetime | None:
    """Parse ``2026-11-20`` or ``2026-11-20T14:00``, in the site's time zone unless the text names an offset.

    :raises CommandError: if the text is not a time.
    """
    if text is None:
        return None
    try:
        day = parse_date(text)
        time = datetime.combine(day, datetime.min.time()) if day else parse_datetime(text)
    except ValueError:
        time = None
    if time is None:
        raise CommandError(f"{option} must be a time such as 2026-11-20 or 2026-11-20T14:00, not {text!r}.")
    return timezone.make_aware(time) if timezone.is_naive(time) else time
