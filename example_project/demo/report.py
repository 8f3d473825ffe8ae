"""The tables that the demonstration prints."""

from collections.abc import Iterable, Sequence

from notifications.models import NotificationLog


def format_attempts() -> str:
    """Return a table of all attempts in the log."""
    rows = NotificationLog.objects.filter(kind=NotificationLog.Kind.ATTEMPT).select_related("recipient", "personal")
    return _format_table(
        ("event", "recipient", "channel", "address", "try", "success", "provider"),
        (
            (
                row.event,
                row.recipient,
                row.channel,
                row.address,
                row.attempt,
                "yes" if row.success else "NO",
                row.provider,
            )
            for row in rows.order_by("pk")
        ),
    )


def format_drops() -> str:
    """Return a table of all drops in the log."""
    rows = NotificationLog.objects.filter(kind=NotificationLog.Kind.DROP).select_related("recipient")
    return _format_table(
        ("event", "recipient", "channel", "reason", "rule"),
        ((row.event, row.recipient, row.channel, row.reason, row.error_message) for row in rows.order_by("pk")),
    )


def _format_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [list(head), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(f"  {line.rstrip()}" for line in padded)
