"""Who would get a notification next, if nobody acknowledged it. Escalation, which knows this, registers itself here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from notifications.models import Notification
from notifications.sending.request import Request


@dataclass(frozen=True)
class ChainStep:
    """One time at which an escalation would send the notification again.

    :param number: the number of the step, from 1.
    :param targets: as the escalation names them.
    :param people: who these are now; a rota may have another member on call at that time, who is named here.
    :param problem: why some or all targets are nobody; empty if they all can be found.
    """

    at: datetime
    number: int
    targets: tuple[str, ...]
    channels: tuple[str, ...]
    people: tuple[str, ...] = ()
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "at": self.at.isoformat(),
            "step": self.number,
            "targets": list(self.targets),
            "channels": list(self.channels),
            "people": list(self.people),
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Chain:
    """What a feature knows about a notification that was sent.

    :param state: the state of its escalation, for people; empty if it has none.
    :param steps: those that are still to come.
    """

    state: str = ""
    steps: Sequence[ChainStep] = ()


class ChainSource(NamedTuple):
    """What knows the steps.

    :param preview: a function from a request with its cluster, the time of the notification and the database to the
        steps that would follow.
    :param follow: a function from a notification that was sent and the database to what is still to come.
    """

    preview: Callable[[Request, datetime, str], Sequence[ChainStep]]
    follow: Callable[[Notification, str], Chain]


CHAIN_SOURCES: dict[str, ChainSource] = {}


def register_chain_source(name: str, source: ChainSource) -> None:
    """Register what knows the steps."""
    CHAIN_SOURCES[name] = source


def list_chain(request: Request, wanted_at: datetime, using: str) -> tuple[ChainStep, ...]:
    """Return the steps that would follow a notification."""
    return tuple(step for source in CHAIN_SOURCES.values() for step in source.preview(request, wanted_at, using))


def follow_chain(notification: Notification, using: str) -> Chain:
    """Return the state of the escalation of a notification that was sent, and the steps that are still to come."""
    found = (source.follow(notification, using) for source in CHAIN_SOURCES.values())
    return next((chain for chain in found if chain.state), Chain())
