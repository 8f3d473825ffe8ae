"""Formats for context transforms: money and dates in the active language and time zone, by Babel's locale data.

They need the extra ``formats``.

Meant to be used in the ``transforms`` of an event::

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
    """``$150.00``; the currency is an ISO 4217 code."""
    return numbers.format_currency(amount, currency, locale=_get_locale())


def short_money(amount: Decimal | float, currency: str) -> str:
    """``$150``, with the cents only where there are any: for channels that count characters."""
    whole = amount == int(amount)
    pattern = _get_locale().currency_formats["standard"].pattern
    short = pattern.replace(".00", "") if whole else pattern
    return numbers.format_currency(amount, currency, format=short, locale=_get_locale(), currency_digits=not whole)


def long_date(value: date) -> str:
    """``February 15, 2024``."""
    return dates.format_date(_to_local(value), "long", locale=_get_locale())


def short_date(value: date) -> str:
    """``Feb 15``."""
    return dates.format_skeleton("MMMd", _to_local(value), locale=_get_locale())


def clock_time(value: datetime) -> str:
    """``14:30``, in 24 hours."""
    return f"{_to_local(value):%H:%M}"
