"""One call of ``NotificationManager.send`` that a rule wants."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class Send:
    """One call of ``NotificationManager.send``.

    :param options: further keyword arguments, such as ``{"channels": ["sms"]}``. The correlation id of the change is
        added.
    """

    event_name: Enum | str
    recipients: Any
    cluster: Any = None
    context: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
