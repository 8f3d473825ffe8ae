"""Announcements that inboxes have changed, from the process that changes them to those with open streams."""

from collections.abc import Sequence
from typing import Any


def announce(user_ids: Sequence[Any], using: str) -> None:
    """Wake the streams of these users when the current transaction of the database ``using`` commits."""


def receive_change(*, user_ids: Sequence[Any], using: str, **kwargs: Any) -> None:
    """Receive ``inbox_changed``."""
    announce(user_ids, using)
