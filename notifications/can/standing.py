"""What the bridge reads from the state tables when it starts, and what it writes to them now and then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notifications.can.devices import Sightings
from notifications.can.faults import SeenFault, StandingFault


@dataclass(frozen=True)
class Standing:
    """What stood on a bus when the bridge stopped.

    :param alerts: the rows of ``CanAlert``.
    :param addresses: the source address of each device that has claimed one, by its NAME.
    """

    faults: Sequence[StandingFault]
    alerts: Sequence[Any]
    addresses: Mapping[bytes, int]


@dataclass(frozen=True)
class Seen:
    """The devices and faults that were seen since the last time."""

    devices: Sightings
    faults: Sequence[SeenFault]
