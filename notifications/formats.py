"""Format money and dates in the active language and time zone, with the locale data of Babel.

These functions need the extra ``formats``. Use them in the ``transforms`` of an event::

    def for_email(context):
        return {**context, "formatted_amount": money(context["amount"], "USD")}
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone, translation

from notifications.core import extras

babel, dates, numbers = map(extras.import_optional, ("babel", "babel.dates", "babel.numbers"))


def _get_locale() -> Any:
    for language in (translation.get_language(), settings.LANGUAGE_CODE):
        try:
            return babel.Locale.parse(translation.to_locale(language or ""))
        except (babel.UnknownLocaleError, ValueError):
            continue
    return babel.Locale("en")


def _to_local(value: date) -> date:
    return timezone.localtime(value) if isinstance(value, datetime) and timezone.is_aware(value) else value


def money(amount: Decimal | float, currency: str) -> str:
    """Return an amount such as ``$150.00``.

    :param currency: an ISO 4217 code.
    """
    return numbers.format_currency(amount, currency, locale=_get_locale())


def short_money(amount: Decimal | float, currency: str) -> str:
    """Return an amount such as ``$150``, with cents only if there are any, for channels with little space."""
    is_integer = amount == int(amount)
    pattern = _get_locale().currency_formats["standard"].pattern
    short = pattern.replace(".00", "") if is_integer else pattern
    return numbers.format_currency(amount, currency, format=short, locale=_get_locale(), currency_digits=not is_integer)


def long_date(value: date) -> str:
    """Return a date such as ``February 15, 2024``."""
    return dates.format_date(_to_local(value), "long", locale=_get_locale())


def short_date(value: date) -> str:
    """Return a date such as ``Feb 15``."""
    return dates.format_skeleton("MMMd", _to_local(value), locale=_get_locale())


def clock_time(value: datetime) -> str:
    """Return a time such as ``14:30``, with 24 hours."""
    return f"{_to_local(value):%H:%M}"
