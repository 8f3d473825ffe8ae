"""Transforms of contexts: emails have long formats, text messages have short ones."""

from typing import Any

from notifications.formats import clock_time, long_date, money, short_date, short_money

Context = dict[str, Any]


def visitor_for_email(context: Context) -> Context:
    """Add ``formatted_arrival_time``: "14:30 on February 15, 2024"."""
    arrival = context["arrival_time"]
    return {**context, "formatted_arrival_time": f"{clock_time(arrival)} on {long_date(arrival)}"}


def payment_for_email(context: Context) -> Context:
    """Add ``formatted_amount`` and ``formatted_due_date``: "$150.00", "February 15, 2024"."""
    return {
        **context,
        "formatted_amount": money(context["amount"], context.get("currency") or "USD"),
        "formatted_due_date": long_date(context["due_date"]),
    }


def payment_for_sms(context: Context) -> Context:
    """Return short texts: ``amount`` ("$150"), ``due`` ("Feb 15") and ``bill``."""
    return {
        "amount": short_money(context["amount"], context.get("currency") or "USD"),
        "due": short_date(context["due_date"]),
        "bill": context["bill_number"],
    }
