"""Counts in the output of commands."""


def format_count(count: int, singular: str, plural: str = "") -> str:
    """Return ``"1 delivery"`` or ``"3 deliveries"``. By default the plural ends in "s"."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"
