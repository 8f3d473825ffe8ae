"""What all changes that the bridge reports have in common: those of faults and alerts, and summaries of floods."""

from collections.abc import Hashable
from datetime import datetime
from typing import Any, Protocol


class Change(Protocol):
    """A change of something on a bus. Rules receive it, and the terminal shows it."""

    @property
    def kind(self) -> str:
        """What has happened, such as ``raised`` or ``cleared``."""
        ...

    @property
    def bus(self) -> str:
        """The channel, as the interface or the recording names it."""
        ...

    @property
    def at(self) -> datetime:
        """The time in UTC, from the timestamps of the frames."""
        ...

    @property
    def severity(self) -> int:
        """0 is information, 1 a warning, and 2 critical."""
        ...

    @property
    def key(self) -> Hashable:
        """Identifies the thing that has changed. Changes with the same key belong to the same row of the state."""
        ...

    @property
    def correlation_id(self) -> str:
        """An id for ``send()`` of at most 100 characters. It is the same from the begin to the end of a thing."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        ...

    def as_json(self) -> str:
        """Return one line of JSON."""
        ...

    def __str__(self) -> str:
        """Return one sentence for the terminal."""
        ...
