"""An explanation: for each channel what was asked, what was answered, by which rule, and what would have to change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from notifications.outcomes import Answer, Deliver, Hold


def wall_time(moment: datetime, zone: ZoneInfo) -> str:
    """A time as one says it: ``07:00 on Sunday 22 November 2026, Europe/Berlin``."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M} on {local:%A} {local.day} {local:%B %Y}, {zone.key}"


@dataclass(frozen=True)
class Step:
    """One question and its answer.

    :param gate: who asks: the name of a gate, or ``permission``, ``channel``, ``event``, ``idempotency``, ``queue``,
        ``switch``, ``cancel``, ``send_at``, ``expires_at`` or ``send`` for what is asked besides.
    :param rule: what decided, in words.
    :param change: what would have to change; empty where it lets through.
    """

    gate: str
    answer: Answer
    rule: str
    change: str = ""

    @property
    def lets_through(self) -> bool:
        return isinstance(self.answer, Deliver)

    @property
    def word(self) -> str:
        """``deliver``, ``hold`` or ``drop``."""
        return type(self.answer).__name__.lower()

    @property
    def title(self) -> str:
        """The name of who asks, as a person reads it."""
        return self.gate.replace("_", " ")

    def until(self, zone: ZoneInfo) -> str:
        """When a hold ends, on the clocks of a place; empty for the other answers."""
        return wall_time(self.answer.until, zone) if isinstance(self.answer, Hold) else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        until = self.answer.until.isoformat() if isinstance(self.answer, Hold) else None
        reason = "" if isinstance(self.answer, Deliver) else str(self.answer.reason)
        return {
            "gate": self.gate,
            "answer": self.word,
            "reason": reason,
            "until": until,
            "rule": self.rule,
            "change": self.change,
        }


@dataclass(frozen=True)
class Happened:
    """One thing that happened to a delivery, in words."""

    at: datetime
    what: str


@dataclass(frozen=True)
class ChannelExplanation:
    """Why one recipient is or is not reached on one channel.

    :param summary: it all, in a sentence or two.
    :param steps: the questions in their order, up to the first that drops; none where it has come to its end.
    :param answer: what they come to; None where it has come to its end.
    :param arrives_at: when it goes out at the earliest, or was sent; None if it does not, or nobody can know.
    :param delivery_id: of what was sent already: which delivery it is; None for a recipient that was dropped.
    :param state: how it stands.
    :param reason: why.
    :param story: what happened so far.
    :param notes: what else keeps it back at the moment, such as a paused channel.
    :param to_nobody: the channel sends to no address and to no account, such as ``log``.
    """

    channel: str
    summary: str
    steps: tuple[Step, ...] = ()
    answer: Answer | None = None
    arrives_at: datetime | None = None
    delivery_id: int | None = None
    state: str = ""
    reason: str = ""
    story: tuple[Happened, ...] = ()
    notes: tuple[str, ...] = ()
    to_nobody: bool = False

    @property
    def reaches(self) -> bool:
        """Whether somebody is reached by it, as far as can be known."""
        return self.arrives_at is not None and not self.to_nobody

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "channel": self.channel,
            "summary": self.summary,
            "answer": None if self.answer is None else type(self.answer).__name__.lower(),
            "arrives_at": self.arrives_at and self.arrives_at.isoformat(),
            "delivery_id": self.delivery_id,
            "state": self.state,
            "reason": self.reason,
            "steps": [step.as_dict() for step in self.steps],
            "story": [{"at": told.at.isoformat(), "what": told.what} for told in self.story],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Explanation:
    """Why one recipient is or is not reached. As text it is made of sentences.

    :param recipient: their key, ``u:42`` or ``a:`` and a hash.
    :param at: the moment that it was asked for.
    :param zone: the time zone of the recipient, in which times are told.
    :param name: the user as the admin names them; empty for an ``Address``.
    """

    event: str
    recipient: str
    at: datetime
    zone: ZoneInfo
    channels: tuple[ChannelExplanation, ...]
    name: str = ""

    @property
    def reaches(self) -> bool:
        """Whether it does, did or will go out on at least one channel that reaches anybody, as far as can be known."""
        return any(channel.reaches for channel in self.channels)

    def channel(self, name: str) -> ChannelExplanation:
        """
        :raises KeyError: if it is about no such channel.
        """
        for channel in self.channels:
            if channel.channel == name:
                return channel
        raise KeyError(name)

    def as_dict(self) -> Mapping[str, Any]:
        """Plain values, for JSON."""
        return {
            "event": self.event,
            "recipient": self.recipient,
            "name": self.name,
            "at": self.at.isoformat(),
            "zone": self.zone.key,
            "reaches": self.reaches,
            "channels": [channel.as_dict() for channel in self.channels],
        }

    def __str__(self) -> str:
        head = f"{self.event} to {self.name or self.recipient}, asked for {wall_time(self.at, self.zone)}."
        lines = (line for channel in self.channels for line in self._lines(channel))
        return "\n".join([head, *self._nobody(), *lines])

    def _nobody(self) -> Iterable[str]:
        if not self.channels:
            yield "Nothing of it was meant for this recipient."
        written = [channel.channel for channel in self.channels if channel.arrives_at is not None]
        if written and not self.reaches:
            yield f"It reaches nobody: what goes out on {', '.join(written)} is sent to no address and no account."

    def _lines(self, channel: ChannelExplanation) -> Iterable[str]:
        yield f"{channel.channel}: {channel.summary}"
        yield from (f"  {wall_time(told.at, self.zone)}: {told.what}" for told in channel.story)
        for step in channel.steps:
            end = step.until(self.zone)
            until = f" until {end}" if end else ""
            change = f" {step.change}" if step.change else ""
            yield f"  {step.gate} says {step.word}{until}: {step.rule.removesuffix('.')}.{change}"
        yield from (f"  {note}" for note in channel.notes)
